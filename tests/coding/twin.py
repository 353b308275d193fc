"""A plain-Python twin of the coder, written from its definition alone: the tests' oracle.

The definition is in docs/how-it-works.md.

A mask is a list of rows of bool. Thresholds are exact fractions.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import xxhash

Tile = np.ndarray
Grid = list[list[Tile]]
Mask = list[list[bool]]
Similar = Callable[[Tile, Tile], bool]
Cell = tuple[int, int]

PREDICTIVE = ("pred_2d", "raster", "serpentine")
CHOOSING = ("pred_2d_flat", "left_or_above", "left_or_above_flat")  # patch sets have choices
METHODS = (*PREDICTIVE, *CHOOSING, "conncomp", "random")
METRICS = ("exact", "max", "mae", "rmse", "two_scale")
MODES = ("anchored", "sliding")


def cut(raster: np.ndarray, tile: int) -> Grid:
    """Cut a raster into tiles, row by row, as int64 so that differences can be negative."""
    height, width, _ = raster.shape
    return [
        [
            raster[top : top + tile, left : left + tile].astype(np.int64)
            for left in range(0, width, tile)
        ]
        for top in range(0, height, tile)
    ]


def join(tiles: Grid) -> np.ndarray:
    """Join a grid of tiles to a raster."""
    return np.concatenate([np.concatenate(row, axis=1) for row in tiles]).astype(np.uint8)


def total_distance(a: Tile, b: Tile, metric: str) -> int:
    """Return the largest difference, or the sum of absolute or squared differences."""
    difference = np.abs(a - b)
    if metric == "mae":
        return int(difference.sum())
    if metric == "rmse":
        return int((difference * difference).sum())
    return int(difference.max())


def bound(metric: str, threshold: Fraction | float, tile: int) -> int:
    """Return the largest `total_distance` of two similar tiles."""
    n = tile * tile * 3
    scale = 255 * Fraction(threshold)
    limit = {"exact": Fraction(0), "max": scale, "mae": scale * n, "rmse": scale * scale * n}
    limit["two_scale"] = scale
    return math.floor(limit[metric] + Fraction(1, 10**6))


def similarity(metric: str, threshold: Fraction | float, tile: int) -> Similar:
    """Return the relation ~ between two tiles."""
    limit = bound(metric, threshold, tile)
    if metric == "two_scale":
        return lambda a, b: total_distance(a, b, metric) <= limit and within_blocks(a, b, threshold)
    return lambda a, b: total_distance(a, b, metric) <= limit


def blocks(tile: Tile) -> Iterator[Tile]:
    """Yield blocks of at most 16×16 pixels, from the upper left corner."""
    for top in range(0, len(tile), 16):
        for left in range(0, len(tile), 16):
            yield tile[top : top + 16, left : left + 16]


def within_blocks(a: Tile, b: Tile, threshold: Fraction | float) -> bool:
    """Return whether the mean of each block and channel is within a quarter of the threshold."""
    for block in blocks(a - b):
        limit = 255 * Fraction(threshold) * block[..., 0].size / 4 + Fraction(1, 10**6)
        if any(abs(int(block[..., channel].sum())) > limit for channel in range(3)):
            return False
    return True


AUTO_STEPS = (0, 1, 2, 3, 4, 6, 8, 12)


def auto_level(distances: list[int]) -> int:
    """Return the levels that `auto` takes for the distances of horizontal neighbours."""
    near = sorted(one for one in distances if one <= 12)
    noisy = [one for one in near if one > 0]
    if not noisy or Fraction(len(noisy), len(distances)) < Fraction(1, 100):
        return 0
    rank = math.ceil(Fraction(95, 100) * len(near))  # nearest rank, counted from 1
    return min(step for step in AUTO_STEPS if step >= near[rank - 1])


def auto_threshold(raster: np.ndarray, tile: int) -> Fraction:
    """Return the threshold that `auto` takes for a raster."""
    pairs = [pair for row in cut(raster, tile) for pair in itertools.pairwise(row)]
    return Fraction(auto_level([total_distance(a, b, "max") for a, b in pairs]), 255)


def row_major(grid_h: int, grid_w: int) -> list[Cell]:
    return [(r, c) for r in range(grid_h) for c in range(grid_w)]


def boustrophedon(grid_h: int, grid_w: int) -> list[Cell]:
    places = []
    for r in range(grid_h):
        columns = range(grid_w) if r % 2 == 0 else reversed(range(grid_w))
        places += [(r, c) for c in columns]
    return places


def scan_order(method: str, grid_h: int, grid_w: int) -> list[Cell]:
    return (boustrophedon if method == "serpentine" else row_major)(grid_h, grid_w)


def predict_2d(tiles: Grid, r: int, c: int, similar: Similar) -> Tile:
    """Predict the tile at (r, c), which is not the first one, from its neighbours."""
    if r == 0:
        return tiles[0][c - 1]
    if c == 0:
        return tiles[r - 1][0]
    left, above, above_left = tiles[r][c - 1], tiles[r - 1][c], tiles[r - 1][c - 1]
    if similar(above_left, left) and not similar(above_left, above):
        return above
    return left


def keep_pred_2d(tiles: Grid, similar: Similar, mode: str) -> Mask:
    rebuilt = [list(row) for row in tiles]
    keep = [[True] * len(row) for row in tiles]
    for r, c in row_major(len(tiles), len(tiles[0]))[1:]:
        prediction = predict_2d(rebuilt if mode == "anchored" else tiles, r, c, similar)
        if similar(tiles[r][c], prediction):
            keep[r][c] = False
            rebuilt[r][c] = prediction
    return keep


def keep_left_or_above(tiles: Grid, similar: Similar, mode: str) -> Mask:
    """Prune a tile that is similar to its left neighbour, or else to its upper one."""
    rebuilt = [list(row) for row in tiles]
    keep = [[True] * len(row) for row in tiles]
    for r, c in row_major(len(tiles), len(tiles[0])):
        seen = rebuilt if mode == "anchored" else tiles
        candidates = ([seen[r][c - 1]] if c else []) + ([seen[r - 1][c]] if r else [])
        for candidate in candidates:
            if similar(tiles[r][c], candidate):
                keep[r][c] = False
                rebuilt[r][c] = candidate
                break
    return keep


def colour_of(tile: Tile) -> tuple[int, ...] | None:
    """Return the colour of a tile, if it has only one."""
    colours = {tuple(pixel) for row in tile.tolist() for pixel in row}
    return colours.pop() if len(colours) == 1 else None


def without_repeated_colours(tiles: Grid, keep: Mask) -> Mask:
    """Prune kept tiles of a colour of which a kept tile came before."""
    seen = set()
    kept = [list(row) for row in keep]
    for r, c in row_major(len(tiles), len(tiles[0])):
        colour = colour_of(tiles[r][c]) if keep[r][c] else None
        if colour is not None:
            kept[r][c] = colour not in seen
            seen.add(colour)
    return kept


def keep_along(tiles: Grid, places: list[Cell], similar: Similar, mode: str) -> Mask:
    """Compare each tile of a scan with the last kept (anchored) or the previous one (sliding)."""
    keep = [[False] * len(row) for row in tiles]
    reference = None
    for r, c in places:
        tile = tiles[r][c]
        keep[r][c] = reference is None or not similar(tile, reference)
        if keep[r][c] or mode == "sliding":
            reference = tile
    return keep


def components(tiles: Grid, similar: Similar) -> list[list[Cell]]:
    """Find the 4-connected components of similar neighbours, each in row-major order."""
    unseen = set(row_major(len(tiles), len(tiles[0])))
    found = []
    for start in row_major(len(tiles), len(tiles[0])):
        if start not in unseen:
            continue
        unseen.remove(start)
        members, queue = [], [start]
        while queue:
            r, c = queue.pop()
            members.append((r, c))
            for near in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
                if near in unseen and similar(tiles[r][c], tiles[near[0]][near[1]]):
                    unseen.remove(near)
                    queue.append(near)
        found.append(sorted(members))
    return found


def members_kept(n: int, skip_ratio: float) -> int:
    return max(1, n - round(n * skip_ratio))


def spread(n: int, m: int) -> list[int]:
    """Return which m of n members are kept."""
    return [0] if m == 1 else [i * (n - 1) // (m - 1) for i in range(m)]


def keep_conncomp(tiles: Grid, similar: Similar, skip_ratio: float) -> Mask:
    keep = [[False] * len(row) for row in tiles]
    for members in components(tiles, similar):
        n = len(members)
        for i in spread(n, members_kept(n, skip_ratio)):
            r, c = members[i]
            keep[r][c] = True
    return keep


def skip_ratios(sizes: set[int]) -> Iterator[float]:
    """Yield skip ratios that cover every way to prune components of these sizes.

    A component of n members prunes one more each time n·skip_ratio passes a half, so the floats
    at and next to these points cover all cases.
    """
    yield from (0.0, 1.0)
    for jump in {Fraction(2 * k + 1, 2 * n) for n in sizes for k in range(n)}:
        for direction in (0.0, 1.0):
            ratio = float(jump)
            for _ in range(5):
                yield ratio
                ratio = math.nextafter(ratio, direction)


def matching_skip_ratio(tiles: Grid, similar: Similar, wanted: int) -> float:
    """Return the skip ratio that keeps about `wanted` tiles; on a tie, the larger count."""
    sizes = [len(members) for members in components(tiles, similar)]

    def preference(ratio: float) -> tuple[int, int]:
        kept = sum(members_kept(n, ratio) for n in sizes)
        return abs(kept - wanted), -kept

    return min(skip_ratios(set(sizes)), key=preference)


def keep_random(grid_h: int, grid_w: int, kept: int, seed: int, image_id: str) -> Mask:
    bits = np.random.PCG64([seed, xxhash.xxh3_64_intdigest(image_id.encode())])
    drawn = set(np.random.Generator(bits).choice(grid_h * grid_w, kept, replace=False).tolist())
    return [[r * grid_w + c in drawn for c in range(grid_w)] for r in range(grid_h)]


def keep_mask(
    raster: np.ndarray,
    tile: int,
    method: str,
    metric: str,
    threshold: Fraction | float,
    mode: str = "anchored",
    skip_ratio: float = 1.0,
    match_count: bool = False,
    seed: int = 0,
    image_id: str = "",
) -> Mask:
    """Return which tiles of a raster are kept, for every method."""
    tiles = cut(raster, tile)
    grid_h, grid_w = len(tiles), len(tiles[0])
    similar = similarity(metric, threshold, tile)
    if method == "pred_2d":
        return keep_pred_2d(tiles, similar, mode)
    if method == "pred_2d_flat":
        return without_repeated_colours(tiles, keep_pred_2d(tiles, similar, mode))
    if method == "left_or_above":
        return keep_left_or_above(tiles, similar, mode)
    if method == "left_or_above_flat":
        return without_repeated_colours(tiles, keep_left_or_above(tiles, similar, mode))
    if method in PREDICTIVE:
        return keep_along(tiles, scan_order(method, grid_h, grid_w), similar, mode)
    if method == "conncomp" and not match_count:
        return keep_conncomp(tiles, similar, skip_ratio)
    wanted = count(keep_pred_2d(tiles, similar, mode))
    if method == "conncomp":
        return keep_conncomp(tiles, similar, matching_skip_ratio(tiles, similar, wanted))
    return keep_random(grid_h, grid_w, wanted, seed, image_id)


def reconstruct(
    keep: Mask, kept_tiles: np.ndarray, method: str, metric: str, threshold: Fraction | float
) -> np.ndarray:
    """Replay the scan: take a kept tile from the list, predict a pruned one."""
    grid_h, grid_w = len(keep), len(keep[0])
    similar = similarity(metric, threshold, kept_tiles.shape[1])
    store = iter(kept_tiles.astype(np.int64))
    rebuilt: Grid = [[next(store) if kept else None for kept in row] for row in keep]
    last = (0, 0)
    for r, c in scan_order(method, grid_h, grid_w):
        if not keep[r][c]:
            rebuilt[r][c] = (
                predict_2d(rebuilt, r, c, similar)
                if method == "pred_2d"
                else rebuilt[last[0]][last[1]]
            )
        last = (r, c)
    return join(rebuilt)


def count(keep: Mask) -> int:
    return sum(sum(row) for row in keep)


def distinct(raster: np.ndarray, tile: int) -> int:
    """Return the number of distinct tiles."""
    return len({one.tobytes() for row in cut(raster, tile) for one in row})
