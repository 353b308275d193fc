"""Patch sets: decoding, its error bound, and configurations that cannot be decoded."""

from dataclasses import FrozenInstanceError
from fractions import Fraction

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from ppcli import PatchSet, keep_mask, prune
from ppcli.coding.coder_options import CoderOptions, Method, Metric, Mode
from ppcli.coding.patchset import raster_digest
from ppcli.errors import DamagedError, ExitCode, UsageError
from tests.coding import rasters, twin
from tests.strategies import Case, cases, unhurried

LEVELS = rasters.of_levels([[10, 13, 17], [10, 11, 20]], 7)


def assert_within(raster: np.ndarray, source: np.ndarray, case: Case) -> None:
    """Assert that every tile is at most τ from its source, in units of full scale."""
    n = case.tile * case.tile * 3
    for row, source_row in zip(
        twin.cut(raster, case.tile), twin.cut(source, case.tile), strict=True
    ):
        for a, b in zip(row, source_row, strict=True):
            difference = np.abs(a - b)
            if case.metric == "mae":
                assert Fraction(int(difference.sum()), 255 * n) <= case.threshold
            elif case.metric == "rmse":
                squares = int((difference * difference).sum())
                assert Fraction(squares, 255 * 255 * n) <= case.threshold**2
            else:
                assert Fraction(int(difference.max()), 255) <= case.threshold


@pytest.mark.parametrize("metric", twin.METRICS)
@pytest.mark.parametrize("method", twin.PREDICTIVE)
@unhurried
@given(data=st.data())
def test_nothing_is_lost_at_threshold_0(method, metric, data):
    case = data.draw(cases(metric))
    for mode in twin.MODES:
        patch_set = prune(case.raster, case.tile, method, metric, 0.0, mode=mode)
        rebuilt = patch_set.reconstruct()
        assert rebuilt.dtype == np.uint8
        assert np.array_equal(rebuilt, case.raster)


@pytest.mark.parametrize("metric", ["max", "mae", "rmse"])
@pytest.mark.parametrize("method", twin.PREDICTIVE)
@unhurried
@given(data=st.data())
def test_decoding_stays_within_tau_and_follows_the_twin(method, metric, data):
    case = data.draw(cases(metric))
    patch_set = prune(case.raster, case.tile, method, metric, float(case.threshold))
    rebuilt = patch_set.reconstruct()
    assert_within(rebuilt, case.raster, case)
    keep = twin.keep_mask(case.raster, case.tile, method, metric, case.threshold)
    assert patch_set.keep.tolist() == keep
    expected = twin.reconstruct(keep, patch_set.tiles, method, metric, case.threshold)
    assert np.array_equal(rebuilt, expected)


@pytest.mark.parametrize("method", ["raster", "serpentine"])
@unhurried
@given(case=cases())
def test_sliding_scans_are_decoded_as_the_twin_does(method, case):
    patch_set = prune(
        case.raster, case.tile, method, case.metric, float(case.threshold), mode="sliding"
    )
    keep = patch_set.keep.tolist()
    expected = twin.reconstruct(keep, patch_set.tiles, method, case.metric, case.threshold)
    assert np.array_equal(patch_set.reconstruct(), expected)


@unhurried
@given(case=cases())
def test_the_tiles_are_the_kept_ones_in_row_major_order(case):
    for method in twin.PREDICTIVE:
        patch_set = prune(case.raster, case.tile, method, case.metric, float(case.threshold))
        keep = keep_mask(case.raster, case.tile, method, case.metric, float(case.threshold))
        assert np.array_equal(patch_set.keep, keep)
        grid = twin.cut(case.raster, case.tile)
        kept = [grid[r][c] for r, c in np.argwhere(keep)]
        assert np.array_equal(patch_set.tiles, np.stack(kept))
        assert patch_set.tiles.dtype == np.uint8
        assert patch_set.tile == case.tile
        assert patch_set.tokens == keep.size
        assert patch_set.kept == len(kept)
        assert patch_set.keep_ratio == len(kept) / keep.size


@pytest.mark.parametrize(
    ("method", "mode", "levels", "rebuilt"),
    [
        ("pred_2d", "anchored", [[10, 13, 17], [10, 11, 20]], [[10, 10, 17], [10, 10, 17]]),
        ("raster", "anchored", [[0, 4], [8, 12]], [[0, 0], [8, 8]]),
        ("raster", "sliding", [[0, 4], [8, 12]], [[0, 0], [0, 0]]),
        ("serpentine", "anchored", [[0, 4], [12, 8]], [[0, 0], [8, 8]]),
        ("serpentine", "sliding", [[0, 4], [12, 8]], [[0, 0], [0, 0]]),
    ],
)
def test_rasters_rebuilt_by_hand(method, mode, levels, rebuilt):
    source = rasters.of_levels(levels, 7)
    patch_set = prune(source, 7, method, "max", 4 / 255, mode=mode)
    assert np.array_equal(patch_set.reconstruct(), rasters.of_levels(rebuilt, 7))


def test_sliding_drifts_beyond_tau():
    source = rasters.of_levels([[0, 4, 8, 12]], 7)
    sliding = prune(source, 7, "raster", "max", 4 / 255, mode="sliding").reconstruct()
    case = Case(7, "max", Fraction(4, 255), [], [], source)
    with pytest.raises(AssertionError):
        assert_within(sliding, source, case)
    assert_within(prune(source, 7, "raster", "max", 4 / 255).reconstruct(), source, case)


def test_decoding_needs_the_configuration():
    """With another τ the predictor decides differently, so a patch set includes its options."""
    right = prune(LEVELS, 7, "pred_2d", "max", 4 / 255)
    wrong = PatchSet(right.keep, right.tiles, CoderOptions(threshold=20 / 255))
    assert not np.array_equal(right.reconstruct(), wrong.reconstruct())
    letters = rasters.of_letters(["AAB", "BBC"], 7)
    right = prune(letters, 7, "raster")
    wrong = PatchSet(right.keep, right.tiles, CoderOptions(Method.SERPENTINE))
    assert not np.array_equal(right.reconstruct(), wrong.reconstruct())


UNDECODABLE = [
    ("pred_2d", "sliding", 0.1),
    *(("conncomp", mode, tau) for mode in twin.MODES for tau in (0.0, 0.1)),
    *(("random", mode, tau) for mode in twin.MODES for tau in (0.0, 0.1)),
]


@pytest.mark.parametrize(("method", "mode", "threshold"), UNDECODABLE)
def test_what_cannot_be_decoded_is_refused(method, mode, threshold):
    with pytest.raises(UsageError, match=method) as caught:
        prune(LEVELS, 7, method, "max", threshold, mode=mode)
    assert caught.value.exit_code is ExitCode.USAGE
    options = CoderOptions(Method(method), Metric.MAX, Mode(mode), threshold)
    good = prune(LEVELS, 7)
    with pytest.raises(UsageError, match="cannot be decoded"):
        PatchSet(good.keep, good.tiles, options)
    assert keep_mask(LEVELS, 7, method, "max", threshold, mode=mode).any()


TILES = np.zeros((2, 7, 7, 3), dtype=np.uint8)
MALFORMED = {
    "a mask of one dimension": ([True, True], TILES),
    "a mask of three dimensions": ([[[True, True]]], TILES),
    "a mask without dimensions": (True, TILES[:1]),
    "a mask without tiles": (np.zeros((0, 0)), TILES[:0]),
    "a mask without rows": (np.zeros((0, 3)), TILES[:0]),
    "a mask without columns": (np.zeros((3, 0)), TILES[:0]),
    "a first tile that is not kept": ([[False, True], [True, False]], TILES),
    "no tile kept": ([[False, False]], TILES[:0]),
    "one tile too few": ([[True, True], [True, False]], TILES),
    "one tile too many": ([[True, False], [False, False]], TILES),
    "tiles that are not square": ([[True, True]], TILES[:, :5]),
    "tiles that are not square the other way": ([[True, True]], TILES[:, :, :5]),
    "tiles of one channel": ([[True, True]], TILES[..., :1]),
    "tiles of four channels": ([[True, True]], np.zeros((2, 7, 7, 4), dtype=np.uint8)),
    "tiles of no size": ([[True, True]], TILES[:, :0, :0]),
    "tiles in a row of bytes": ([[True, True]], TILES.ravel()),
    "a single tile without its own axis": ([[True]], TILES[0]),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_mask_and_tiles_that_do_not_belong_together(name):
    keep, tiles = MALFORMED[name]
    with pytest.raises(DamagedError) as caught:
        PatchSet(np.asarray(keep, dtype=np.bool_), tiles, CoderOptions())
    assert caught.value.exit_code is ExitCode.DAMAGED


@pytest.mark.parametrize(
    ("keep", "tiles"),
    [
        (np.array([[2, 0]]), TILES),
        (np.array([[True, True]]), TILES.astype(np.float64)),
        (np.array([[True, True]]), TILES.astype(np.int8)),
    ],
)
def test_arrays_of_other_types_are_refused(keep, tiles):
    with pytest.raises(DamagedError, match="bool"):
        PatchSet(keep, tiles, CoderOptions())


def test_the_wellformed_neighbour_of_the_malformed_ones():
    keep = np.array([[True, True], [False, False]])
    assert PatchSet(keep, TILES, CoderOptions()).reconstruct().shape == (14, 14, 3)


def test_a_patch_set_keeps_its_own_tiles():
    source = LEVELS.copy()
    patch_set = prune(source, 7)
    assert np.array_equal(source, LEVELS)
    source[...] = 0
    assert np.array_equal(patch_set.reconstruct(), LEVELS)
    with pytest.raises(FrozenInstanceError):
        patch_set.keep = np.ones_like(patch_set.keep)


@pytest.mark.parametrize("method", twin.PREDICTIVE)
def test_tiles_and_masks_in_any_memory_layout(method):
    """Arrays from a file are read-only, and views need not be contiguous."""
    source = rasters.of_letters(["AABB", "AABB", "CCAB", "CAAA"], 7)
    good = prune(source, 7, method)
    tiles = np.frombuffer(good.tiles.tobytes(), dtype=np.uint8).reshape(good.tiles.shape)
    keep = np.asfortranarray(good.keep)
    assert not tiles.flags.writeable
    assert not keep.flags.c_contiguous
    assert np.array_equal(PatchSet(good.keep, tiles, good.options).reconstruct(), source)
    assert np.array_equal(PatchSet(keep, good.tiles, good.options).reconstruct(), source)
    strided = np.repeat(good.tiles, 2, axis=0)[::2]
    assert np.array_equal(PatchSet(good.keep, strided, good.options).reconstruct(), source)


def test_the_digest_is_of_the_bytes_in_order():
    expected = xxhash.xxh3_128(LEVELS.tobytes()).hexdigest()
    assert raster_digest(LEVELS) == expected
    assert raster_digest(np.asfortranarray(LEVELS)) == expected
    other = LEVELS.copy()
    other[-1, -1, -1] ^= 1
    assert raster_digest(other) != expected
