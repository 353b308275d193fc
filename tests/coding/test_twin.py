"""Masks worked out by hand, and mutations of the twin that the comparison must detect."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import Phase, find, settings

from ppcli import keep_mask
from tests.coding import twin
from tests.coding.rasters import apart, mask, of_letters, of_levels, texture
from tests.strategies import cases, unhurried

TILE = 7
LETTERS = ["AABB", "AABB", "CCAB", "CAAA"]
LEVELS = [[10, 13, 17], [10, 11, 20]]
RAMP = [[0, 3, 6, 9, 20]]

BY_HAND = [
    ("pred_2d", {}, LETTERS, mask("1010", "0000", "1011", "0101")),
    ("raster", {}, LETTERS, mask("1010", "1010", "1011", "1100")),
    ("serpentine", {}, LETTERS, mask("1010", "0100", "1011", "1001")),
    ("conncomp", {}, LETTERS, mask("1010", "0000", "1010", "0000")),
    ("conncomp", {"skip_ratio": 0.5}, LETTERS, mask("1010", "0110", "1011", "0001")),
    ("conncomp", {"skip_ratio": 0.0}, LETTERS, mask("1111", "1111", "1111", "1111")),
    ("conncomp", {"match_count": True}, LETTERS, mask("1010", "0100", "1011", "0001")),
    ("conncomp", {"match_count": True}, ["AAB", "ABB"], mask("101", "101")),
]

BY_HAND_WITHIN_TAU = [
    ("pred_2d", "anchored", LEVELS, 4, mask("101", "000")),
    ("pred_2d", "sliding", LEVELS, 4, mask("100", "001")),
    ("raster", "anchored", RAMP, 5, mask("10101")),
    ("raster", "sliding", RAMP, 5, mask("10001")),
    ("serpentine", "anchored", [[0, 4], [12, 8]], 5, mask("10", "01")),
    ("serpentine", "sliding", [[0, 4], [12, 8]], 5, mask("10", "00")),
    ("conncomp", "anchored", RAMP, 5, mask("10001")),
    ("conncomp", "sliding", RAMP, 5, mask("10001")),
]


@pytest.mark.parametrize(("method", "controls", "rows", "by_hand"), BY_HAND)
@pytest.mark.parametrize("metric", twin.METRICS)
@pytest.mark.parametrize("mode", twin.MODES)
def test_masks_by_hand_at_threshold_0(method, controls, rows, by_hand, metric, mode):
    raster = of_letters(rows, TILE)
    assert twin.keep_mask(raster, TILE, method, metric, 0, mode, **controls) == by_hand
    assert keep_mask(raster, TILE, method, metric, mode=mode, **controls).tolist() == by_hand


@pytest.mark.parametrize(("method", "mode", "rows", "k", "by_hand"), BY_HAND_WITHIN_TAU)
@pytest.mark.parametrize("metric", ["max", "mae", "rmse"])
def test_masks_by_hand_within_tau(method, mode, rows, k, by_hand, metric):
    raster, tau = of_levels(rows, TILE), Fraction(k, 255)
    assert twin.keep_mask(raster, TILE, method, metric, tau, mode) == by_hand
    assert keep_mask(raster, TILE, method, metric, float(tau), mode=mode).tolist() == by_hand


def test_a_metric_by_hand():
    """One byte of 75 differs by 30: max 30, mae 0.4, rmse 3.46… of 255 levels."""
    base = texture(1, 5)
    pair = np.concatenate([base, apart(base, "max", 30)], axis=1)
    levels = [("max", "30", "29"), ("mae", "0.4", "0.39"), ("rmse", "3.4642", "3.4641")]
    for metric, similar, not_similar in levels:
        for level, by_hand in ((similar, mask("10")), (not_similar, mask("11"))):
            tau = Fraction(level) / 255
            assert twin.keep_mask(pair, 5, "raster", metric, tau) == by_hand
            assert keep_mask(pair, 5, "raster", metric, float(tau)).tolist() == by_hand


def predict_left(tiles, r, c, similar):
    return tiles[r][c - 1] if c else tiles[r - 1][0]


def predict_above(tiles, r, c, similar):
    return tiles[r - 1][c] if r else tiles[0][c - 1]


def predict_above_whenever_the_corner_is_like_the_left(tiles, r, c, similar):
    inner = r and c and similar(tiles[r - 1][c - 1], tiles[r][c - 1])
    return predict_above(tiles, r, c, similar) if inner else predict_left(tiles, r, c, similar)


def predict_with_left_and_above_swapped(tiles, r, c, similar):
    if r == 0 or c == 0:
        return predict_left(tiles, r, c, similar)
    left, above, corner = tiles[r][c - 1], tiles[r - 1][c], tiles[r - 1][c - 1]
    return left if similar(corner, above) and not similar(corner, left) else above


def keep_the_last_members(n, m):
    return list(range(n - m, n))


def spread_rounding_up(n, m):
    return [0] if m == 1 else [math.ceil(i * (n - 1) / (m - 1)) for i in range(m)]


def round_half_up(n, skip_ratio):
    return max(1, n - math.floor(n * skip_ratio + 0.5))


def one_bound_less(metric, threshold, tile):
    return math.ceil(255 * Fraction(threshold) * (1 if metric == "max" else tile * tile * 3)) - 1


right_draw = twin.keep_random


def draw_for_any_image(grid_h, grid_w, kept, seed, image_id):
    return right_draw(grid_h, grid_w, kept, seed, "")


def draw_with_any_seed(grid_h, grid_w, kept, seed, image_id):
    return right_draw(grid_h, grid_w, kept, 0, image_id)


HALF = {"skip_ratio": 0.5}
NAMED = {"seed": 1, "image_id": "page.png"}
LONG = ["AAAAB", "CCCCB", "CDDDB"]
WRONG_AT_0 = [
    ("pred_2d", {}, LETTERS, "predict_2d", predict_left),
    ("pred_2d", {}, LETTERS, "predict_2d", predict_above),
    ("pred_2d", {}, ["CB", "AA"], "predict_2d", predict_with_left_and_above_swapped),
    ("serpentine", {}, LETTERS, "boustrophedon", twin.row_major),
    ("raster", {}, LETTERS, "row_major", twin.boustrophedon),
    ("conncomp", {}, LETTERS, "spread", keep_the_last_members),
    ("conncomp", HALF, LETTERS, "members_kept", round_half_up),
    ("conncomp", {"skip_ratio": 0.3}, LONG, "spread", spread_rounding_up),
    ("conncomp", {"match_count": True}, LETTERS, "matching_skip_ratio", lambda *_: 1.0),
    ("conncomp", {"match_count": True}, LETTERS, "matching_skip_ratio", lambda *_: 0.5),
    ("random", NAMED, LONG, "keep_random", draw_for_any_image),
    ("random", NAMED, LONG, "keep_random", draw_with_any_seed),
]


@pytest.mark.parametrize(
    ("method", "controls", "rows", "part", "wrong"),
    WRONG_AT_0,
    ids=[f"{method}-{part}-{i}" for i, (method, _, _, part, _) in enumerate(WRONG_AT_0)],
)
def test_a_wrong_twin_is_found_out(method, controls, rows, part, wrong, monkeypatch):
    raster = of_letters(rows, TILE)
    keep = keep_mask(raster, TILE, method, **controls).tolist()
    assert twin.keep_mask(raster, TILE, method, "max", 0, **controls) == keep
    monkeypatch.setattr(twin, part, wrong)
    assert twin.keep_mask(raster, TILE, method, "max", 0, **controls) != keep


@pytest.mark.parametrize(
    ("method", "rows", "k"),
    [("pred_2d", LEVELS, 4), ("raster", RAMP, 5), ("serpentine", [[0, 4], [12, 8]], 5)],
)
def test_the_other_mode_is_found_out(method, rows, k):
    raster, tau = of_levels(rows, TILE), Fraction(k, 255)
    for mode, other in (twin.MODES, twin.MODES[::-1]):
        keep = keep_mask(raster, TILE, method, "max", float(tau), mode=mode).tolist()
        assert twin.keep_mask(raster, TILE, method, "max", tau, mode) == keep
        assert twin.keep_mask(raster, TILE, method, "max", tau, other) != keep


def test_a_predictor_that_does_not_ask_about_the_tile_above_is_found_out(monkeypatch):
    """Only above threshold 0 can the corner be similar to two neighbours that differ."""
    raster, tau = of_levels([[10, 13], [7, 4]], TILE), Fraction(4, 255)
    keep = keep_mask(raster, TILE, "pred_2d", "max", float(tau), mode="sliding").tolist()
    assert keep == mask("10", "00")
    assert twin.keep_mask(raster, TILE, "pred_2d", "max", tau, "sliding") == keep
    monkeypatch.setattr(twin, "predict_2d", predict_above_whenever_the_corner_is_like_the_left)
    assert twin.keep_mask(raster, TILE, "pred_2d", "max", tau, "sliding") != keep


@pytest.mark.parametrize("metric", ["max", "mae"])
def test_a_bound_that_shuts_out_its_own_value_is_found_out(metric, monkeypatch):
    raster, tau = of_levels([[10, 13]], TILE), Fraction(3, 255)
    keep = keep_mask(raster, TILE, "raster", metric, float(tau)).tolist()
    assert twin.keep_mask(raster, TILE, "raster", metric, tau) == keep
    monkeypatch.setattr(twin, "bound", one_bound_less)
    assert twin.keep_mask(raster, TILE, "raster", metric, tau) != keep


def test_the_other_metric_is_found_out():
    """A single byte is a large distance for max, and a negligible one for the means."""
    base = texture(1, TILE)
    raster, tau = np.concatenate([base, apart(base, "max", 30)], axis=1), Fraction(8, 255)
    means = [keep_mask(raster, TILE, "raster", m, float(tau)).tolist() for m in ("mae", "rmse")]
    assert means == [twin.keep_mask(raster, TILE, "raster", m, tau) for m in ("mae", "rmse")]
    assert twin.keep_mask(raster, TILE, "raster", "max", tau) not in means
    tau = Fraction(1, 255)
    keep = keep_mask(raster, TILE, "raster", "mae", float(tau)).tolist()
    assert keep == twin.keep_mask(raster, TILE, "raster", "mae", tau)
    assert keep != twin.keep_mask(raster, TILE, "raster", "rmse", tau)


def keep_of(case, method, mode="anchored"):
    return twin.keep_mask(case.raster, case.tile, method, case.metric, case.threshold, mode)


@pytest.mark.parametrize("metric", ["max", "mae", "rmse"])
def test_the_drawn_rasters_tell_the_configurations_apart(metric, monkeypatch):
    """`find` raises if no raster of the strategy does."""
    generate = settings(unhurried, max_examples=500, phases=[Phase.generate])

    def reached(differs):
        return find(cases(metric), differs, settings=generate)

    for method in twin.PREDICTIVE:
        reached(lambda c, m=method: keep_of(c, m) != keep_of(c, m, "sliding"))
        reached(lambda c, m=method: keep_of(c, m) != keep_of(c, "conncomp"))
    reached(lambda c: keep_of(c, "raster") != keep_of(c, "serpentine"))
    reached(lambda c: keep_of(c, "raster") != keep_of(c, "pred_2d"))

    def differs_with(part, wrong):
        def differs(case):
            with monkeypatch.context() as patch:
                right = keep_of(case, "pred_2d")
                patch.setattr(twin, part, wrong)
                return keep_of(case, "pred_2d") != right

        return differs

    right_bound = twin.bound
    reached(differs_with("bound", lambda *how: right_bound(*how) + 1))
    reached(differs_with("bound", lambda *how: right_bound(*how) - 1))
    for wrong in (
        predict_left,
        predict_above,
        predict_with_left_and_above_swapped,
        predict_above_whenever_the_corner_is_like_the_left,
    ):
        reached(differs_with("predict_2d", wrong))
