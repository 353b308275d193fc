"""A plain-Python twin of the coder of sequences; see `twin`."""

import numpy as np

from tests.coding import twin
from tests.coding.twin import Grid, Mask, Similar

METHODS = (*twin.PREDICTIVE, *twin.CHOOSING)  # those that can be decoded


def predictions(method: str, seen: Grid, last: np.ndarray, r: int, c: int, similar: Similar):
    """Return what a tile may be similar to, the likeliest first."""
    if method.startswith("pred_2d"):
        return [twin.predict_2d(seen, r, c, similar)]
    if method.startswith("left_or_above"):
        return ([seen[r][c - 1]] if c else []) + ([seen[r - 1][c]] if r else [])
    return [last]


def coded(
    raster: np.ndarray,
    before: np.ndarray | None,
    tile: int,
    method: str,
    similar: Similar,
    mode: str = "anchored",
) -> tuple[Mask, Mask, np.ndarray]:
    """Return the kept tiles, the unchanged tiles, and the rebuilt raster, of one frame."""
    tiles = twin.cut(raster, tile)
    old = None if before is None else twin.cut(before, tile)
    rebuilt = [list(row) for row in tiles]
    keep = [[True] * len(row) for row in tiles]
    unchanged = [[False] * len(row) for row in tiles]
    last = tiles[0][0]
    for r, c in twin.scan_order(method, len(tiles), len(tiles[0]))[1:]:
        here = tiles[r][c]
        seen = rebuilt if mode == "anchored" else tiles
        found = [
            one for one in predictions(method, seen, last, r, c, similar) if similar(here, one)
        ]
        if found:
            keep[r][c], rebuilt[r][c] = False, found[0]
        elif old is not None and similar(here, old[r][c]):
            keep[r][c], unchanged[r][c], rebuilt[r][c] = False, True, old[r][c]
        if mode == "sliding":
            last = here
        elif not found:
            last = rebuilt[r][c]
    if method.endswith("flat"):
        prune_repeated_colours(rebuilt, keep, unchanged)
    return keep, unchanged, twin.join(rebuilt)


def prune_repeated_colours(rebuilt: Grid, keep: Mask, unchanged: Mask) -> None:
    """Let a kept or unchanged tile repeat its colour if one of that colour came before."""
    seen = set()
    for r, c in twin.row_major(len(keep), len(keep[0])):
        colour = twin.colour_of(rebuilt[r][c]) if keep[r][c] or unchanged[r][c] else None
        if colour in seen:
            keep[r][c] = unchanged[r][c] = False
        if colour is not None:
            seen.add(colour)
