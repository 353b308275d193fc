"""The threshold `auto`: how far apart the noise of an image drives tiles that look the same.

Tiles of one background differ by noise alone. In scans and JPEGs that is a few levels, in
screenshots nothing. So the rule looks at neighbours that are nearly equal.
"""

import numpy as np
from numpy.typing import NDArray

from ppcli.coding.coder_options import AUTO, CoderOptions
from ppcli.coding.similarity import Bytes, lanes_of
from ppcli.jit.kernel import Variant, kernel

CAP = 12  # levels; there, OCR reads 6 of 16,740 characters otherwise
_STEPS = (0, 1, 2, 3, 4, 6, 8, CAP)
_QUANTILE = 95  # percent of the pairs that are at most CAP apart
_LEAST_NOISY = 1  # percent of all pairs that differ, by at most CAP

Counts = NDArray[np.int64]


def with_own_threshold(raster: NDArray[np.uint8], tile: int, options: CoderOptions) -> CoderOptions:
    """Return the options for one image: with its own threshold where they say `auto`.

    Args:
        raster: the fitted image, uint8 (grid_h·tile, grid_w·tile, 3), contiguous.
        tile: side of a tile in pixels.
        options: the configuration of the coder.
    """
    if options.threshold != AUTO:
        return options
    height, width, _ = raster.shape
    pairs = height // tile * (width // tile - 1)
    counts = neighbour_distances(raster.reshape(height, -1), tile)
    return options.settled(auto_levels(counts, pairs))


def auto_levels(counts: Counts, pairs: int) -> int:
    """Return the threshold that `auto` takes, in levels.

    Args:
        counts: int64 (CAP + 1,), how many pairs of neighbours are 0, 1, … CAP levels apart.
        pairs: how many there are, with those that are further apart.
    """
    near = int(counts.sum())
    if (near - int(counts[0])) * 100 < pairs * _LEAST_NOISY:
        return 0
    rank = -(-near * _QUANTILE // 100)
    level = int(np.searchsorted(np.cumsum(counts), rank))
    return next(step for step in _STEPS if step >= level)


def neighbour_distances(raster: Bytes, tile: int) -> Counts:
    """Count the pairs of horizontally adjacent tiles by their largest difference.

    Args:
        raster: uint8 (grid_h·tile, grid_w·tile·3), contiguous.
        tile: side of a tile in pixels.

    Returns:
        int64 (CAP + 1,), the pairs that are 0, 1, … CAP levels apart.
    """
    counts = np.zeros(CAP + 1, dtype=np.int64)
    neighbour_distances_into(raster, tile, lanes_of(3 * tile), counts)
    return counts


@kernel("uint8[:,:] int const int64[:]")
def neighbour_distances_into(raster: Bytes, tile: int, lanes: int, counts: Counts) -> int:
    """Count in `counts`, which is all 0 at first; stop at a pair's first row that is too far."""
    n, width = np.uint64(lanes), np.uint64(tile * 3)
    most = len(counts) - 1
    for r in range(raster.shape[0] // tile):
        for c in range(1, raster.shape[1] // (tile * 3)):
            top, left = np.uint64(r * tile), np.uint64(c) * width
            largest = np.uint8(0)
            for y in range(np.uint64(tile)):
                row = raster[top + y]
                for x in range(np.uint64(0), width, n):
                    for i in range(n):
                        p, q = row[left + x + i], row[left - width + x + i]
                        largest = max(largest, np.uint8(max(p, q) - min(p, q)))
                if largest > most:
                    break
            if largest <= most:
                counts[largest] += 1
    return 0


def auto_kernels(options: CoderOptions, tile: int) -> list[Variant]:
    """Return the kernel that `with_own_threshold` calls with these options, if any."""
    return [neighbour_distances_into.of(lanes_of(3 * tile))] if options.threshold == AUTO else []
