"""Selects the tiles of a raster that are kept."""

import sys
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ppcli.arguments import as_int, as_text, describe_value
from ppcli.coding.auto_threshold import CAP, auto_kernels, with_own_threshold
from ppcli.coding.coder_options import CoderOptions, require_decodable
from ppcli.coding.tile_grid import Choices, Comparison, Mask, TileGrid
from ppcli.errors import UsageError
from ppcli.jit.kernel import Variant

Raster = NDArray[np.uint8]


class SelectedTiles(NamedTuple):
    """What is decided about an image.

    Attributes:
        keep: bool (grid_h, grid_w), true where the tile is kept; at least one is.
        choices: as in `Selection`.
        unchanged: as in `Selection`.
        options: the configuration, whose threshold is a number: that of the image where it was
            `auto`.
    """

    keep: Mask
    choices: Choices | None
    unchanged: Mask | None
    options: CoderOptions


def check_array(array: object, what: str) -> None:
    """Refuse anything but a NumPy array without a mask.

    Args:
        array: the argument.
        what: its name, for the message.

    Raises:
        UsageError: it is not an array, or a masked one, whose mask would be ignored.
    """
    if not isinstance(array, np.ndarray):
        raise UsageError(f"{what} must be a NumPy array, not {describe_value(array)}")
    is_masked = "numpy.ma" in sys.modules and isinstance(array, np.ma.MaskedArray)
    if is_masked:  # NumPy takes 40 ms to load what defines them, which the first image would wait
        raise UsageError(
            f"{what} must not be a masked array; its mask would be ignored, so fill it first"
        )


def check_raster(raster: Raster, tile: int) -> tuple[Raster, int]:
    """Check shape and type of a raster.

    Returns:
        The raster as a contiguous array, and the side of its tiles as an int.

    Raises:
        UsageError: it is not uint8 (grid_h·tile, grid_w·tile, 3) with at least one tile.
    """
    tile = as_int(tile, "the tile", 1)
    check_array(raster, "a raster")
    if raster.dtype != np.uint8 or raster.ndim != 3 or raster.shape[2] != 3:
        raise UsageError(
            "a raster must be uint8 of shape (height, width, 3), and this one is "
            f"{raster.dtype} of shape {raster.shape}"
        )
    height, width, _ = raster.shape
    if height == 0 or width == 0 or height % tile or width % tile:
        raise UsageError(
            f"the raster is {width}×{height} pixels, not a whole number of {tile}×{tile} tiles; "
            "fit it first"
        )
    return np.ascontiguousarray(raster), tile


def select_tiles(
    raster: Raster,
    tile: int,
    options: CoderOptions,
    image_id: str = "",
    before: Raster | None = None,
) -> Mask:
    """Return the keep mask of a raster: the first part of what `selection_of` returns."""
    return selection_of(raster, tile, options, image_id, before).keep


def selection_of(
    raster: Raster,
    tile: int,
    options: CoderOptions,
    image_id: str = "",
    before: Raster | None = None,
) -> SelectedTiles:
    """Return the keep mask of a raster, and all else that decoding needs.

    Args:
        raster: uint8 (grid_h·tile, grid_w·tile, 3).
        tile: side of a tile in pixels.
        options: the configuration of the coder.
        image_id: the identity of the image; method `random` seeds with it.
        before: the rebuilt frame before in a sequence, of the same shape; None for none.

    Raises:
        UsageError: the raster is not a whole number of tiles, the frame before has another
            shape, or the configuration cannot be decoded and there is a frame before.
    """
    raster, tile = check_raster(raster, tile)
    as_text(image_id, "image_id")
    if before is not None:
        require_decodable(options)
        before, _ = check_raster(before, tile)
        if before.shape != raster.shape:
            raise UsageError("a frame and the one before must have the same size")
    options = with_own_threshold(raster, tile, options)
    grid = TileGrid.of(raster, tile, options, before)
    return SelectedTiles(*options.implementation.selection(grid, options, image_id), options)


def selection_kernels(options: CoderOptions, tile: int) -> list[Variant]:
    """Return the kernels that `select_tiles` calls with these options."""
    comparison = Comparison.of(options.settled(CAP), tile)
    return auto_kernels(options, tile) + options.implementation.kernels(options, comparison)
