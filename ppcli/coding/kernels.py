"""The coder's inner loops: Numba kernels on plain arrays.

A raster is passed as bytes, uint8 (grid_h·tile, grid_w·tile·3). Tiles are named by their
row-major index. All arithmetic is on 64-bit integers. The kernels stay in one file because
Numba's cache on disk notices changes file by file.
"""

from collections.abc import Callable
from contextlib import suppress
from pickle import UnpicklingError
from typing import Any, TypeVar

import numba
import numpy as np
from numba.core.caching import FunctionCache
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]

MAX, MAE, RMSE = 0, 1, 2

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])


class _Cache(FunctionCache):
    """Numba's cache on disk, which is never a reason not to work."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:  # noqa: ANN401
        """Load compiled code; None where there is none, or none that can be read."""
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except (OSError, EOFError, UnpicklingError):
            return None

    def save_overload(self, sig: Any, data: Any) -> None:  # noqa: ANN401
        """Save compiled code, unless the disk is full or the folder is lost."""
        with suppress(OSError):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]


def _jit(kernel: _Kernel) -> _Kernel:
    """Compile without the GIL, cached on disk wherever some cache folder can be written."""
    compiled: _Kernel = numba.njit(kernel, nogil=True)
    with suppress(RuntimeError):  # Numba found no folder for its cache
        compiled._cache = _Cache(kernel)  # type: ignore[attr-defined, no-untyped-call]
    return compiled


@_jit
def similar(raster: Bytes, grid_w: int, i: int, j: int, tile: int, metric: int, bound: int) -> bool:
    """Whether the tiles i and j are at most `bound` apart; stops at the first row that decides.

    Args:
        raster: uint8 (grid_h·tile, grid_w·tile·3).
        grid_w: tiles in a row.
        i: row-major index of a tile.
        j: row-major index of another.
        tile: side of a tile in pixels.
        metric: MAX, MAE or RMSE.
        bound: the integer bound of `ppcli.coding.options.distance_bound`.
    """
    if i == j:
        return True
    width = tile * 3
    row_i, left_i = i // grid_w * tile, i % grid_w * width
    row_j, left_j = j // grid_w * tile, j % grid_w * width
    total = np.int64(0)
    for y in range(tile):
        a = raster[row_i + y, left_i : left_i + width]
        b = raster[row_j + y, left_j : left_j + width]
        if bound == 0:
            differ = np.uint8(0)
            for x in range(width):
                differ |= a[x] ^ b[x]
            if differ != 0:
                return False
        elif metric == MAX:
            largest = np.int64(0)
            for x in range(width):
                largest = max(largest, abs(np.int64(a[x]) - np.int64(b[x])))
            if largest > bound:
                return False
        else:
            for x in range(width):
                difference = np.int64(a[x]) - np.int64(b[x])
                total += abs(difference) if metric == MAE else difference * difference
            if total > bound:
                return False
    return True


@_jit
def pred_2d(raster: Bytes, tile: int, metric: int, bound: int, anchored: bool) -> Mask:
    """The keep mask of the 2-D predictor, bool (grid_h, grid_w); DESIGN section 3.

    `origin` names, for every tile, the source tile that its rebuilt pixels come from, so that
    the anchored mode compares with rebuilt tiles without ever building them.
    """
    grid_h, grid_w = raster.shape[0] // tile, raster.shape[1] // (tile * 3)
    keep = np.zeros((grid_h, grid_w), dtype=np.bool_)
    origin = np.empty((grid_h, grid_w), dtype=np.int64)
    for r in range(grid_h):
        for c in range(grid_w):
            here = r * grid_w + c
            origin[r, c] = here
            if here == 0:
                keep[r, c] = True
                continue
            if r == 0:
                prediction = origin[r, c - 1]
            elif c == 0:
                prediction = origin[r - 1, c]
            else:
                left, above, corner = origin[r, c - 1], origin[r - 1, c], origin[r - 1, c - 1]
                prediction = left
                if similar(raster, grid_w, corner, left, tile, metric, bound) and not similar(
                    raster, grid_w, corner, above, tile, metric, bound
                ):
                    prediction = above
            if not similar(raster, grid_w, here, prediction, tile, metric, bound):
                keep[r, c] = True
            elif anchored:
                origin[r, c] = prediction
    return keep


@_jit
def scan(
    raster: Bytes, tile: int, metric: int, bound: int, anchored: bool, serpentine: bool
) -> Mask:
    """The keep mask of the one-dimensional scans, bool (grid_h, grid_w), row-major.

    A tile is compared with the last kept one (anchored) or with its predecessor (sliding);
    with `serpentine`, odd rows are scanned right to left.
    """
    grid_h, grid_w = raster.shape[0] // tile, raster.shape[1] // (tile * 3)
    keep = np.zeros((grid_h, grid_w), dtype=np.bool_)
    keep[0, 0] = True
    reference = 0
    for r in range(grid_h):
        for step in range(grid_w):
            c = grid_w - 1 - step if serpentine and r % 2 == 1 else step
            here = r * grid_w + c
            if not similar(raster, grid_w, here, reference, tile, metric, bound):
                keep[r, c] = True
                reference = here
            elif not anchored:
                reference = here
    return keep


@_jit
def _root(parent: Indices, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@_jit
def components(raster: Bytes, tile: int, metric: int, bound: int) -> Indices:
    """4-connected components of similar neighbours: int64 (grid_h·grid_w,).

    Each tile gets the smallest row-major index of its component.
    """
    grid_h, grid_w = raster.shape[0] // tile, raster.shape[1] // (tile * 3)
    parent = np.arange(grid_h * grid_w)
    for here in range(grid_h * grid_w):
        if here % grid_w > 0 and similar(raster, grid_w, here, here - 1, tile, metric, bound):
            a, b = _root(parent, here - 1), _root(parent, here)
            parent[max(a, b)] = min(a, b)
        if here >= grid_w and similar(raster, grid_w, here, here - grid_w, tile, metric, bound):
            a, b = _root(parent, here - grid_w), _root(parent, here)
            parent[max(a, b)] = min(a, b)
    for here in range(grid_h * grid_w):
        parent[here] = _root(parent, here)
    return parent


@_jit
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


@_jit
def rebuild_pred_2d(keep: Mask, tiles: Bytes, metric: int, bound: int) -> Indices:
    """Which kept tile each tile of the rebuilt raster is a copy of: int64 (grid_h, grid_w).

    Args:
        keep: bool (grid_h, grid_w), keep[0, 0] is true.
        tiles: the kept tiles below one another, uint8 (kept·tile, tile·3).
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
                source[r, c] = left
                if similar(tiles, 1, corner, left, tile, metric, bound) and not similar(
                    tiles, 1, corner, above, tile, metric, bound
                ):
                    source[r, c] = above
    return source
