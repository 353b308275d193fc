"""The threshold `auto`: the rule, and that everything after it is as with that number."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcli import keep_mask, prune
from ppcli.coding.auto_threshold import CAP, auto_levels, neighbour_distances
from ppcli.coding.coder_options import CoderOptions, Metric, Mode
from ppcli.coding.patchset import KeptTiles, PatchSet
from ppcli.coding.selection import selection_of
from ppcli.errors import UsageError
from tests.coding import twin
from tests.coding.rasters import of_levels
from tests.strategies import cases, unhurried

TILE = 7


def levels_of(raster: np.ndarray, tile: int = TILE) -> float:
    return selection_of(raster, tile, CoderOptions(threshold="auto")).options.tau * 255


def noisy(grid_h: int, grid_w: int, levels: int, tile: int = 32, seed: int = 0) -> np.ndarray:
    """Grey, where each value is off by as many levels at most."""
    shape = (grid_h * tile, grid_w * tile, 3)
    return np.random.default_rng(seed).integers(128, 129 + levels, shape, dtype=np.uint8)


def in_a_row(distances: list[int]) -> np.ndarray:
    """One row of flat tiles, the neighbours of which are so far apart."""
    levels = [100]
    for distance in distances:
        up = levels[-1] + distance
        levels.append(up if up < 256 else levels[-1] - distance)
    return of_levels([levels], TILE)


@pytest.mark.parametrize(
    ("distances", "levels"),
    [
        ([], 0),  # one column has no pairs
        ([0] * 20, 0),
        ([5], 6),
        ([9], 12),
        ([12], 12),
        ([13], 0),
        ([1] * 19 + [12], 1),  # the 95 % quantile of 20 is the 19th
        ([1] * 18 + [12] * 2, 12),
        ([0] * 19 + [4], 0),
        ([0] * 18 + [4] * 2, 4),
        ([3] + [50] * 99, 3),  # 1 % of the pairs
        ([3] + [50] * 100, 0),
        ([0] * 19 + [3] + [50] * 81, 0),
        ([2] * 60 + [200] * 40, 2),
    ],
)
def test_the_rule_by_hand(distances: list[int], levels: int) -> None:
    assert twin.auto_level(distances) == levels
    assert levels_of(in_a_row(distances)) == levels


@unhurried
@given(near=st.lists(st.integers(0, 60) | st.sampled_from([0, 0, 2_000]), min_size=13, max_size=13))
def test_the_rule_for_any_counts(near: list[int]) -> None:
    distances = [level for level, count in enumerate(near) for _ in range(count)] + [13] * near[5]
    counts = np.array(near, dtype=np.int64)
    assert auto_levels(counts, len(distances)) == twin.auto_level(distances)


@unhurried
@given(case=cases("max"), method=st.sampled_from(twin.METHODS), mode=st.sampled_from(twin.MODES))
def test_a_mask_is_that_of_the_own_threshold(case, method: str, mode: str) -> None:
    threshold = twin.auto_threshold(case.raster, case.tile)
    expected = twin.keep_mask(case.raster, case.tile, method, "max", threshold, mode)
    keep = keep_mask(case.raster, case.tile, method, threshold="auto", mode=mode)
    assert keep.tolist() == expected


@unhurried
@given(
    levels=st.integers(0, 20), seed=st.integers(0, 99), tile=st.sampled_from([1, 5, 7, 28, 32, 33])
)
def test_the_threshold_of_noise(levels: int, seed: int, tile: int) -> None:
    raster = noisy(4, 5, levels, tile, seed)
    raster[: 2 * tile] = raster[:1, :1]  # half of it is flat
    assert levels_of(raster, tile) == twin.auto_threshold(raster, tile) * 255


def test_distances_are_counted_up_to_the_cap() -> None:
    raster = in_a_row([0, 3, 12, 13, 3, 120])
    counts = neighbour_distances(raster.reshape(TILE, -1), TILE)
    assert counts.tolist() == [1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert len(counts) == CAP + 1


def test_only_horizontal_neighbours_count() -> None:
    raster = of_levels([[10, 12, 14], [90, 92, 94]], TILE)
    assert levels_of(raster) == 2
    assert levels_of(np.ascontiguousarray(raster.transpose(1, 0, 2))) == 0


def test_a_last_byte_counts_as_the_first_one() -> None:
    for place in ((0, 0, 0), (TILE - 1, TILE - 1, 2), (3, 0, 1)):
        raster = of_levels([[50, 50]], TILE)
        raster[place] += 7
        assert levels_of(raster) == 8


def test_an_image_is_rebuilt_within_its_own_threshold() -> None:
    raster = noisy(6, 8, 5)
    patch_set = prune(raster, threshold="auto")
    assert patch_set.options.threshold == 6 / 255
    assert patch_set.kept == 1 < keep_mask(raster, threshold=3 / 255).sum()
    off = np.abs(patch_set.reconstruct().astype(int) - raster)
    assert 0 < off.max() <= 6


def test_a_clean_image_loses_nothing() -> None:
    raster = of_levels([[10, 10, 60, 60], [10, 200, 60, 10]], TILE)
    patch_set = prune(raster, TILE, threshold="auto")
    assert patch_set.options.threshold == 0
    assert np.array_equal(patch_set.reconstruct(), raster)


def test_another_reading_of_the_rule_is_found_out(monkeypatch) -> None:
    """Pairs that are equal count for the quantile."""
    raster = in_a_row([0] * 60 + [3] * 2)
    assert levels_of(raster) == twin.auto_threshold(raster, TILE) * 255
    right = twin.auto_level
    monkeypatch.setattr(twin, "auto_level", lambda distances: right([d for d in distances if d]))
    assert levels_of(raster) != twin.auto_threshold(raster, TILE) * 255


@pytest.mark.parametrize("metric", ["mae", "rmse", "exact"])
def test_other_metrics_are_refused(metric: Metric) -> None:
    with pytest.raises(UsageError, match=rf"(auto.*{metric})|(exact.*auto)"):
        CoderOptions(metric=metric, threshold="auto")


@pytest.mark.parametrize("wrong", ["Auto", "0.1", "", "automatic"])
def test_another_text_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="a number between 0 and 1, or auto"):
        keep_mask(of_levels([[1]], TILE), TILE, threshold=wrong)


def test_which_configurations_can_be_decoded() -> None:
    raster = noisy(2, 3, 3)
    assert prune(raster, threshold="auto").options.threshold == 3 / 255
    with pytest.raises(UsageError, match=r"threshold auto\) cannot be decoded"):
        prune(raster, threshold="auto", mode="sliding")
    assert CoderOptions("raster", threshold="auto", mode=Mode.SLIDING).decodable


def test_kept_tiles_name_a_number() -> None:
    made = prune(noisy(2, 3, 3), threshold="auto")
    unsettled = replace(made.options, threshold="auto")
    for kind in (KeptTiles, PatchSet):
        with pytest.raises(UsageError, match="is a number, the one that auto stood for"):
            kind(made.keep, made.tiles, unsettled)
    assert Fraction(made.options.tau * 255) == 3
