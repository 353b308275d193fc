"""The coder's inner loops: Numba kernels on plain arrays.

A raster is passed as bytes, uint8 (grid_h·tile, grid_w·tile·3). A tile is named by its top row
and its leftmost byte. Distances are integers. The kernels stay in one file because Numba's cache
on disk notices changes file by file.

`lanes` is a tuple whose length alone has a meaning: so many bytes are compared at a time, a
divisor of tile·3. Being part of the type, it makes the length of the inner loops a constant of the
compiled code; only then do they become vector instructions.
"""

import numpy as np
from numpy.typing import NDArray

from ppcli.jit import jit

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint8] | NDArray[np.uint32] | NDArray[np.uint64]
Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]
Lanes = tuple[int, ...]
Place = tuple[np.uint64, np.uint64]

MAX, MAE, RMSE = 0, 1, 2

_LANES = tuple((0,) * length for length in (96, 84, 21, 12, 3))  # few: each is compiled apart


def lanes_of(width: int) -> Lanes:
    """How many of the bytes or words in a tile's row, a multiple of 3, are taken at a time."""
    return next(lanes for lanes in _LANES if width % len(lanes) == 0)


@jit
def _place(top: int, left: int) -> Place:
    """A tile by its top row and leftmost byte, unsigned, which spares a check at each access."""
    return np.uint64(top), np.uint64(left)


@jit
def _within_max(raster: Bytes, a: Place, b: Place, tile: int, lanes: Lanes, bound: int) -> bool:
    """Whether no byte differs by more than `bound`; stops at the first bytes that decide."""
    n = np.uint64(len(lanes))
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


@jit
def _within_sum(raster: Bytes, a: Place, b: Place, tile: int, lanes: Lanes, bound: int) -> bool:
    """Whether the absolute differences add up to `bound` at most."""
    n = np.uint64(len(lanes))
    total = np.int64(0)
    for x in range(np.uint64(0), np.uint64(tile * 3), n):
        for y in range(np.uint64(tile)):
            p, q = raster[a[0] + y], raster[b[0] + y]
            part = np.uint32(0)  # of at most 96 bytes
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


@jit
def _within_squares(raster: Bytes, a: Place, b: Place, tile: int, lanes: Lanes, bound: int) -> bool:
    """Whether the squared differences add up to `bound` at most."""
    n = np.uint64(len(lanes))
    total = np.int64(0)
    for x in range(np.uint64(0), np.uint64(tile * 3), n):
        for y in range(np.uint64(tile)):
            p, q = raster[a[0] + y], raster[b[0] + y]
            part = np.int32(0)  # of at most 96 bytes
            for i in range(n):
                difference = np.int32(p[a[1] + x + i]) - np.int32(q[b[1] + x + i])
                part += difference * difference
            total += part
            if total > bound:
                return False
    return True


@jit
def similar(
    raster: Bytes, a: Place, b: Place, tile: int, lanes: Lanes, metric: int, bound: int
) -> bool:
    """Whether two tiles are at most `bound` apart.

    Args:
        raster: uint8 (grid_h·tile, grid_w·tile·3).
        a: top row and leftmost byte of a tile, uint64.
        b: those of another.
        tile: side of a tile in pixels.
        lanes: of `lanes_of`.
        metric: MAX, MAE or RMSE.
        bound: the integer bound of `ppcli.coding.options.distance_bound`.
    """
    if metric == MAX:
        return _within_max(raster, a, b, tile, lanes, bound)
    if metric == MAE:
        return _within_sum(raster, a, b, tile, lanes, bound)
    return _within_squares(raster, a, b, tile, lanes, bound)


@jit
def pred_2d(
    raster: Bytes, tile: int, lanes: Lanes, metric: int, bound: int, anchored: bool
) -> Mask:
    """The keep mask of the 2-D predictor, bool (grid_h, grid_w); DESIGN section 3.

    `tops` and `lefts` name, for every tile of this row of the grid and the one before, the source
    tile that its rebuilt pixels come from, so that the anchored mode compares with rebuilt tiles
    without ever building them. Two tiles with one source are equal without a look at them.
    """
    width = tile * 3
    grid_h, grid_w = raster.shape[0] // tile, raster.shape[1] // width
    keep = np.zeros((grid_h, grid_w), dtype=np.bool_)
    keep[0, 0] = True
    tops = np.zeros((2, grid_w), dtype=np.uint64)
    lefts = np.zeros((2, grid_w), dtype=np.uint64)
    for r in range(grid_h):
        now, before = r % 2, 1 - r % 2
        for c in range(grid_w):
            here = _place(r * tile, c * width)
            tops[now, c], lefts[now, c] = here
            if r == 0 and c == 0:
                continue
            above = (tops[before, c], lefts[before, c])
            prediction = above
            if c > 0:
                prediction = (tops[now, c - 1], lefts[now, c - 1])
            if r > 0 and c > 0:
                corner = (tops[before, c - 1], lefts[before, c - 1])
                if (
                    corner != above
                    and (
                        corner == prediction
                        or similar(raster, corner, prediction, tile, lanes, metric, bound)
                    )
                    and not similar(raster, corner, above, tile, lanes, metric, bound)
                ):
                    prediction = above
            if not similar(raster, here, prediction, tile, lanes, metric, bound):
                keep[r, c] = True
            elif anchored:
                tops[now, c], lefts[now, c] = prediction
    return keep


@jit
def scan(
    raster: Bytes,
    tile: int,
    lanes: Lanes,
    metric: int,
    bound: int,
    anchored: bool,
    serpentine: bool,
) -> Mask:
    """The keep mask of the one-dimensional scans, bool (grid_h, grid_w), row-major.

    A tile is compared with the last kept one (anchored) or with its predecessor (sliding);
    with `serpentine`, odd rows are scanned right to left.
    """
    width = tile * 3
    grid_h, grid_w = raster.shape[0] // tile, raster.shape[1] // width
    keep = np.zeros((grid_h, grid_w), dtype=np.bool_)
    reference = _place(0, 0)
    for r in range(grid_h):
        for step in range(grid_w):
            c = grid_w - 1 - step if serpentine and r % 2 == 1 else step
            here = _place(r * tile, c * width)
            if not similar(raster, here, reference, tile, lanes, metric, bound):
                keep[r, c] = True
                reference = here
            elif not anchored:
                reference = here
    keep[0, 0] = True
    return keep


@jit
def _root(parent: Indices, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@jit
def components(raster: Bytes, tile: int, lanes: Lanes, metric: int, bound: int) -> Indices:
    """4-connected components of similar neighbours: int64 (grid_h·grid_w,).

    Each tile gets the smallest row-major index of its component.
    """
    width = tile * 3
    grid_h, grid_w = raster.shape[0] // tile, raster.shape[1] // width
    parent = np.arange(grid_h * grid_w)
    for here in range(grid_h * grid_w):
        top, left = here // grid_w * tile, here % grid_w * width
        place = _place(top, left)
        if left > 0 and similar(
            raster, place, _place(top, left - width), tile, lanes, metric, bound
        ):
            a, b = _root(parent, here - 1), _root(parent, here)
            parent[max(a, b)] = min(a, b)
        if top > 0 and similar(raster, place, _place(top - tile, left), tile, lanes, metric, bound):
            a, b = _root(parent, here - grid_w), _root(parent, here)
            parent[max(a, b)] = min(a, b)
    for here in range(grid_h * grid_w):
        parent[here] = _root(parent, here)
    return parent


@jit
def spread(order: Indices, sizes: Indices, kept: Indices) -> Mask:
    """Keep members evenly spread over each component: bool (sum of sizes,), row-major.

    Args:
        order: the tiles component by component, in row-major order within each, int64.
        sizes: members of each component, int64.
        kept: how many members of each to keep, int64, between 1 and the size.
    """
    keep = np.zeros(order.size, dtype=np.bool_)
    start = 0
    for component in range(sizes.size):
        n, m = sizes[component], kept[component]
        keep[order[start]] = True
        for i in range(1, m):
            keep[order[start + i * (n - 1) // (m - 1)]] = True
        start += n
    return keep


@jit
def rebuild_pred_2d(keep: Mask, tiles: Bytes, lanes: Lanes, metric: int, bound: int) -> Indices:
    """Which kept tile each tile of the rebuilt raster is a copy of: int64 (grid_h, grid_w).

    Args:
        keep: bool (grid_h, grid_w), keep[0, 0] is true.
        tiles: the kept tiles below one another, uint8 (kept·tile, tile·3).
        lanes: of `lanes_of`.
        metric: MAX, MAE or RMSE.
        bound: the integer bound that the mask was made with.
    """
    grid_h, grid_w = keep.shape
    tile = tiles.shape[1] // 3
    source = np.empty((grid_h, grid_w), dtype=np.int64)
    count = 0
    for r in range(grid_h):
        for c in range(grid_w):
            if keep[r, c]:
                source[r, c] = count
                count += 1
            elif r == 0:
                source[r, c] = source[r, c - 1]
            elif c == 0:
                source[r, c] = source[r - 1, c]
            else:
                left, above, corner = source[r, c - 1], source[r - 1, c], source[r - 1, c - 1]
                at_left, at_above = _place(left * tile, 0), _place(above * tile, 0)
                at_corner = _place(corner * tile, 0)
                source[r, c] = left
                if similar(tiles, at_corner, at_left, tile, lanes, metric, bound) and not similar(
                    tiles, at_corner, at_above, tile, lanes, metric, bound
                ):
                    source[r, c] = above
    return source


@jit
def gather(raster: Bytes, keep: Mask, tile: int, lanes: Lanes) -> Bytes:
    """The kept tiles below one another: uint8 (kept·tile, tile·3)."""
    n = np.uint64(len(lanes))
    width = tile * 3
    tiles = np.empty((np.count_nonzero(keep) * tile, width), dtype=np.uint8)
    row = np.uint64(0)
    for r in range(keep.shape[0]):
        for c in range(keep.shape[1]):
            if keep[r, c]:
                top, left = _place(r * tile, c * width)
                for y in range(np.uint64(tile)):
                    source, target = raster[top + y], tiles[row]
                    for x in range(np.uint64(0), np.uint64(width), n):
                        for i in range(n):
                            target[x + i] = source[left + x + i]
                    row += np.uint64(1)
    return tiles


@jit
def _fingerprint(
    words: Words, place: Place, tile: int, width: int, lanes: Lanes, step: int
) -> np.uint64:
    """A number that is the same for tiles that agree in every `step`-th row."""
    n = np.uint64(len(lanes))
    golden = np.uint64(0x9E3779B97F4A7C15)  # of Fibonacci hashing
    mixer = np.uint64(0xBF58476D1CE4E5B9)  # of SplitMix64
    mixed = np.uint64(0)
    for y in range(np.uint64(0), np.uint64(tile), np.uint64(step)):
        row = words[place[0] + y]
        for x in range(np.uint64(0), np.uint64(width), n):
            weighted = np.uint64(0)
            for i in range(n):
                weight = (i + np.uint64(1)) * golden
                weight = (weight ^ (weight >> np.uint64(31))) * mixer | np.uint64(1)
                weighted += np.uint64(row[place[1] + x + i]) * weight
            mixed = (mixed ^ weighted) * golden
            mixed ^= mixed >> np.uint64(29)
    return mixed


@jit
def _equal(words: Words, a: Place, b: Place, tile: int, width: int, lanes: Lanes) -> bool:
    n = np.uint64(len(lanes))
    for y in range(np.uint64(tile)):
        p, q = words[a[0] + y], words[b[0] + y]
        for x in range(np.uint64(0), np.uint64(width), n):
            difference = np.uint64(0)
            for i in range(n):
                difference |= np.uint64(p[a[1] + x + i] ^ q[b[1] + x + i])
            if difference != 0:
                return False
    return True


@jit
def distinct(words: Words, looked_at: Mask, tile: int, lanes: Lanes) -> int:
    """How many different tiles there are among those that `looked_at` names.

    Tiles with equal fingerprints are compared, so that the count is exact. Every other row is
    enough for a fingerprint, but where that makes too many unlike tiles look alike.

    Args:
        words: the raster as words of any size, (grid_h·tile, grid_w·words of a tile's row).
        looked_at: bool (grid_h, grid_w).
        tile: side of a tile in pixels.
        lanes: of `lanes_of`, for the words of a tile's row.
    """
    number = int(np.count_nonzero(looked_at))
    count = _count_distinct(words, looked_at, tile, lanes, 2, number // 4 + 64)
    if count < 0:
        count = _count_distinct(words, looked_at, tile, lanes, 1, number * number)
    return count


@jit
def _count_distinct(
    words: Words, looked_at: Mask, tile: int, lanes: Lanes, step: int, patience: int
) -> int:
    """As `distinct`, or -1 after `patience` comparisons of unlike tiles; a hash table."""
    grid_h, grid_w = looked_at.shape
    width = words.shape[1] // grid_w
    slots = 16
    while slots < 2 * np.count_nonzero(looked_at):
        slots *= 2
    table = np.full(slots, -1, dtype=np.int64)
    fingerprints = np.empty(slots, dtype=np.uint64)
    count = 0
    for here in range(grid_h * grid_w):
        if not looked_at[here // grid_w, here % grid_w]:
            continue
        place = _place(here // grid_w * tile, here % grid_w * width)
        fingerprint = _fingerprint(words, place, tile, width, lanes, step)
        slot = np.int64(fingerprint & np.uint64(slots - 1))
        while table[slot] >= 0:
            if fingerprints[slot] == fingerprint:
                other = table[slot]
                there = _place(other // grid_w * tile, other % grid_w * width)
                if _equal(words, place, there, tile, width, lanes):
                    break
                patience -= 1
                if patience < 0:
                    return -1
            slot = (slot + 1) & (slots - 1)
        if table[slot] < 0:
            table[slot], fingerprints[slot] = here, fingerprint
            count += 1
    return count
