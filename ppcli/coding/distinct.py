"""The number of distinct tiles: the floor that exact de-duplication could reach."""

import numpy as np
from numpy.typing import NDArray

from ppcli.coding import kernels
from ppcli.coding.coder_options import CoderOptions, Method
from ppcli.jit.kernel import Variant

_WORDS = (np.uint64, np.uint32, np.uint8)


def distinct_tiles(
    raster: NDArray[np.uint8], keep: NDArray[np.bool_], tile: int, options: CoderOptions
) -> int:
    """How many different source tiles the raster has, exactly.

    At threshold 0 a pruned tile equals a kept one (for every method but `random`), so it is
    enough to look at the kept ones.

    Args:
        raster: uint8 (grid_h·tile, grid_w·tile, 3).
        keep: bool (grid_h, grid_w), the mask that `options` gave.
        tile: side of a tile in pixels.
        options: how the mask was made.
    """
    pruned_equal_kept = options.threshold == 0 and options.method is not Method.RANDOM
    looked_at = keep if pruned_equal_kept else np.ones_like(keep)
    flat = raster.reshape(raster.shape[0], -1)
    words: kernels.Words = np.require(flat.view(_word(tile)), requirements="A")
    lanes = kernels.lanes_of(words.shape[1] // keep.shape[1])
    return kernels.distinct(words, looked_at, tile, lanes)


def kernel_of_distinct(tile: int) -> Variant:
    """What counts tiles of that size."""
    word = _word(tile)
    return kernels.count.of(word.name, kernels.lanes_of(3 * tile // word.itemsize))


def _word(tile: int) -> "np.dtype[np.unsignedinteger]":
    """The largest integer that a row of a tile is a whole number of."""
    return next(np.dtype(kind) for kind in _WORDS if 3 * tile % np.dtype(kind).itemsize == 0)
