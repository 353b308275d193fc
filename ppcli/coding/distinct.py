"""Counts the distinct tiles of an image: what exact de-duplication could prune it to."""

import numpy as np
from numpy.typing import NDArray

from ppcli.coding.coder_options import CoderOptions
from ppcli.coding.distinct_kernels import Words, count_distinct, count_distinct_with
from ppcli.coding.similarity import lanes_of
from ppcli.jit.kernel import Variant

_WORDS = (np.uint64, np.uint32, np.uint8)


def distinct_tiles(
    raster: NDArray[np.uint8], keep: NDArray[np.bool_], tile: int, options: CoderOptions
) -> int:
    """Return the exact number of distinct source tiles.

    At threshold 0 most methods keep at least one of equal tiles, so that looking at the kept
    tiles suffices.

    Args:
        raster: uint8 (grid_h·tile, grid_w·tile, 3).
        keep: bool (grid_h, grid_w), the mask that was made with `options`.
        tile: side of a tile in pixels.
        options: the configuration of the coder.
    """
    method = options.implementation
    kept_suffice = options.threshold == 0 and method.keeps_every_distinct_tile
    candidates = keep if kept_suffice else np.ones_like(keep)
    flat = raster.reshape(raster.shape[0], -1)
    words: Words = np.require(flat.view(_word(tile)), requirements="A")
    return count_distinct(words, candidates, tile, lanes_of(words.shape[1] // keep.shape[1]))


def distinct_kernel(tile: int) -> Variant:
    """Return the kernel that counts tiles of this size."""
    word = _word(tile)
    return count_distinct_with.of(word.name, lanes_of(3 * tile // word.itemsize))


def _word(tile: int) -> "np.dtype[np.unsignedinteger]":
    """Return the largest integer type that divides the row of a tile."""
    return next(np.dtype(kind) for kind in _WORDS if 3 * tile % np.dtype(kind).itemsize == 0)
