"""Draws pruned tiles faded, and maps of reconstruction errors."""

import numpy as np
from numpy.typing import NDArray

Raster = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Colours = NDArray[np.uint8]

# a bluish grey, so that fading shows on light and on dark images
_TINT = np.array([140, 160, 196])
_SHARE_OF_TINT = 0.7
_EDGE, _GRID = np.array([52, 72, 128]), np.array([255, 96, 0])
_PIXELS_PER_LINE = 1200  # lines get thicker with the image, to stay visible when scaled down
_LINES_IN_TILE = 8  # a line is at most this part of a tile
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
# dark blue to grey to yellow with increasing lightness: safe for colour-blind readers
_RAMP = np.array([[0, 60, 140], [100, 115, 130], [190, 170, 100], [255, 235, 90]], np.float64)
_DIM = 0.25


def overlay(raster: Raster, keep: Mask, grid: bool = False) -> Raster:
    """Fade the pruned tiles, and draw a line along their border; kept tiles are unchanged.

    Args:
        raster: uint8 (grid_h·T, grid_w·T, 3).
        keep: bool (grid_h, grid_w).
        grid: also draw lines between all tiles.

    Returns:
        uint8, in the raster's shape.
    """
    tile = raster.shape[0] // keep.shape[0]
    out = raster.copy()
    for row, kept in enumerate(keep):  # row by row, since the float64 copy is 8 times as large
        band = out[row * tile : (row + 1) * tile]
        pruned = _per_pixel(~kept[None], tile)
        grey = band[pruned] @ _LUMA
        faded = (1 - _SHARE_OF_TINT) * grey[:, None] + _SHARE_OF_TINT * _TINT
        band[pruned] = np.round(faded).astype(np.uint8)
    width = _line_width(raster, tile)
    out[_edges(keep, tile, width)] = _EDGE
    if grid:
        _draw_grid(out, tile, width)
    return out


def _per_pixel(mask: Mask, tile: int) -> Mask:
    return mask.repeat(tile, axis=0).repeat(tile, axis=1)


def _line_width(raster: Raster, tile: int) -> int:
    longest: int = max(raster.shape)
    return max(1, min(round(longest / _PIXELS_PER_LINE), tile // _LINES_IN_TILE))


def _edges(keep: Mask, tile: int, width: int) -> Mask:
    """Return the pixels of pruned tiles along their borders with kept tiles."""
    out = np.zeros((keep.shape[0] * tile, keep.shape[1] * tile), dtype=np.bool_)
    cells = out.reshape(keep.shape[0], tile, keep.shape[1], tile)
    cells[1:, :width] |= (keep[:-1] & ~keep[1:])[:, None, :, None]
    cells[:-1, -width:] |= (keep[1:] & ~keep[:-1])[:, None, :, None]
    cells[:, :, 1:, :width] |= (keep[:, :-1] & ~keep[:, 1:])[:, None, :, None]
    cells[:, :, :-1, -width:] |= (keep[:, 1:] & ~keep[:, :-1])[:, None, :, None]
    return out


def _draw_grid(out: Raster, tile: int, width: int) -> None:
    cells = out.reshape(out.shape[0] // tile, tile, out.shape[1] // tile, tile, 3)
    cells[1:, :width] = _GRID
    cells[:, :, 1:, :width] = _GRID


def error_levels(raster: Raster, rebuilt: Raster) -> NDArray[np.uint8]:
    """Return the error of each pixel: the largest difference of its channels, in levels of 255.

    Args:
        raster: uint8 (height, width, 3), the source.
        rebuilt: uint8 (height, width, 3).

    Returns:
        uint8 (height, width).
    """
    larger, smaller = np.maximum(raster, rebuilt), np.minimum(raster, rebuilt)
    levels: NDArray[np.uint8] = (larger - smaller).max(axis=2)
    return levels


def error_map(raster: Raster, levels: NDArray[np.uint8]) -> Raster:
    """Draw errors in colour over the dimmed grey image.

    Args:
        raster: uint8 (height, width, 3), the source.
        levels: uint8 (height, width), the errors; the largest gets the lightest colour.
    """
    grey = np.round(_DIM * (raster @ _LUMA)).astype(np.uint8)
    out = np.repeat(grey[:, :, None], 3, axis=2)
    off = levels > 0
    out[off] = ramp(int(levels.max()) + 1)[levels[off]]
    return out


def ramp(number: int) -> Colours:
    """Return a colour scale from the lowest to the highest value: uint8 (number, 3)."""
    positions = np.linspace(0, len(_RAMP) - 1, number)
    stops = np.arange(len(_RAMP))
    channels = [np.interp(positions, stops, _RAMP[:, channel]) for channel in range(3)]
    return np.round(np.stack(channels, axis=1)).astype(np.uint8)
