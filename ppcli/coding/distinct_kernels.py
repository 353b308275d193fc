"""The kernel that counts distinct tiles, with a hash table on plain arrays.

A raster is passed as words, unsigned integers of any size (grid_h·tile, grid_w·words of a tile's
row). `lanes`, a constant of the compiled code, is the number of words processed at a time.
"""

import numpy as np
from numpy.typing import NDArray

from ppcli.jit.kernel import helper, kernel

Words = NDArray[np.uint8] | NDArray[np.uint32] | NDArray[np.uint64]
Mask = NDArray[np.bool_]
Origin = tuple[np.uint64, np.uint64]


@helper
def _origin(here: int, grid_w: int, tile: int, width: int) -> Origin:
    """Return the top row and leftmost word of a tile, given its row-major index."""
    return np.uint64(here // grid_w * tile), np.uint64(here % grid_w * width)


@helper
def _fingerprint(
    words: Words, origin: Origin, tile: int, width: int, lanes: int, step: int
) -> np.uint64:
    """Hash every `step`-th row of a tile."""
    n = np.uint64(lanes)
    golden = np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing
    mixer = np.uint64(0xBF58476D1CE4E5B9)  # SplitMix64
    mixed = np.uint64(0)
    for y in range(np.uint64((tile + step - 1) // step)):
        row = words[origin[0] + y * np.uint64(step)]
        for x in range(np.uint64(0), np.uint64(width), n):
            weighted = np.uint64(0)
            for i in range(n):
                weight = (i + np.uint64(1)) * golden
                weight = (weight ^ (weight >> np.uint64(31))) * mixer | np.uint64(1)
                weighted += np.uint64(row[origin[1] + x + i]) * weight
            mixed = (mixed ^ weighted) * golden
            mixed ^= mixed >> np.uint64(29)
    return mixed


@helper
def _equal(words: Words, a: Origin, b: Origin, tile: int, width: int, lanes: int) -> bool:
    n = np.uint64(lanes)
    for y in range(np.uint64(tile)):
        p, q = words[a[0] + y], words[b[0] + y]
        for x in range(np.uint64(0), np.uint64(width), n):
            difference = np.uint64(0)
            for i in range(n):
                difference |= np.uint64(p[a[1] + x + i] ^ q[b[1] + x + i])
            if difference != 0:
                return False
    return True


def count_distinct(words: Words, candidates: Mask, tile: int, lanes: int) -> int:
    """Count the distinct tiles among the candidates, exactly.

    Tiles with equal fingerprints are compared byte by byte. Fingerprints of every other row are
    faster; where they make too many different tiles collide, all rows are used.

    Args:
        words: the raster, (grid_h·tile, grid_w·words of a tile's row).
        candidates: bool (grid_h, grid_w).
        tile: side of a tile in pixels.
        lanes: as from `ppcli.coding.similarity.lanes_of`, for the words of a tile's row.
    """
    number = int(np.count_nonzero(candidates))
    slots = max(16, 1 << (2 * number - 1).bit_length())
    fingerprints = np.empty(slots, dtype=np.uint64)
    for step, max_collisions in ((2, number // 4 + 64), (1, number * number)):
        table = np.full(slots, -1, dtype=np.int64)
        found = count_distinct_with(
            words,
            np.ascontiguousarray(candidates),
            tile,
            lanes,
            step,
            max_collisions,
            table,
            fingerprints,
        )
        if found >= 0:
            break
    return found


@kernel("any[:,:] bool[:,:] int const int int int64[:] uint64[:]")
def count_distinct_with(
    words: Words,
    candidates: Mask,
    tile: int,
    lanes: int,
    step: int,
    max_collisions: int,
    table: NDArray[np.int64],
    fingerprints: NDArray[np.uint64],
) -> int:
    """Count the distinct candidates, or return -1 after too many collisions.

    `table` and `fingerprints` are a hash table with linear probing. Their length is a power of 2,
    and `table` is all -1 at first.
    """
    grid_h, grid_w = candidates.shape
    width = words.shape[1] // grid_w
    slots = len(table)
    found = 0
    for here in range(grid_h * grid_w):
        if not candidates[here // grid_w, here % grid_w]:
            continue
        origin = _origin(here, grid_w, tile, width)
        fingerprint = _fingerprint(words, origin, tile, width, lanes, step)
        slot = np.int64(fingerprint & np.uint64(slots - 1))
        while table[slot] >= 0:
            if fingerprints[slot] == fingerprint:
                other = _origin(table[slot], grid_w, tile, width)
                if _equal(words, origin, other, tile, width, lanes):
                    break
                max_collisions -= 1
                if max_collisions < 0:
                    return -1
            slot = (slot + 1) & (slots - 1)
        if table[slot] < 0:
            table[slot], fingerprints[slot] = here, fingerprint
            found += 1
    return found
