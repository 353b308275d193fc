"""The distance of two tiles, as kernels judge it.

A raster is passed as bytes, uint8 (rows, grid_w·tile·3). A tile is addressed by its origin, the row
and byte column of its upper left corner. Distances are integers.

Two arguments are constants of the compiled code. `lanes`, a divisor of tile·3, is the number of
bytes compared at a time; as a constant it lets the inner loops become vector instructions.
`metric` removes the branches of the other metrics.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ppcli.jit.kernel import helper

Bytes = NDArray[np.uint8]
Origin = tuple[np.uint64, np.uint64]

MAX, MAE, RMSE, TWO_SCALE = 0, 1, 2, 3

_SIDE = 16  # of the blocks of TWO_SCALE
_BITS = 14  # of the bound of a block: at most 255·256/4

_LANES = (96, 84, 21, 12, 3)  # few, since kernels are compiled for each


def lanes_of(width: int) -> int:
    """Return the number of bytes or words to process at a time.

    Args:
        width: bytes or words in a row of a tile, a multiple of 3.
    """
    return next(lanes for lanes in _LANES if width % lanes == 0)


def block_sizes(tile: int) -> tuple[int, int, int]:
    """Return the pixels of the blocks of a tile: whole ones, those at one edge, and at both."""
    rest = tile % _SIDE
    return _SIDE * _SIDE, _SIDE * rest, rest * rest


def packed_bounds(largest: int, blocks: Sequence[int]) -> int:
    """Return the bounds of TWO_SCALE as one number.

    Args:
        largest: of the difference of a byte.
        blocks: of the sums of differences, in the order of `block_sizes`.
    """
    return largest | sum(bound << 8 + _BITS * place for place, bound in enumerate(blocks))


@helper
def origin(top: int, left: int) -> Origin:
    """Make the origin of a tile; unsigned, because negative indices cost a check per access."""
    return np.uint64(top), np.uint64(left)


@helper
def _within_max(
    first: Bytes, a: Origin, second: Bytes, b: Origin, tile: int, lanes: int, bound: int
) -> bool:
    """Return whether no byte differs by more than `bound`; stop at the first that does."""
    n = np.uint64(lanes)
    for x in range(np.uint64(0), np.uint64(tile * 3), n):
        for y in range(np.uint64(tile)):
            p, q = first[a[0] + y], second[b[0] + y]
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
def _within_sum(
    first: Bytes, a: Origin, second: Bytes, b: Origin, tile: int, lanes: int, bound: int
) -> bool:
    """Return whether the sum of absolute differences is at most `bound`."""
    n = np.uint64(lanes)
    total = np.int64(0)
    for x in range(np.uint64(0), np.uint64(tile * 3), n):
        for y in range(np.uint64(tile)):
            p, q = first[a[0] + y], second[b[0] + y]
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
def _within_squares(
    first: Bytes, a: Origin, second: Bytes, b: Origin, tile: int, lanes: int, bound: int
) -> bool:
    """Return whether the sum of squared differences is at most `bound`."""
    n = np.uint64(lanes)
    total = np.int64(0)
    for x in range(np.uint64(0), np.uint64(tile * 3), n):
        for y in range(np.uint64(tile)):
            p, q = first[a[0] + y], second[b[0] + y]
            part = np.int32(0)  # fits: at most 96 bytes
            for i in range(n):
                difference = np.int32(p[a[1] + x + i]) - np.int32(q[b[1] + x + i])
                part += difference * difference
            total += part
            if total > bound:
                return False
    return True


@helper
def _within_blocks(
    first: Bytes, a: Origin, second: Bytes, b: Origin, tile: int, bounds: int
) -> bool:
    """Return whether the sums of differences in each block and channel are within their bounds."""
    for top in range(0, tile, _SIDE):
        height = min(_SIDE, tile - top)
        for left in range(0, tile, _SIDE):
            width = min(_SIDE, tile - left)
            place = (height < _SIDE) + (width < _SIDE)
            bound = np.int32((bounds >> (8 + _BITS * place)) & ((1 << _BITS) - 1))
            red, green, blue = np.int32(0), np.int32(0), np.int32(0)
            for y in range(np.uint64(top), np.uint64(top + height)):
                p, q = first[a[0] + y], second[b[0] + y]
                for x in range(np.uint64(left), np.uint64(left + width)):
                    i, j = a[1] + np.uint64(3) * x, b[1] + np.uint64(3) * x
                    red += np.int32(p[i]) - np.int32(q[j])
                    i, j = i + np.uint64(1), j + np.uint64(1)
                    green += np.int32(p[i]) - np.int32(q[j])
                    i, j = i + np.uint64(1), j + np.uint64(1)
                    blue += np.int32(p[i]) - np.int32(q[j])
            if max(abs(red), abs(green), abs(blue)) > bound:
                return False
    return True


@helper
def _within_two_scales(
    first: Bytes, a: Origin, second: Bytes, b: Origin, tile: int, lanes: int, bounds: int
) -> bool:
    """Return whether all bytes and all blocks are within their bounds."""
    # what no block can exceed, if no byte does: most similar tiles are equal
    small = ((bounds >> 8) & ((1 << _BITS) - 1)) // (_SIDE * _SIDE)
    if _within_max(first, a, second, b, tile, lanes, small):
        return True
    return _within_max(first, a, second, b, tile, lanes, bounds & 255) and _within_blocks(
        first, a, second, b, tile, bounds
    )


@helper
def similar(
    raster: Bytes, a: Origin, b: Origin, tile: int, lanes: int, metric: int, bound: int
) -> bool:
    """Return whether the distance of two tiles of one raster is at most `bound`."""
    return similar_across(raster, a, raster, b, tile, lanes, metric, bound)


@helper
def similar_across(
    first: Bytes,
    a: Origin,
    second: Bytes,
    b: Origin,
    tile: int,
    lanes: int,
    metric: int,
    bound: int,
) -> bool:
    """Return whether the distance of two tiles is at most `bound`.

    Args:
        first: raster of the first tile, uint8 (rows, grid_w·tile·3).
        a: its origin, two uint64.
        second: raster of the second tile.
        b: its origin.
        tile: side of a tile in pixels.
        lanes: as from `lanes_of`.
        metric: MAX, MAE, RMSE or TWO_SCALE.
        bound: as from `ppcli.coding.tile_grid.Comparison.of`.
    """
    if metric == MAX:
        return _within_max(first, a, second, b, tile, lanes, bound)
    if metric == MAE:
        return _within_sum(first, a, second, b, tile, lanes, bound)
    if metric == TWO_SCALE:
        return _within_two_scales(first, a, second, b, tile, lanes, bound)
    return _within_squares(first, a, second, b, tile, lanes, bound)
