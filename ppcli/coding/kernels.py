"""The coder's inner loops: Numba kernels on plain arrays.

Rasters, origins, `lanes` and `metric` are as in `ppcli.coding.similarity`. A function `x_into` is
the kernel of `x`: it writes into arrays that `x` allocates.

In a sequence `before` is the rebuilt frame before; without rows it says that there is none. A tile
that would be kept is *unchanged* if it is similar to the tile at its place there. The first tile of
a frame never is, so that every frame keeps a tile. Above bound 0 the anchored mode puts unchanged
tiles into the raster, where later ones are compared with them; callers pass a copy.
"""

import numpy as np
from numpy.typing import NDArray

from ppcli.coding.similarity import Bytes, Origin, origin, similar, similar_across
from ppcli.errors import DamagedError
from ppcli.jit.kernel import helper, kernel

Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]
Coordinates = NDArray[np.uint64]
Choices = NDArray[np.uint32]

ABOVE, REPEATS = 1, 2  # choices: the upper neighbour; from there on, a kept tile


def _empty_mask(raster: Bytes, tile: int) -> Mask:
    return np.zeros((raster.shape[0] // tile, raster.shape[1] // (tile * 3)), dtype=np.bool_)


@helper
def _take_over(raster: Bytes, before: Bytes, here: Origin, tile: int, lanes: int) -> None:
    """Copy a tile of the frame before to its place in the raster."""
    n = np.uint64(lanes)
    for y in range(np.uint64(tile)):
        source, target = before[here[0] + y], raster[here[0] + y]
        for x in range(here[1], here[1] + np.uint64(3 * tile), n):
            for i in range(n):
                target[x + i] = source[x + i]


@helper
def _is_unchanged(
    raster: Bytes,
    before: Bytes,
    here: Origin,
    tile: int,
    lanes: int,
    metric: int,
    bound: int,
    anchored: int,
) -> bool:
    """Return whether a tile is similar to that of the frame before; then take that over."""
    if len(before) == 0 or not similar_across(
        raster, here, before, here, tile, lanes, metric, bound
    ):
        return False
    if anchored and bound > 0:
        _take_over(raster, before, here, tile, lanes)
    return True


def pred_2d(
    raster: Bytes, tile: int, lanes: int, metric: int, bound: int, anchored: bool, before: Bytes
) -> tuple[Mask, Mask]:
    """Return which tiles the two-dimensional predictor keeps, and which are unchanged.

    Both are bool (grid_h, grid_w).
    """
    keep = _empty_mask(raster, tile)
    unchanged = np.zeros_like(keep)
    tops = np.zeros((2, keep.shape[1]), dtype=np.uint64)
    lefts = np.zeros((2, keep.shape[1]), dtype=np.uint64)
    pred_2d_into(raster, tile, lanes, metric, bound, anchored, before, keep, unchanged, tops, lefts)
    return keep, unchanged


@kernel("uint8[:,:] int const const int int uint8[:,:] bool[:,:] bool[:,:] uint64[:,:] uint64[:,:]")
def pred_2d_into(
    raster: Bytes,
    tile: int,
    lanes: int,
    metric: int,
    bound: int,
    anchored: int,
    before: Bytes,
    keep: Mask,
    unchanged: Mask,
    tops: Coordinates,
    lefts: Coordinates,
) -> int:
    """Mark the kept and the unchanged tiles in masks that are all False at first.

    `tops` and `lefts` hold, for each tile of the current and the previous grid row, the origin
    of the tile that its rebuilt pixels are copied from. The anchored mode thus compares with
    rebuilt tiles without building them, and tiles with one origin need no comparison.
    """
    width = tile * 3
    grid_h, grid_w = keep.shape
    keep[0, 0] = True
    for r in range(grid_h):
        now, above_row = r % 2, 1 - r % 2
        for c in range(grid_w):
            here = origin(r * tile, c * width)
            tops[now, c], lefts[now, c] = here
            if r == 0 and c == 0:
                continue
            above = (tops[above_row, c], lefts[above_row, c])
            prediction = above
            if c > 0:
                prediction = (tops[now, c - 1], lefts[now, c - 1])
            if r > 0 and c > 0:
                corner = (tops[above_row, c - 1], lefts[above_row, c - 1])
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
                unchanged[r, c] = _is_unchanged(
                    raster, before, here, tile, lanes, metric, bound, anchored
                )
                keep[r, c] = not unchanged[r, c]
            elif anchored:
                tops[now, c], lefts[now, c] = prediction
    return 0


def left_or_above(
    raster: Bytes, tile: int, lanes: int, metric: int, bound: int, anchored: bool, before: Bytes
) -> tuple[Mask, Mask, Choices]:
    """Return which tiles are kept, which are unchanged, and the choices.

    A tile is pruned if it is similar to its left neighbour, or else to its upper one. The choice
    of the latter is `ABOVE` if it has a left neighbour, too; all others are 0.

    Returns:
        bool, bool and uint32 (grid_h, grid_w).
    """
    keep = _empty_mask(raster, tile)
    unchanged = np.zeros_like(keep)
    choices = np.zeros(keep.shape, dtype=np.uint32)
    tops = np.zeros((2, keep.shape[1]), dtype=np.uint64)
    lefts = np.zeros((2, keep.shape[1]), dtype=np.uint64)
    left_or_above_into(
        raster, tile, lanes, metric, bound, anchored, before, keep, unchanged, choices, tops, lefts
    )
    return keep, unchanged, choices


@kernel(
    "uint8[:,:] int const const int int uint8[:,:] "
    "bool[:,:] bool[:,:] uint32[:,:] uint64[:,:] uint64[:,:]"
)
def left_or_above_into(
    raster: Bytes,
    tile: int,
    lanes: int,
    metric: int,
    bound: int,
    anchored: int,
    before: Bytes,
    keep: Mask,
    unchanged: Mask,
    choices: Choices,
    tops: Coordinates,
    lefts: Coordinates,
) -> int:
    """Mark the kept and the unchanged tiles, and the choices of others; see `pred_2d_into`."""
    width = tile * 3
    grid_h, grid_w = keep.shape
    for r in range(grid_h):
        now, above_row = r % 2, 1 - r % 2
        for c in range(grid_w):
            here = origin(r * tile, c * width)
            tops[now, c], lefts[now, c] = here
            if c > 0:
                left = (tops[now, c - 1], lefts[now, c - 1])
                if similar(raster, here, left, tile, lanes, metric, bound):
                    if anchored:
                        tops[now, c], lefts[now, c] = left
                    continue
            if r > 0:
                above = (tops[above_row, c], lefts[above_row, c])
                if similar(raster, here, above, tile, lanes, metric, bound):
                    choices[r, c] = ABOVE if c > 0 else 0
                    if anchored:
                        tops[now, c], lefts[now, c] = above
                    continue
            unchanged[r, c] = (r > 0 or c > 0) and _is_unchanged(
                raster, before, here, tile, lanes, metric, bound, anchored
            )
            keep[r, c] = not unchanged[r, c]
    return 0


def scan(
    raster: Bytes,
    tile: int,
    lanes: int,
    metric: int,
    bound: int,
    anchored: bool,
    serpentine: bool,
    before: Bytes,
) -> tuple[Mask, Mask]:
    """Return which tiles a one-dimensional scan keeps, and which are unchanged.

    A tile is compared with the last one that was not pruned for being similar to it (anchored) or
    with its predecessor (sliding). With `serpentine`, odd rows are scanned from right to left.

    Returns:
        bool and bool (grid_h, grid_w), row-major.
    """
    keep = _empty_mask(raster, tile)
    unchanged = np.zeros_like(keep)
    scan_into(raster, tile, lanes, metric, bound, anchored, serpentine, before, keep, unchanged)
    return keep, unchanged


@kernel("uint8[:,:] int const const int int int uint8[:,:] bool[:,:] bool[:,:]")
def scan_into(
    raster: Bytes,
    tile: int,
    lanes: int,
    metric: int,
    bound: int,
    anchored: int,
    serpentine: int,
    before: Bytes,
    keep: Mask,
    unchanged: Mask,
) -> int:
    """Mark the kept and the unchanged tiles in masks that are all False at first."""
    width = tile * 3
    grid_h, grid_w = keep.shape
    reference = origin(0, 0)
    for r in range(grid_h):
        for step in range(grid_w):
            c = grid_w - 1 - step if serpentine and r % 2 == 1 else step
            here = origin(r * tile, c * width)
            if not similar(raster, here, reference, tile, lanes, metric, bound):
                unchanged[r, c] = _is_unchanged(
                    raster, before, here, tile, lanes, metric, bound, anchored
                )
                keep[r, c] = not unchanged[r, c]
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
    """Label the 4-connected components of similar neighbours: int64 (grid_h·grid_w,).

    The label of a tile is the smallest row-major index in its component.
    """
    grid_h, grid_w = raster.shape[0] // tile, raster.shape[1] // (tile * 3)
    parent = np.arange(grid_h * grid_w, dtype=np.int64)
    components_into(raster, tile, lanes, metric, bound, parent)
    return parent


@kernel("uint8[:,:] int const const int int64[:]")
def components_into(
    raster: Bytes, tile: int, lanes: int, metric: int, bound: int, parent: Indices
) -> int:
    """Label the components in `parent`, where each tile is its own parent at first."""
    width = tile * 3
    grid_w = raster.shape[1] // width
    for here in range(len(parent)):
        top, left = here // grid_w * tile, here % grid_w * width
        here_at = origin(top, left)
        if left > 0 and similar(
            raster, here_at, origin(top, left - width), tile, lanes, metric, bound
        ):
            a, b = _root(parent, here - 1), _root(parent, here)
            parent[max(a, b)] = min(a, b)
        if top > 0 and similar(
            raster, here_at, origin(top - tile, left), tile, lanes, metric, bound
        ):
            a, b = _root(parent, here - grid_w), _root(parent, here)
            parent[max(a, b)] = min(a, b)
    for here in range(len(parent)):
        parent[here] = _root(parent, here)
    return 0


def pred_2d_sources(
    keep: Mask, tiles: Bytes, choices: Choices, lanes: int, metric: int, bound: int
) -> Indices:
    """Return the kept tile that each tile is rebuilt from: int64 (grid_h, grid_w).

    Args:
        keep: bool (grid_h, grid_w); keep[0, 0] is True.
        tiles: the kept tiles, stacked vertically, uint8 (kept·tile, tile·3).
        choices: uint32 (pruned,), for each pruned tile 0 if it takes its prediction, or `REPEATS`
            plus the number of the kept tile that it repeats.
        lanes: as from `lanes_of`.
        metric: MAX, MAE, RMSE or TWO_SCALE.
        bound: the integer bound that the mask was made with.

    Raises:
        DamagedError: a choice is none of these.
    """
    source = np.empty(keep.shape, dtype=np.int64)
    mask = np.ascontiguousarray(keep)
    if pred_2d_sources_into(mask, tiles, choices, lanes, metric, bound, source):
        raise DamagedError("a pruned tile repeats a tile that was not kept before it")
    return source


@kernel("bool[:,:] uint8[:,:] uint32[:] const const int int64[:,:]")
def pred_2d_sources_into(
    keep: Mask, tiles: Bytes, choices: Choices, lanes: int, metric: int, bound: int, source: Indices
) -> int:
    """Write the indices of the kept tiles into `source`; return 1 for a choice that is invalid."""
    grid_h, grid_w = keep.shape
    tile = tiles.shape[1] // 3
    count = pruned = 0
    for r in range(grid_h):
        for c in range(grid_w):
            if keep[r, c]:
                source[r, c] = count
                count += 1
                continue
            choice = np.int64(choices[pruned])
            pruned += 1
            if choice != 0:
                if choice < REPEATS or choice - REPEATS >= count:
                    return 1
                source[r, c] = choice - REPEATS
            elif r == 0:
                source[r, c] = source[r, c - 1]
            elif c == 0:
                source[r, c] = source[r - 1, c]
            else:
                left, above, corner = source[r, c - 1], source[r - 1, c], source[r - 1, c - 1]
                at_left, at_above = origin(left * tile, 0), origin(above * tile, 0)
                at_corner = origin(corner * tile, 0)
                source[r, c] = left
                if similar(tiles, at_corner, at_left, tile, lanes, metric, bound) and not similar(
                    tiles, at_corner, at_above, tile, lanes, metric, bound
                ):
                    source[r, c] = above
    return 0
