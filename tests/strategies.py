"""Hypothesis strategies and settings that tests share."""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.coding import rasters, twin

TILES = (5, 7, 28, 32)
NEAR = [Fraction(k, 510) for k in (6, 5, 2, 8, 11, 4, 7, 13, 1)]

unhurried = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


@dataclass(frozen=True)
class Case:
    """A raster, the tiles it is made of, and how they are compared."""

    tile: int
    metric: str
    threshold: Fraction
    cells: list[list[int]]
    recipes: list[str]
    raster: np.ndarray = field(repr=False)


grid_shapes = st.sampled_from(
    [(1, 1), (1, 2), (2, 1), (1, 7), (6, 1)] + [(h, w) for h in range(2, 8) for w in range(2, 8)]
)

skip_ratios = st.one_of(
    st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.7, 0.75, 0.9, 1.0]), st.floats(0, 1)
)


TINTS = ("noise", "noise", "noise", "noise", "grey", "grey", "black", "white")


def painted(
    chance: np.random.Generator, tile: int, metric: str, limit: int, seed: int
) -> tuple[str, np.ndarray]:
    """Make a base tile, or one at a multiple of `limit` from it, give or take one."""
    tint = chance.choice(TINTS)
    if tint in ("black", "white"):
        return str(tint), rasters.flat(0 if tint == "black" else 255, tile)
    base = rasters.flat(100, tile) if tint == "grey" else rasters.texture(1, tile)
    total = max(0, int(chance.choice([0, 1, 1, 2, 3]) * limit + chance.choice([-1, 0, 0, 1])))
    sign = int(chance.choice([1, 1, 1, -1]))
    if metric == "two_scale" and chance.random() < 0.5:
        place = int(chance.integers(0, (-(-tile // 16)) ** 2))
        pixels = list(twin.blocks(base))[place][..., 0].size
        total = sign * (limit * pixels // 4 + int(chance.choice([-1, 0, 0, 1, limit])))
        channel = int(chance.integers(0, 3))
        tint_of = rasters.tinted(base, place, total, channel)
        return f"{tint} block {place} {total:+d}", tint_of
    recipe = f"{tint} {'+' if sign > 0 else '-'}{total}"
    return recipe, rasters.apart(base, metric, total, sign, seed)


def ramp(
    chance: np.random.Generator, tile: int, metric: str, limit: int, seed: int
) -> list[tuple[str, np.ndarray]]:
    """Make tiles that are similar, or just not similar, to the next one and far from later ones."""
    base = rasters.texture(1, tile)
    step = max(0, limit - int(chance.choice([0, 0, 1, limit // 2, -1])))
    totals = [i * step for i in range(5)]
    return [(f"ramp {total}", rasters.apart(base, metric, total, 1, seed)) for total in totals]


def wandering(chance: np.random.Generator, grid_h: int, grid_w: int, size: int) -> list[list[int]]:
    """Choose cells: mostly that of the left or upper neighbour, or a palette entry next to it."""
    cells = chance.integers(0, size, (grid_h, grid_w))
    for r in range(grid_h):
        for c in range(grid_w):
            if (r or c) and chance.random() < 0.9:
                near = (
                    cells[r, c - 1] if c and (r == 0 or chance.random() < 0.6) else cells[r - 1, c]
                )
                cells[r, c] = np.clip(near + chance.choice([0, 0, 1, -1]), 0, size - 1)
    return cells.tolist()


@st.composite
def cases(draw: st.DrawFn, metric: str | None = None) -> Case:
    """Draw rasters with many repeats, whose tiles often lie right at the bound of similarity.

    τ is k/255, (k+½)/255, 0 or 1. Tiles and cells come from a drawn seed: Hypothesis would
    mostly draw equal ones.
    """
    metric = metric or draw(st.sampled_from(twin.METRICS))
    grid_h, grid_w = draw(grid_shapes)
    tile = draw(st.sampled_from(TILES))
    near = draw(st.sampled_from(NEAR))
    threshold = draw(st.sampled_from([near] * 8 + [Fraction(0), Fraction(1)]))
    if metric == "exact":
        threshold = Fraction(0)
    limit = twin.bound("max" if metric == "exact" else metric, near, tile)
    drawn = draw(st.integers(0, 2**32 - 1))
    chance = np.random.default_rng([drawn, grid_h, grid_w, tile, near.numerator])
    seed = int(chance.integers(0, 4))
    if chance.random() < 0.5:
        palette = ramp(chance, tile, metric, limit, seed)
    else:
        size = chance.integers(2, 8)
        palette = [painted(chance, tile, metric, limit, seed) for _ in range(size)]
    cells = wandering(chance, grid_h, grid_w, len(palette))
    raster = rasters.of_cells(cells, [tile for _, tile in palette])
    return Case(tile, metric, threshold, cells, [recipe for recipe, _ in palette], raster)
