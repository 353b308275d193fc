"""Converts tiles to the input of a vision transformer, and back."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppcli.errors import UsageError
from ppcli.imaging.presets import Preset

MAX_ROUNDING_ERROR = 0.01  # levels of 255


def pixel_values(tiles: NDArray[np.uint8], preset: Preset) -> NDArray[np.float32]:
    """Normalise tiles to patches in merge-block order, as the Qwen-VL processors do.

    A value is (x·rescale_factor − mean)/std, computed in float32 in this order. The image is
    repeated along the temporal axis.

    Args:
        tiles: RGB uint8 (tiles, P·M, P·M, 3), in row-major order of the image.
        preset: sizes, mean and std of the model.

    Returns:
        float32 (tiles·M², 3·temporal·P·P). The M² patches of a tile are adjacent; a patch is
        flattened in the order channel, time, row, column.
    """
    mean, std = np.array(preset.mean, dtype=np.float32), np.array(preset.std, dtype=np.float32)
    levels = (np.arange(256)[:, None] * preset.rescale_factor).astype(np.float32)
    table: NDArray[np.float32] = (levels - mean) / std
    blocks = _blocks(tiles, preset)
    values = np.empty(_patches_shape(len(tiles), preset), dtype=np.float32)
    for channel in range(3):
        values[:, :, :, channel] = table[:, channel][blocks[:, :, :, channel]][:, :, :, None]
    return values.reshape(_flat_shape(len(tiles), preset))


def pixel_levels(tiles: NDArray[np.uint8], preset: Preset) -> NDArray[np.uint8]:
    """Cut tiles into patches as `pixel_values` does, without normalizing them.

    Args:
        tiles: RGB uint8 (tiles, P·M, P·M, 3), in row-major order of the image.
        preset: sizes of the model.

    Returns:
        uint8 (tiles·M², 3·temporal·P·P), levels from 0 to 255.
    """
    levels = np.empty(_patches_shape(len(tiles), preset), dtype=np.uint8)
    levels[:] = _blocks(tiles, preset)[:, :, :, :, None]
    return levels.reshape(_flat_shape(len(tiles), preset))


def _blocks(tiles: NDArray[np.uint8], preset: Preset) -> NDArray[np.uint8]:
    """View tiles as patches: (tiles, M, M, 3, P, P)."""
    p, m = preset.patch_size, preset.merge_size
    return tiles.reshape(len(tiles), m, p, m, p, 3).transpose(0, 1, 3, 5, 2, 4)


def _patches_shape(tiles: int, preset: Preset) -> tuple[int, ...]:
    p, m, t = preset.patch_size, preset.merge_size, preset.temporal_patch_size
    return (tiles, m, m, 3, t, p, p)


def _flat_shape(tiles: int, preset: Preset) -> tuple[int, int]:
    p, m, t = preset.patch_size, preset.merge_size, preset.temporal_patch_size
    return (tiles * m * m, 3 * t * p * p)


def invert_pixel_values(
    values: NDArray[np.float32],
    grid: tuple[int, int],
    preset: Preset,
    max_error: float = MAX_ROUNDING_ERROR,
) -> NDArray[np.uint8]:
    """Recover the raster from the normalized patches of `pixel_values`.

    Args:
        values: float32 (tiles·M², 3·temporal·P·P), all tiles of an image.
        grid: rows and columns of tiles.
        preset: sizes, mean and std that the values were made with.
        max_error: how far a value may be from a level, in levels; below one half.

    Returns:
        RGB uint8 (rows·P·M, columns·P·M, 3).

    Raises:
        UsageError: the values were not made from 8-bit pixels with this preset.
    """
    normalised = _raster(values, grid, preset)
    mean, std = np.array(preset.mean, dtype=np.float32), np.array(preset.std, dtype=np.float32)
    levels = (normalised * std + mean) / np.float32(preset.rescale_factor)
    nearest = np.rint(levels)
    is_level = np.abs(levels - nearest) < max_error
    if not (is_level & (nearest >= 0) & (nearest <= 255)).all():
        raise UsageError(
            "the pixel values were not made from 8-bit pixels with this model's mean and std"
        )
    raster: NDArray[np.uint8] = nearest.astype(np.uint8)
    return raster


def invert_pixel_levels(
    levels: NDArray[np.uint8], grid: tuple[int, int], preset: Preset
) -> NDArray[np.uint8]:
    """Recover the raster from the patches of `pixel_levels`.

    Args:
        levels: uint8 (tiles·M², 3·temporal·P·P), all tiles of an image.
        grid: rows and columns of tiles.
        preset: sizes that the patches were cut with.

    Returns:
        RGB uint8 (rows·P·M, columns·P·M, 3).

    Raises:
        UsageError: the patches have another shape.
    """
    raster: NDArray[np.uint8] = _raster(levels, grid, preset)
    return raster


def _raster(values: NDArray[Any], grid: tuple[int, int], preset: Preset) -> NDArray[Any]:
    """Put patches back in their places, (rows·P·M, columns·P·M, 3), of the first frame."""
    p, m, t = preset.patch_size, preset.merge_size, preset.temporal_patch_size
    rows, columns = grid
    if values.shape != (rows * columns * m * m, 3 * t * p * p):
        raise UsageError(
            f"pixel values of {rows} × {columns} tiles cannot have shape {values.shape}"
        )
    first = values.reshape(rows, columns, m, m, 3, t, p, p)[:, :, :, :, :, 0]
    return first.transpose(0, 2, 5, 1, 3, 6, 4).reshape(rows * m * p, columns * m * p, 3)
