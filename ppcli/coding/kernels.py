"""The coder's inner loops: Numba kernels on plain arrays.

A raster is passed as bytes, uint8 (grid_h·tile, grid_w·tile·3). A tile is named by its top row
and its leftmost byte. Distances are integers.

So many bytes as `lanes` says are compared at a time, a divisor of tile·3. It is a constant of the
compiled code; only then do the inner loops become vector instructions. So is the metric, whose
other distances are left out.
"""

import numpy as np
from numpy.typing import NDArray

from ppcli.jit.kernel import helper, kernel

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint8] | NDArray[np.uint32] | NDArray[np.uint64]
Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]
Places = NDArray[np.uint64]
Place = tuple[np.uint64, np.uint64]

MAX, MAE, RMSE = 0, 1, 2

_LANES = (96, 84, 21, 12, 3)  # few: each is compiled apart


def lanes_of(width: int) -> int:
    """How many of the bytes or words in a tile's row, a multiple of 3, are taken at a time."""
    return next(lanes for lanes in _LANES if width % lanes == 0)


@helper
def _place(top: int, left: int) -> Place:
    """A tile by its top row and leftmost byte, unsigned, which spares a check at each access."""
    return np.uint64(top), np.uint64(left)


@helper
def _within_max(raster: Bytes, a: Place, b: Place, tile: int, lanes: int, bound: int) -> bool:
    """Whether no byte differs by more than `bound`; stops at the first bytes that decide."""
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
def _within_sum(raster: Bytes, a: Place, b: Place, tile: int, lanes: int, bound: int) -> bool:
    """Whether the absolute differences add up to `bound` at most."""
    n = np.uint64(lanes)
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


@helper
def _within_squares(raster: Bytes, a: Place, b: Place, tile: int, lanes: int, bound: int) -> bool:
    """Whether the squared differences add up to `bound` at most."""
    n = np.uint64(lanes)
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


@helper
def similar(
    raster: Bytes, a: Place, b: Place, tile: int, lanes: int, metric: int, bound: int
) -> bool:
    """Whether two tiles are at most `bound` apart.

    Args:
        raster: uint8 (grid_h·tile, grid_w·tile·3).
        a: top row and leftmost byte of a tile, uint64.
        b: those of another.
        tile: side of a tile in pixels.
        lanes: of `lanes_of`.
        metric: MAX, MAE or RMSE.
        bound: the integer bound of `ppcli.coding.coder_options.distance_bound`.
    """
    if metric == MAX:
        return _within_max(raster, a, b, tile, lanes, bound)
    if metric == MAE:
        return _within_sum(raster, a, b, tile, lanes, bound)
    return _within_squares(raster, a, b, tile, lanes, bound)


def pred_2d(raster: Bytes, tile: int, lanes: int, metric: int, bound: int, anchored: bool) -> Mask:
    """The keep mask of the 2-D predictor, bool (grid_h, grid_w); DESIGN section 3."""
    keep = _empty_mask(raster, tile)
    tops = np.zeros((2, keep.shape[1]), dtype=np.uint64)
    lefts = np.zeros((2, keep.shape[1]), dtype=np.uint64)
    predict(raster, tile, lanes, metric, bound, anchored, keep, tops, lefts)
    return keep


def _empty_mask(raster: Bytes, tile: int) -> Mask:
    return np.zeros((raster.shape[0] // tile, raster.shape[1] // (tile * 3)), dtype=np.bool_)


@kernel("uint8[:,:] int const const int int bool[:,:] uint64[:,:] uint64[:,:]")
def predict(
    raster: Bytes,
    tile: int,
    lanes: int,
    metric: int,
    bound: int,
    anchored: int,
    keep: Mask,
    tops: Places,
    lefts: Places,
) -> int:
    """The 2-D predictor, into `keep`, which is false before.

    `tops` and `lefts` name, for every tile of this row of the grid and the one before, the source
    tile that its rebuilt pixels come from, so that the anchored mode compares with rebuilt tiles
    without ever building them. Two tiles with one source are equal without a look at them.
    """
    width = tile * 3
    grid_h, grid_w = keep.shape
    keep[0, 0] = True
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
    return 0


def scan(
    raster: Bytes,
    tile: int,
    lanes: int,
    metric: int,
    bound: int,
    anchored: bool,
    serpentine: bool,
) -> Mask:
    """The keep mask of the one-dimensional scans, bool (grid_h, grid_w), row-major.

    A tile is compared with the last kept one (anchored) or with its predecessor (sliding);
    with `serpentine`, odd rows are scanned right to left.
    """
    keep = _empty_mask(raster, tile)
    follow(raster, tile, lanes, metric, bound, anchored, serpentine, keep)
    return keep


@kernel("uint8[:,:] int const const int int int bool[:,:]")
def follow(
    raster: Bytes,
    tile: int,
    lanes: int,
    metric: int,
    bound: int,
    anchored: int,
    serpentine: int,
    keep: Mask,
) -> int:
    """The scans, into `keep`, which is false before."""
    width = tile * 3
    grid_h, grid_w = keep.shape
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
    return 0


@helper
def _root(parent: Indices, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


def components(raster: Bytes, tile: int, lanes: int, metric: int, bound: int) -> Indices:
    """4-connected components of similar neighbours: int64 (grid_h·grid_w,).

    Each tile gets the smallest row-major index of its component.
    """
    grid_h, grid_w = raster.shape[0] // tile, raster.shape[1] // (tile * 3)
    parent = np.arange(grid_h * grid_w, dtype=np.int64)
    connect(raster, tile, lanes, metric, bound, parent)
    return parent


@kernel("uint8[:,:] int const const int int64[:]")
def connect(raster: Bytes, tile: int, lanes: int, metric: int, bound: int, parent: Indices) -> int:
    """The components, into `parent`, where each tile has its own index before."""
    width = tile * 3
    grid_w = raster.shape[1] // width
    for here in range(len(parent)):
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
    for here in range(len(parent)):
        parent[here] = _root(parent, here)
    return 0


def spread(order: Indices, sizes: Indices, kept: Indices) -> Mask:
    """Keep members evenly spread over each component: bool (sum of sizes,), row-major.

    Args:
        order: the tiles component by component, in row-major order within each, int64.
        sizes: members of each component, int64.
        kept: how many members of each to keep, int64, between 1 and the size.
    """
    keep = np.zeros(order.size, dtype=np.bool_)
    keep_some(order, sizes, kept, keep)
    return keep


@kernel("int64[:] int64[:] int64[:] bool[:]")
def keep_some(order: Indices, sizes: Indices, kept: Indices, keep: Mask) -> int:
    """As `spread`, into `keep`, which is false before."""
    start = 0
    for component in range(sizes.size):
        n, m = sizes[component], kept[component]
        keep[order[start]] = True
        for i in range(1, m):
            keep[order[start + i * (n - 1) // (m - 1)]] = True
        start += n
    return 0


def rebuild_pred_2d(keep: Mask, tiles: Bytes, lanes: int, metric: int, bound: int) -> Indices:
    """Which kept tile each tile of the rebuilt raster is a copy of: int64 (grid_h, grid_w).

    Args:
        keep: bool (grid_h, grid_w), keep[0, 0] is true.
        tiles: the kept tiles below one another, uint8 (kept·tile, tile·3).
        lanes: of `lanes_of`.
        metric: MAX, MAE or RMSE.
        bound: the integer bound that the mask was made with.
    """
    source = np.empty(keep.shape, dtype=np.int64)
    trace(np.ascontiguousarray(keep), tiles, lanes, metric, bound, source)
    return source


@kernel("bool[:,:] uint8[:,:] const const int int64[:,:]")
def trace(keep: Mask, tiles: Bytes, lanes: int, metric: int, bound: int, source: Indices) -> int:
    """As `rebuild_pred_2d`, into `source`."""
    grid_h, grid_w = keep.shape
    tile = tiles.shape[1] // 3
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
    return 0


def gather(raster: Bytes, keep: Mask, tile: int, lanes: int) -> Bytes:
    """The kept tiles below one another: uint8 (kept·tile, tile·3)."""
    tiles = np.empty((int(np.count_nonzero(keep)) * tile, tile * 3), dtype=np.uint8)
    collect(raster, np.ascontiguousarray(keep), tile, lanes, tiles)
    return tiles


@kernel("uint8[:,:] bool[:,:] int const uint8[:,:]")
def collect(raster: Bytes, keep: Mask, tile: int, lanes: int, tiles: Bytes) -> int:
    """As `gather`, into `tiles`."""
    n = np.uint64(lanes)
    width = tile * 3
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
    return 0


@helper
def _fingerprint(
    words: Words, place: Place, tile: int, width: int, lanes: int, step: int
) -> np.uint64:
    """A number that is the same for tiles that agree in every `step`-th row."""
    n = np.uint64(lanes)
    golden = np.uint64(0x9E3779B97F4A7C15)  # of Fibonacci hashing
    mixer = np.uint64(0xBF58476D1CE4E5B9)  # of SplitMix64
    mixed = np.uint64(0)
    for y in range(np.uint64((tile + step - 1) // step)):
        row = words[place[0] + y * np.uint64(step)]
        for x in range(np.uint64(0), np.uint64(width), n):
            weighted = np.uint64(0)
            for i in range(n):
                weight = (i + np.uint64(1)) * golden
                weight = (weight ^ (weight >> np.uint64(31))) * mixer | np.uint64(1)
                weighted += np.uint64(row[place[1] + x + i]) * weight
            mixed = (mixed ^ weighted) * golden
            mixed ^= mixed >> np.uint64(29)
    return mixed


@helper
def _equal(words: Words, a: Place, b: Place, tile: int, width: int, lanes: int) -> bool:
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


def distinct(words: Words, looked_at: Mask, tile: int, lanes: int) -> int:
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
    slots = max(16, 1 << (2 * number - 1).bit_length())
    fingerprints = np.empty(slots, dtype=np.uint64)
    for step, patience in ((2, number // 4 + 64), (1, number * number)):
        table = np.full(slots, -1, dtype=np.int64)
        found = count(
            words, np.ascontiguousarray(looked_at), tile, lanes, step, patience, table, fingerprints
        )
        if found >= 0:
            break
    return found


@kernel("any[:,:] bool[:,:] int const int int int64[:] uint64[:]")
def count(
    words: Words,
    looked_at: Mask,
    tile: int,
    lanes: int,
    step: int,
    patience: int,
    table: Indices,
    fingerprints: Places,
) -> int:
    """As `distinct`, or -1 after `patience` comparisons of unlike tiles.

    `table`, of -1 before, and `fingerprints` make a hash table; their length is a power of 2.
    """
    grid_h, grid_w = looked_at.shape
    width = words.shape[1] // grid_w
    slots = len(table)
    found = 0
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
            found += 1
    return found
