"""The public functions `keep_mask` and `prune`."""

import inspect

import numpy as np
import pytest

from ppcli import keep_mask, prune
from ppcli.errors import ExitCode, UsageError
from tests.coding import twin
from tests.coding.rasters import of_letters

RASTER = of_letters(["AABB", "AABB", "CCAB", "CAAA"], 7)


def test_the_defaults_of_the_design():
    for function in (keep_mask, prune):
        given = {
            name: parameter.default
            for name, parameter in inspect.signature(function).parameters.items()
        }
        first = dict(list(given.items())[:5])
        assert first == {
            "raster": inspect.Parameter.empty,
            "tile": 32,
            "method": "pred_2d",
            "metric": "max",
            "threshold": 0.0,
        }
        assert given["mode"] == "anchored"


@pytest.mark.parametrize(
    ("raster", "tile"),
    [
        (RASTER.astype(np.int64), 7),
        (RASTER.astype(np.float32), 7),
        (RASTER.astype(np.int8), 7),
        (RASTER[..., 0], 7),
        (RASTER[..., :2], 7),
        (np.concatenate([RASTER, RASTER[..., :1]], axis=2), 7),
        (RASTER[None], 7),
        (RASTER[:-1], 7),
        (RASTER[:, :-1], 7),
        (RASTER, 32),
        (RASTER[:0], 7),
        (RASTER[:, :0], 7),
        (RASTER, 0),
        (RASTER, -7),
    ],
)
def test_a_raster_that_is_not_whole_rgb_tiles(raster, tile):
    for function in (keep_mask, prune):
        with pytest.raises(UsageError) as caught:
            function(raster, tile)
        assert caught.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"method": "left"}, "pred_2d"),
        ({"metric": "ssim"}, "rmse"),
        ({"mode": "drifting"}, "sliding"),
        ({"threshold": -0.1}, "threshold"),
        ({"threshold": 1.1}, "threshold"),
        ({"metric": "exact", "threshold": 0.1}, "exact"),
    ],
)
def test_an_unknown_name_or_a_number_out_of_range(wrong, named):
    for function in (keep_mask, prune):
        with pytest.raises(UsageError, match=named):
            function(RASTER, 7, **wrong)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"skip_ratio": 2.0}, "skip ratio"),
        ({"seed": -1}, "seed"),
        ({"match_count": True}, "match count"),
    ],
)
def test_a_control_out_of_range(wrong, named):
    with pytest.raises(UsageError, match=named):
        keep_mask(RASTER, 7, **wrong)


@pytest.mark.parametrize(
    ("raster", "tile", "named"), [(RASTER, 7.0, "whole"), (RASTER.tolist(), 7, "NumPy")]
)
def test_arguments_of_another_type(raster, tile, named):
    for function in (keep_mask, prune):
        with pytest.raises(UsageError, match=named):
            function(raster, tile)


def test_a_file_name_that_is_not_utf_8_can_seed():
    assert keep_mask(RASTER, 7, "random", image_id="a\udcff").any()


@pytest.mark.parametrize("method", twin.METHODS)
def test_a_raster_in_any_memory_layout(method):
    """Views, mirrored and read-only arrays give the mask of their pixels, and are not modified."""
    expected = twin.keep_mask(RASTER, 7, method, "max", 0)
    framed = np.zeros((30, 31, 4), dtype=np.uint8)
    framed[1:29, 2:30, :3] = RASTER
    frozen = RASTER.copy()
    frozen.flags.writeable = False
    mirrored = np.ascontiguousarray(RASTER[::-1, ::-1])[::-1, ::-1]
    for raster in (framed[1:29, 2:30, :3], np.asfortranarray(RASTER), mirrored, frozen):
        before = raster.copy()
        assert keep_mask(raster, 7, method).tolist() == expected
        assert np.array_equal(raster, before)


def test_a_tile_of_numpy_is_a_number_like_any_other():
    raster = np.random.default_rng(0).integers(0, 60, (64, 64, 3), dtype=np.uint8)
    raster[:, 32:] = raster[:, :32] + 9
    for kind in (np.uint8, np.int8, np.int64):
        keep = keep_mask(raster, kind(32), metric="mae", threshold=0.05)
        assert keep.tolist() == keep_mask(raster, 32, metric="mae", threshold=0.05).tolist()
        assert prune(raster, kind(32)).tile == 32
    with pytest.raises(UsageError, match="whole number"):
        prune(raster, True)
