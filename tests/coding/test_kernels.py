"""Keep masks, compared with those of the plain-Python twin."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcli import keep_mask
from tests.coding import rasters, twin
from tests.strategies import Case, cases, skip_ratios, unhurried


def assert_agree(case: Case | rasters.Sample, method: str, mode: str, **controls) -> None:
    """Assert that the coder and its twin keep the same tiles."""
    keep = keep_mask(
        case.raster, case.tile, method, case.metric, float(case.threshold), mode=mode, **controls
    )
    expected = twin.keep_mask(
        case.raster, case.tile, method, case.metric, case.threshold, mode, **controls
    )
    assert keep.dtype == np.bool_
    assert keep.tolist() == expected


@pytest.mark.parametrize("metric", twin.METRICS)
@pytest.mark.parametrize("method", twin.METHODS)
@unhurried
@given(data=st.data())
def test_masks_of_every_method_metric_and_mode(method, metric, data):
    case = data.draw(cases(metric))
    for mode in twin.MODES:
        assert_agree(case, method, mode)


@unhurried
@given(case=cases(), skip_ratio=skip_ratios, mode=st.sampled_from(twin.MODES))
def test_conncomp_skips_a_share_of_every_component(case, skip_ratio, mode):
    assert_agree(case, "conncomp", mode, skip_ratio=skip_ratio)


@unhurried
@given(case=cases(), mode=st.sampled_from(twin.MODES))
def test_conncomp_matches_the_count_of_pred_2d(case, mode):
    assert_agree(case, "conncomp", mode, match_count=True)


@unhurried
@given(case=cases(), mode=st.sampled_from(twin.MODES), seed=st.integers(0, 2**70), name=st.text())
def test_random_draws_by_seed_and_image_id(case, mode, seed, name):
    assert_agree(case, "random", mode, seed=seed, image_id=name)


@pytest.mark.parametrize("sample", rasters.fixed(), ids=lambda s: f"{s.metric}-{s.tile}")
def test_the_fixed_rasters(sample):
    for method in twin.METHODS:
        for mode in twin.MODES:
            assert_agree(sample, method, mode)


@pytest.mark.parametrize("tile", [7, 28, 32])
@pytest.mark.parametrize("metric", ["max", "mae", "rmse"])
@pytest.mark.parametrize("tau", [Fraction(k, 510) for k in (0, 1, 2, 3, 6, 13)], ids=str)
def test_similar_up_to_the_threshold_and_not_beyond(metric, tau, tile):
    n = tile * tile * 3
    total_at_tau = {"max": 255 * tau, "mae": 255 * tau * n, "rmse": (255 * tau) ** 2 * n}[metric]
    base = rasters.texture(1, tile)
    for total in {int(total_at_tau), int(total_at_tau) + 1}:
        for sign in (1, -1):
            for seed in range(3):
                other = rasters.apart(base, metric, total, sign, seed)
                for method in ("pred_2d", "raster", "serpentine", "conncomp"):
                    for axis in (0, 1):
                        pair = np.concatenate([base, other], axis=axis)
                        keep = keep_mask(pair, tile, method, metric, float(tau))
                        assert keep.ravel().tolist() == [True, total > total_at_tau]


def test_the_tiles_at_the_bound_are_as_far_apart_as_they_claim():
    base = rasters.texture(1, 7)
    for metric in twin.METRICS:
        for total in (0, 1, 2, 59):
            for seed in range(4):
                other = rasters.apart(base, metric, total, -1, seed)
                distance = twin.total_distance(base.astype(int), other.astype(int), metric)
                assert distance == total


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_sums_beyond_32_bits(metric):
    """Black and white tiles whose sum of squares overflows 32 bits to a small number."""
    tile = 224
    pair = rasters.of_levels([[0, 255]], tile)
    assert 255**2 * tile * tile * 3 > 2**33
    assert keep_mask(pair, tile, "pred_2d", metric, 0.9).tolist() == rasters.mask("11")
    assert keep_mask(pair, tile, "pred_2d", metric, 1.0).tolist() == rasters.mask("10")


@pytest.mark.parametrize("method", twin.METHODS)
def test_a_white_image_is_one_tile(method):
    """As a control, every tile of noise is kept."""
    white = np.full((6 * 28, 5 * 28, 3), 255, dtype=np.uint8)
    assert np.count_nonzero(keep_mask(white, 28, method)) == 1
    noise = np.random.default_rng(3).integers(0, 256, white.shape, dtype=np.uint8)
    assert keep_mask(noise, 28, method).all()


def test_random_depends_on_seed_and_name_only():
    raster = rasters.of_letters(["AABCDEFG", "AABCDEGF", "ABABABAB"], 7)
    model = np.count_nonzero(keep_mask(raster, 7))

    def draw(seed, name):
        keep = keep_mask(raster, 7, "random", seed=seed, image_id=name)
        assert np.count_nonzero(keep) == model
        return keep.tobytes()

    drawn = {draw(seed, name) for seed in range(3) for name in ("a.png", "b.png", "c.png")}
    assert len(drawn) == 9
    assert draw(1, "b.png") == draw(1, "b.png")
