"""Rasters for the tests of the coder, built from a few tiles."""

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from tests.coding import twin

PEAK = 60


class Sample(NamedTuple):
    """A raster, and how its tiles are compared."""

    raster: np.ndarray
    tile: int
    metric: str
    threshold: Fraction


def texture(seed: int, tile: int) -> np.ndarray:
    """Make a tile of noise whose values can change by PEAK either way."""
    noise = np.random.default_rng(seed)
    return noise.integers(PEAK, 256 - PEAK, (tile, tile, 3), dtype=np.uint8)


def flat(level: int, tile: int) -> np.ndarray:
    return np.full((tile, tile, 3), level, dtype=np.uint8)


def of_letters(rows: Sequence[str], tile: int) -> np.ndarray:
    """Make a raster of textures, one per letter."""
    return twin.join([[texture(ord(letter), tile) for letter in row] for row in rows])


def of_levels(rows: Sequence[Sequence[int]], tile: int) -> np.ndarray:
    """Make a raster of flat grey tiles."""
    return twin.join([[flat(level, tile) for level in row] for row in rows])


def of_cells(cells: Sequence[Sequence[int]], palette: Sequence[np.ndarray]) -> np.ndarray:
    """Make a raster whose tiles come from a palette."""
    return twin.join([[palette[index] for index in row] for row in cells])


def mask(*rows: str) -> twin.Mask:
    """Parse a keep mask written in zeros and ones."""
    return [[cell == "1" for cell in row] for row in rows]


def _steps(metric: str, total: int) -> Iterator[int]:
    while total > 0:
        step = min(PEAK, math.isqrt(total) if metric == "rmse" else total)
        yield step
        total -= step * step if metric == "rmse" else step


def apart(base: np.ndarray, metric: str, total: int, sign: int = 1, seed: int = 0) -> np.ndarray:
    """Make a tile whose `twin.total_distance` from a base tile is exactly `total`.

    Args:
        base: uint8 (tile, tile, 3), at least PEAK away from 0 and 255.
        metric: exact, max, mae, rmse or two_scale.
        total: a difference of at most PEAK, or a sum of such differences.
        sign: 1 or -1, the direction of the change.
        seed: 0 changes the first bytes, 1 the last ones, others random ones.
    """
    size = base.size
    order = [range(size), range(size - 1, -1, -1)]
    places = order[seed] if seed < 2 else np.random.default_rng(seed).permutation(size)
    steps = [total] * (1 + seed) if metric not in ("mae", "rmse") else list(_steps(metric, total))
    changed = base.astype(np.int64).ravel()
    for place, step in zip(places, steps, strict=False):
        changed[place] += sign * step
    return changed.astype(np.uint8).reshape(base.shape)


def tinted(base: np.ndarray, place: int, total: int, channel: int = 0) -> np.ndarray:
    """Make a tile of which a channel of one block sums up to exactly `total` more than the base.

    Args:
        base: uint8 (tile, tile, 3), far enough from 0 and 255.
        place: number of the block.
        total: of either sign; spread evenly, so that no byte changes much.
        channel: 0 to 2.
    """
    changed = base.astype(np.int64)
    block = list(twin.blocks(changed))[place][..., channel]
    each, more = divmod(abs(total), block.size)
    steps = np.full(block.size, each)
    steps[:more] += 1
    block += np.sign(total) * steps.reshape(block.shape)
    return changed.astype(np.uint8)


def fixed() -> list[Sample]:
    """Make a fixed set: every metric, single rows and columns, tiles at the bound."""
    chance = np.random.default_rng(20)
    samples = []
    for metric in twin.METRICS:
        for tile, grid_h, grid_w, k in ((5, 1, 1, 1), (7, 6, 7, 2), (28, 1, 6, 3), (32, 5, 1, 1)):
            threshold = Fraction(0) if metric == "exact" else Fraction(k, 255)
            limit = twin.bound(metric, threshold, tile)
            bases = [texture(seed, tile) for seed in range(2)]
            palette = [flat(0, tile), flat(255, tile), *bases]
            palette += [apart(bases[0], metric, limit + nudge, 1, nudge + 1) for nudge in (0, 1)]
            palette += [apart(bases[0], metric, 2 * limit, -1, 2)]
            cells = chance.integers(0, len(palette), (grid_h, grid_w)).tolist()
            samples.append(Sample(of_cells(cells, palette), tile, metric, threshold))
    return samples
