"""The number of distinct tiles: the floor that exact de-duplication could reach."""

import numpy as np
import xxhash
from numpy.typing import NDArray

from ppcli.coding.options import CoderOptions, Method
from ppcli.coding.patchset import cut


def distinct_tiles(
    raster: NDArray[np.uint8], keep: NDArray[np.bool_], tile: int, options: CoderOptions
) -> int:
    """How many different source tiles the raster has, by 128-bit hashes.

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
    return len({xxhash.xxh3_128_digest(one) for one in cut(raster, looked_at, tile)})
