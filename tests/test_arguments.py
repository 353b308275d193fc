"""Invalid arguments of public functions: each error names the argument."""

import pathlib
from fractions import Fraction

import numpy as np
import pytest

from ppcli import PatchSet, keep_mask, prune, pruned_inputs, read_patch_sets
from ppcli.coding.coder_options import CoderOptions, parse_threshold
from ppcli.errors import UsageError

RASTER = np.random.default_rng(0).integers(0, 60, (64, 96, 3), dtype=np.uint8)
MASKED = np.ma.masked_array(RASTER, mask=RASTER > 30)
WRONG = {
    "tile": [None, "32", 32.0, True, 0, -1, np.nan, [32], 10**400],
    "method": [None, 3, [], np.array([1, 2]), b"pred_2d", "x" * 1_000_000],
    "metric": [None, 3],
    "mode": [None, 3],
    "threshold": [10**400, -(10**400), np.nan, np.inf, "0", None, True, np.array([0.1]), 1 + 0j],
}
WRONG_FOR_MASKS = {
    "seed": [1.5, None, -1, True, "1"],
    "skip_ratio": [10**400, None, np.nan, "1"],
    "match_count": [None, 1, "no"],
    "image_id": [3, None, b"a"],
}
EACH = [(name, value) for name, values in WRONG.items() for value in values]
EACH_FOR_MASKS = [(name, value) for name, values in WRONG_FOR_MASKS.items() for value in values]


def named(case) -> str:
    return repr(case)[:30]


@pytest.mark.parametrize("case", EACH, ids=named)
def test_a_wrong_argument_is_named(case) -> None:
    name, value = case
    for function in (keep_mask, prune):
        with pytest.raises(UsageError, match=name) as caught:
            function(RASTER, **{name: value})
        assert len(str(caught.value)) <= 1_000


@pytest.mark.parametrize("case", EACH_FOR_MASKS, ids=named)
def test_a_wrong_argument_of_masks_is_named(case) -> None:
    name, value = case
    with pytest.raises(UsageError, match=name.replace("_", "[_ ]")):
        keep_mask(RASTER, **{name: value})


@pytest.mark.parametrize(
    "raster", [MASKED, RASTER.tolist(), None, RASTER.astype(object), RASTER[:0], "a.png"]
)
def test_what_is_no_raster(raster) -> None:
    for function in (keep_mask, prune):
        with pytest.raises(UsageError, match="raster"):
            function(raster)


def test_numbers_of_numpy_are_numbers() -> None:
    expected = keep_mask(RASTER, 32, "random", "mae", 0.25, seed=3)
    numbers = {"threshold": np.float32(0.25), "seed": np.uint8(3), "match_count": np.bool_(False)}
    assert np.array_equal(keep_mask(RASTER, np.int8(32), "random", "mae", **numbers), expected)
    options = CoderOptions(threshold=Fraction(1, 4), seed=np.int64(1))
    assert (type(options.threshold), type(options.seed)) == (float, int)


@pytest.mark.parametrize("raster", [RASTER, RASTER[::-1], np.asfortranarray(RASTER)])
def test_arrays_of_any_layout_are_taken(raster) -> None:
    frozen = raster.copy()
    frozen.flags.writeable = False
    assert np.array_equal(prune(frozen).reconstruct(), raster)


def test_a_patch_set_takes_arrays_and_options() -> None:
    good = prune(RASTER)
    masked = np.ma.masked_array(good.keep, mask=True)
    for keep, tiles, options in (
        (None, good.tiles, good.options),
        (good.keep.tolist(), good.tiles, good.options),
        (masked, good.tiles, good.options),
        (good.keep, None, good.options),
        (good.keep, np.ma.masked_array(good.tiles), good.options),
        (good.keep, good.tiles, None),
        (good.keep, good.tiles, "pred_2d"),
    ):
        with pytest.raises(UsageError):
            PatchSet(keep, tiles, options)


@pytest.mark.parametrize("ids", ["a.png", b"a.png", 3, [3], [b"a"], {"a.png": 1}])
def test_image_ids_are_a_list_of_texts(ids) -> None:
    with pytest.raises(UsageError, match="image_ids"):
        read_patch_sets("out", image_ids=ids)


@pytest.mark.parametrize("path", [None, 3, b"out"])
def test_a_dataset_is_a_path(path) -> None:
    with pytest.raises(UsageError, match="path"):
        read_patch_sets(path)


@pytest.mark.parametrize("most", [None, 1.5, True, 0])
def test_the_limit_of_pixels_is_a_whole_number(most) -> None:
    with pytest.raises(UsageError, match="max_image_pixels"):
        read_patch_sets("out", max_image_pixels=most)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        *[({"images": one}, "images") for one in (None, [], "a.png", 5, {"a": 1}, RASTER)],
        *[({"images": [one]}, "images") for one in (None, 3, b"a", MASKED, RASTER * 1.0)],
        *[({"prompt": one}, "prompt") for one in (None, 3, b"a", "half \ud800")],
        *[({"model": one}, "model") for one in (None, 3, b"a")],
        ({"system": 3}, "system"),
    ],
)
def test_inputs_of_models(wrong, match) -> None:
    given = {"images": [pathlib.Path("a.png")], "prompt": "What?", "model": "nowhere"} | wrong
    with pytest.raises(UsageError, match=match):
        pruned_inputs(**given)


@pytest.mark.parametrize(
    ("text", "advice"), [("3", "3/255"), ("2.0", "2.0/255"), ("255", "255/255")]
)
def test_a_threshold_in_levels_is_told_how_to_be_written(text: str, advice: str) -> None:
    with pytest.raises(UsageError, match=f"are {advice}"):
        parse_threshold(text)


@pytest.mark.parametrize("text", ["-1", "256", "1e9", "7/3"])
def test_a_threshold_that_is_no_number_of_levels_gets_no_advice(text: str) -> None:
    with pytest.raises(UsageError, match=r"between 0 and 1$"):
        parse_threshold(text)
