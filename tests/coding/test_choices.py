"""Methods whose patch sets say how pruned tiles are rebuilt."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcli import keep_mask, prune
from ppcli.coding.kernels import ABOVE, REPEATS
from ppcli.coding.patchset import KeptTiles, PatchSet
from ppcli.errors import DamagedError
from tests.coding import rasters, twin
from tests.coding.rasters import mask, of_letters, of_levels
from tests.strategies import cases, unhurried

TILE = 7
FLAT = [[10, 20, 10], [20, 10, 30]]
FLAT_METHODS = ("pred_2d_flat", "left_or_above_flat")


@pytest.mark.parametrize("metric", twin.METRICS)
@pytest.mark.parametrize("mode", twin.MODES)
def test_colours_by_hand(metric, mode):
    raster = of_levels(FLAT, TILE)
    assert keep_mask(raster, TILE, "pred_2d", metric, mode=mode).all()
    patch_set = prune(raster, TILE, "pred_2d_flat", metric, mode=mode)
    assert patch_set.keep.tolist() == mask("110", "001")
    assert patch_set.choices.tolist() == [REPEATS, REPEATS + 1, REPEATS]
    assert np.array_equal(patch_set.reconstruct(), raster)


def test_neighbours_by_hand():
    """B is like the tile above it, and A in the middle like both."""
    patch_set = prune(of_letters(["AAB", "CAB"], TILE), TILE, "left_or_above")
    assert patch_set.keep.tolist() == mask("101", "100")
    assert patch_set.choices.tolist() == [0, ABOVE, ABOVE]
    within_tau = of_levels([[10, 20], [14, 16]], TILE)
    patch_set = prune(within_tau, TILE, "left_or_above", "max", 4 / 255)
    assert patch_set.keep.tolist() == mask("11", "00")
    assert patch_set.choices.tolist() == [0, ABOVE]  # 16 is compared with 10, which 14 became
    sliding = prune(within_tau, TILE, "left_or_above", "max", 4 / 255, mode="sliding")
    assert sliding.choices.tolist() == [0, 0]
    assert np.array_equal(sliding.reconstruct(), of_levels([[10, 20], [10, 10]], TILE))


@pytest.mark.parametrize("method", FLAT_METHODS)
def test_colours_are_compared_exactly_at_any_threshold(method):
    raster = of_levels([[10, 90, 11, 90, 12]], TILE)
    patch_set = prune(raster, TILE, method, "max", 1 / 255)
    assert patch_set.keep.tolist() == mask("11101")
    rebuilt = patch_set.reconstruct()
    assert np.array_equal(rebuilt, raster)


@pytest.mark.parametrize("method", FLAT_METHODS)
@pytest.mark.parametrize("place", [(0, 3, 0), (3, 0, 2), (6, 6, 1)])
def test_one_other_byte_makes_a_tile_of_two_colours(method, place):
    raster = of_levels([[10, 90, 10]], TILE)
    assert keep_mask(raster, TILE, method).tolist() == mask("110")
    y, x, channel = place
    raster[y, 2 * TILE + x, channel] += 1
    assert keep_mask(raster, TILE, method).tolist() == mask("111")


def test_many_colours_are_told_apart():
    """Each colour once, in an order that fills the table of colours; then each once more."""
    colours = np.random.default_rng(1).permutation(1 << 24)[:3_000]
    tiles = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=-1).astype(np.uint8)
    raster = np.concatenate([tiles, tiles[::-1]]).reshape(1, -1, 3)
    patch_set = prune(raster, 1, "pred_2d_flat")
    assert patch_set.kept == 3_000
    assert np.array_equal(patch_set.reconstruct(), raster)


@pytest.mark.parametrize("method", twin.CHOOSING)
@unhurried
@given(data=st.data())
def test_nothing_is_lost_at_threshold_0(method, data):
    case = data.draw(cases("max"))
    for mode in twin.MODES:
        patch_set = prune(case.raster, case.tile, method, "max", 0.0, mode=mode)
        assert np.array_equal(patch_set.reconstruct(), case.raster)


@pytest.mark.parametrize("metric", ["max", "mae", "rmse"])
@pytest.mark.parametrize("method", twin.CHOOSING)
@unhurried
@given(data=st.data())
def test_rebuilt_tiles_stay_within_tau(method, metric, data):
    case = data.draw(cases(metric))
    tau = float(case.threshold)
    patch_set = prune(case.raster, case.tile, method, metric, tau)
    keep = twin.keep_mask(case.raster, case.tile, method, metric, case.threshold)
    assert patch_set.keep.tolist() == keep
    limit = twin.bound(metric, case.threshold, case.tile)
    rebuilt = patch_set.reconstruct()
    rows = zip(twin.cut(case.raster, case.tile), twin.cut(rebuilt, case.tile), strict=True)
    pairs = (pair for row in rows for pair in zip(*row, strict=True))
    assert all(twin.total_distance(a, b, metric) <= limit for a, b in pairs)


@st.composite
def flat_grids(draw):
    """Grids of a few flat levels and a texture, so that colours come again."""
    cells = st.integers(0, 5)
    grid = draw(st.lists(st.lists(cells, min_size=4, max_size=4), min_size=1, max_size=5))
    palette = [rasters.flat(level, 3) for level in (0, 1, 2, 200, 255)] + [rasters.texture(1, 3)]
    return rasters.of_cells(grid, palette)


@pytest.mark.parametrize("method", FLAT_METHODS)
@unhurried
@given(raster=flat_grids(), levels=st.sampled_from([0, 1, 2]))
def test_flat_grids_follow_the_twin(method, raster, levels):
    tau = Fraction(levels, 255)
    for mode in twin.MODES:
        found = keep_mask(raster, 3, method, "max", float(tau), mode=mode)
        assert found.tolist() == twin.keep_mask(raster, 3, method, "max", tau, mode)
        base = keep_mask(raster, 3, method.removesuffix("_flat"), "max", float(tau), mode=mode)
        assert not (found & ~base).any()
    anchored = prune(raster, 3, method, "max", float(tau)).reconstruct()
    difference = np.abs(anchored.astype(int) - raster)
    assert difference.max() <= levels


def good(method: str) -> PatchSet:
    return prune(of_levels(FLAT, TILE), TILE, method)


@pytest.mark.parametrize("method", FLAT_METHODS)
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("choice", [ABOVE, REPEATS + 2, REPEATS + 99, 2**32 - 1])
def test_impossible_choices_are_damage(method, place, choice):
    """At the first place the third kept tile has not come yet, and there is no row above."""
    right = good(method)
    choices = right.choices.copy()
    choices[place] = choice
    wrong = replace(right, choices=choices)
    if choice == ABOVE and method == "left_or_above_flat" and place == 2:
        assert not np.array_equal(wrong.reconstruct(), right.reconstruct())
        return
    with pytest.raises(DamagedError, match="repeats a tile that"):
        wrong.reconstruct()


def test_choices_that_do_not_fit_are_damage():
    right = good("pred_2d_flat")
    for choices in (None, right.choices[:2], right.choices.astype(np.int64)):
        with pytest.raises(DamagedError, match="choice"):
            PatchSet(right.keep, right.tiles, right.options, choices)
    plain = prune(of_levels(FLAT, TILE), TILE)
    assert plain.choices is None
    with pytest.raises(DamagedError, match="choices of method pred_2d are missing or extra"):
        PatchSet(plain.keep, plain.tiles, plain.options, np.zeros(0, np.uint32))


def test_a_model_needs_no_choices():
    right = good("pred_2d_flat")
    assert KeptTiles(right.keep, right.tiles, right.options).kept == 3
