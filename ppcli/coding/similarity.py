"""The distance of two tiles, as kernels judge it.

A raster is passed as bytes, uint8 (rows, grid_w·tile·3). A tile is addressed by its origin, the row
and byte column of its upper left corner. Distances are integers.

Two arguments are constants of the compiled code. `lanes`, a divisor of tile·3, is the number of
bytes compared at a time; as a constant it lets the inner loops become vector instructions.
`metric` removes the branches of the other metrics.
"""

import numpy as np
from numpy.typing import NDArray

from ppcli.jit.kernel import helper

Bytes = NDArray[np.uint8]
Origin = tuple[np.uint64, np.uint64]

MAX, MAE, RMSE = 0, 1, 2

_LANES = (96, 84, 21, 12, 3)  # few, since kernels are compiled for each


def lanes_of(width: int) -> int:
    """Return the number of bytes or words to process at a time.

    Args:
        width: bytes or words in a row of a tile, a multiple of 3.
    """
    return next(lanes for lanes in _LANES if width % lanes == 0)


@helper
def origin(top: int, left: int) -> Origin:
    """Make the origin of a tile; unsigned, because negative indices cost a check per access."""
    return np.uint64(top), np.uint64(left)


@helper
def _within_max(raster: Bytes, a: Origin, b: Origin, tile: int, lanes: int, bound: int) -> bool:
    """Return whether no byte differs by more than `bound`; stop at the first that does."""
    n = np.uint64(lanes)
    for x in range(np.uint64(0), np.uint64(tile * 3), n):
        for y in range(np.uint64(tile)):
            p, q = raster[a[0] + y], raster[b[0] + y]
            largest = np.uint8(0)
            for i in range(n):
                largest = max(
                    largest,
                    np.uint8(
                        max(p[a[1] + x + i], q[b[1] + x + i])
                        - min(p[a[1] + x + i], q[b[1] + x + i])
                    ),
                )
            if largest > bound:
                return False
    return True


@helper
def _within_sum(raster: Bytes, a: Origin, b: Origin, tile: int, lanes: int, bound: int) -> bool:
    """Return whether the sum of absolute differences is at most `bound`."""
    n = np.uint64(lanes)
    total = np.int64(0)
    for x in range(np.uint64(0), np.uint64(tile * 3), n):
        for y in range(np.uint64(tile)):
            p, q = raster[a[0] + y], raster[b[0] + y]
            part = np.uint32(0)  # fits: at most 96 bytes
            for i in range(n):
                part += np.uint32(
                    np.uint8(
                        max(p[a[1] + x + i], q[b[1] + x + i])
                        - min(p[a[1] + x + i], q[b[1] + x + i])
                    )
                )
            total += part
            if total > bound:
                return False
    return True


@helper
def _within_squares(raster: Bytes, a: Origin, b: Origin, tile: int, lanes: int, bound: int) -> bool:
    """Return whether the sum of squared differences is at most `bound`."""
    n = np.uint64(lanes)
    total = np.int64(0)
    for x in range(np.uint64(0), np.uint64(tile * 3), n):
        for y in range(np.uint64(tile)):
            p, q = raster[a[0] + y], raster[b[0] + y]
            part = np.int32(0)  # fits: at most 96 bytes
            for i in range(n):
                difference = np.int32(p[a[1] + x + i]) - np.int32(q[b[1] + x + i])
                part += difference * difference
            total += part
            if total > bound:
                return False
    return True


@helper
def similar(
    raster: Bytes, a: Origin, b: Origin, tile: int, lanes: int, metric: int, bound: int
) -> bool:
    """Return whether the distance of two tiles is at most `bound`.

    Args:
        raster: uint8 (rows, grid_w·tile·3).
        a: origin of the first tile, two uint64.
        b: origin of the second.
        tile: side of a tile in pixels.
        lanes: as from `lanes_of`.
        metric: MAX, MAE or RMSE.
        bound: as from `ppcli.coding.coder_options.distance_bound`.
    """
    if metric == MAX:
        return _within_max(raster, a, b, tile, lanes, bound)
    if metric == MAE:
        return _within_sum(raster, a, b, tile, lanes, bound)
    return _within_squares(raster, a, b, tile, lanes, bound)
