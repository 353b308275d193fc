"""The coder's options: thresholds, bounds, and invalid combinations."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcli.arguments import parse_choice
from ppcli.coding.coder_options import (
    CoderOptions,
    Method,
    Metric,
    Mode,
    distance_bound,
    parse_threshold,
)
from ppcli.errors import ExitCode, PixelpruneError, UsageError
from tests.coding import twin
from tests.strategies import unhurried


@pytest.mark.parametrize(
    ("text", "threshold"),
    [
        ("0", 0.0),
        ("1", 1.0),
        ("0.03", 0.03),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("3/255", 3 / 255),
        ("255/255", 1.0),
        (" 3/255\n", 3 / 255),
        ("7/510", 3.5 / 255),
        ("3.5/255", 3.5 / 255),
        ("2.0/255", 2 / 255),
    ],
)
def test_a_threshold_is_a_decimal_or_a_fraction(text, threshold):
    assert parse_threshold(text) == threshold


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "abc",
        "3/0",
        "3/",
        "/255",
        "0,03",
        "3//255",
        "3/1/2",
        "3%",
        "nan",
        "inf",
        "1e400",
        "inf/9",
        "3/nan",
    ],
)
def test_a_threshold_that_is_not_a_number(text):
    with pytest.raises(UsageError, match="3/255") as caught:
        parse_threshold(text)
    assert caught.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize("tile", [1, 5, 28, 32, 64])
def test_the_bound_is_exact_at_every_level_and_between(tile):
    n = tile * tile * 3
    for k in range(256):
        for tau in (k / 255, parse_threshold(f"{k}/255")):
            assert distance_bound(Metric.MAX, tau, tile) == k
            assert distance_bound(Metric.MAE, tau, tile) == k * n
            assert distance_bound(Metric.RMSE, tau, tile) == k * k * n
    for k in range(255):
        tau = parse_threshold(f"{2 * k + 1}/510")
        assert distance_bound(Metric.MAX, tau, tile) == k
        assert distance_bound(Metric.MAE, tau, tile) == k * n + n // 2
        assert distance_bound(Metric.RMSE, tau, tile) == (2 * k + 1) ** 2 * n // 4


@unhurried
@given(tau=st.floats(0, 1), tile=st.integers(1, 64), metric=st.sampled_from(list(Metric)))
def test_the_bound_of_any_threshold(tau, tile, metric):
    if metric is Metric.EXACT:
        tau = 0.0
    assert distance_bound(metric, tau, tile) == twin.bound(metric, tau, tile)


@pytest.mark.parametrize("tile", [161, 224, 256, 448])
def test_a_difference_of_k_levels_is_similar_at_tiles_of_any_size(tile):
    n = tile * tile * 3
    for k in range(256):
        assert distance_bound(Metric.RMSE, k / 255, tile) == k * k * n
        assert distance_bound(Metric.MAE, k / 255, tile) == k * n


def test_the_bound_forgives_a_rounding_error_and_no_more():
    assert distance_bound(Metric.MAX, (3 - 5e-7) / 255, 32) == 3
    assert distance_bound(Metric.MAX, (3 - 5e-6) / 255, 32) == 2
    assert distance_bound(Metric.EXACT, 0.0, 32) == 0


REFUSED = [
    ({"threshold": -0.01}, "threshold"),
    ({"threshold": 1.01}, "threshold"),
    ({"threshold": math.nan}, "threshold"),
    ({"threshold": math.inf}, "threshold"),
    ({"skip_ratio": -0.01}, "skip ratio"),
    ({"skip_ratio": 1.01}, "skip ratio"),
    ({"skip_ratio": math.nan}, "skip ratio"),
    ({"metric": Metric.EXACT, "threshold": 0.1}, "exact"),
    ({"metric": Metric.EXACT, "threshold": 1e-12}, "exact"),
    ({"method": Method.RANDOM, "seed": -1}, "seed"),
    *(
        ({"method": method, "match_count": True}, "match count")
        for method in Method
        if method is not Method.CONNCOMP
    ),
]


@pytest.mark.parametrize(("options", "named"), REFUSED)
def test_options_that_make_no_sense(options, named):
    with pytest.raises(UsageError, match=named) as caught:
        CoderOptions(**options)
    assert caught.value.exit_code is ExitCode.USAGE
    assert isinstance(caught.value, PixelpruneError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"threshold": 1.0},
        {"metric": Metric.EXACT},
        {"method": Method.CONNCOMP, "skip_ratio": 0.0},
        {"method": Method.CONNCOMP, "match_count": True},
        {"method": Method.RANDOM, "seed": 2**64},
    ],
)
def test_options_at_the_ends_of_their_ranges(options):
    made = CoderOptions(**options)
    assert {name: getattr(made, name) for name in options} == options


def test_the_defaults_are_lossless():
    options = CoderOptions()
    assert (options.method, options.metric) == (Method.PRED_2D, Metric.MAX)
    assert (options.mode, options.threshold) == (Mode.ANCHORED, 0)
    assert (options.skip_ratio, options.match_count, options.seed) == (1, False, 0)


def test_which_configurations_can_be_decoded():
    decodable = {
        (method, mode, tau)
        for method in Method
        for mode in Mode
        for tau in (0.0, 0.1)
        if CoderOptions(method=method, mode=mode, threshold=tau).decodable
    }
    assert decodable == {
        ("pred_2d", "anchored", 0.0),
        ("pred_2d", "anchored", 0.1),
        ("pred_2d", "sliding", 0.0),
        ("pred_2d_flat", "anchored", 0.0),
        ("pred_2d_flat", "anchored", 0.1),
        ("pred_2d_flat", "sliding", 0.0),
        *(
            (method, mode, tau)
            for method in ("raster", "serpentine", "left_or_above", "left_or_above_flat")
            for mode in Mode
            for tau in (0.0, 0.1)
        ),
    }


def test_the_label_names_the_configuration():
    options = CoderOptions(mode=Mode.SLIDING, threshold=0.03)
    assert options.label == "pred_2d (sliding, max, threshold 0.03)"


@pytest.mark.parametrize("kind", [Method, Metric, Mode])
def test_a_choice_is_one_of_the_known_names(kind):
    for member in kind:
        assert parse_choice(kind, "thing", str(member)) is member
    for name in ("", "PRED_2D", "max ", "no_such"):
        with pytest.raises(UsageError, match="thing") as caught:
            parse_choice(kind, "thing", name)
        assert all(member in str(caught.value) for member in kind)
        assert caught.value.exit_code is ExitCode.USAGE


def test_the_names_of_the_design():
    assert set(Method) == set(twin.METHODS)
    assert set(Metric) == set(twin.METRICS)
    assert set(Mode) == set(twin.MODES)


def test_the_options_load_without_the_heavy_packages():
    """`--help` imports the options, and a run that only loads kernels does not import Numba."""
    code = (
        "import sys; import ppcli.coding.{}; "
        "print(*sorted({{'numba', 'numpy'}} & set(sys.modules)), sep=',')"
    )

    def heavy(module):
        command = [sys.executable, "-c", code.format(module)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert heavy("coder_options") == ""
    assert heavy("kernels") == "numpy"
