"""Frames of a sequence: a tile may also be that of the frame before."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppcli import keep_mask, prune
from ppcli.coding.coder_options import CoderOptions
from ppcli.coding.kernels import REPEATS
from ppcli.coding.patchset import PatchSet
from ppcli.errors import DamagedError, UsageError
from tests.coding import sequence_twin, twin
from tests.coding.rasters import mask, of_letters, of_levels
from tests.strategies import Case, cases, unhurried

TILE = 7


def frames_of(case: Case, seed: int) -> list[np.ndarray]:
    """The raster of a case, and what became of it: tiles exchanged, changed a little, or moved."""
    chance = np.random.default_rng(seed)
    frames = [case.raster]
    for _ in range(2):
        frame = frames[-1].astype(np.int16)
        tiles = frame.reshape(
            len(case.cells), case.tile, len(case.cells[0]), case.tile, 3
        ).transpose(0, 2, 1, 3, 4)
        for r, c in np.ndindex(tiles.shape[:2]):
            what = chance.random()
            if what < 0.2:
                tiles[r, c] = tiles[chance.integers(len(tiles)), chance.integers(len(tiles[0]))]
            elif what < 0.4:
                step = int(chance.integers(0, 2 + int(255 * case.threshold)))
                tiles[r, c] = np.clip(tiles[r, c] + chance.choice([-step, step]), 0, 255)
        frame = tiles.transpose(0, 2, 1, 3, 4).reshape(case.raster.shape)
        frames.append(frame.astype(np.uint8))
    return frames


@pytest.mark.parametrize("metric", twin.METRICS)
@pytest.mark.parametrize("method", sequence_twin.METHODS)
@settings(unhurried, max_examples=30)
@given(data=st.data())
def test_frames_equal_those_of_the_twin(method, metric, data):
    case = data.draw(cases(metric))
    frames = frames_of(case, data.draw(st.integers(0, 999)))
    for mode in twin.MODES:
        options = CoderOptions.from_names(method, metric, float(case.threshold), mode)
        if not options.decodable:
            continue
        similar = twin.similarity(metric, case.threshold, case.tile)
        before = expected_before = None
        for frame in frames:
            patch_set = prune(
                frame, case.tile, method, metric, options.threshold, mode=mode, before=before
            )
            keep, unchanged, rebuilt = sequence_twin.coded(
                frame, expected_before, case.tile, method, similar, mode
            )
            assert patch_set.keep.tolist() == keep
            assert (patch_set.intra & ~patch_set.keep).tolist() == unchanged
            assert patch_set.kept_intra == twin.count(keep) + twin.count(unchanged)
            if options.threshold == 0:
                alone = twin.keep_mask(frame, case.tile, method, metric, 0)
                assert patch_set.intra.tolist() == alone
            before, expected_before = patch_set.reconstruct(before), rebuilt
            if mode == "anchored" or options.threshold == 0:
                assert np.array_equal(before, rebuilt)
                limit = twin.bound(metric, case.threshold, case.tile)
                rows = zip(twin.cut(frame, case.tile), twin.cut(before, case.tile), strict=True)
                pairs = (pair for row in rows for pair in zip(*row, strict=True))
                assert all(twin.total_distance(a, b, metric) <= limit for a, b in pairs)
            expected_before = before


def test_what_the_frame_before_shows_is_pruned():
    first, second = of_letters(["ABC", "DEF"], TILE), of_letters(["ABX", "DEF"], TILE)
    alone = prune(second, TILE)
    assert alone.kept == alone.kept_intra == 6
    patch_set = prune(second, TILE, before=first)
    assert patch_set.keep.tolist() == mask("101", "000")  # the first tile is always kept
    assert patch_set.unchanged.tolist() == [True, True, True, True]
    assert (patch_set.kept, patch_set.kept_intra) == (2, 6)
    assert np.array_equal(patch_set.reconstruct(first), second)
    assert not np.array_equal(patch_set.reconstruct(second[::-1].copy()), second)
    assert keep_mask(second, TILE, before=first).tolist() == patch_set.keep.tolist()


def test_the_predictor_comes_first():
    """A tile that it prunes is not unchanged, although it is."""
    blank = of_levels([[9, 9], [9, 9]], TILE)
    patch_set = prune(blank, TILE, before=blank)
    assert patch_set.unchanged.tolist() == [False, False, False]


def test_the_error_does_not_grow_from_frame_to_frame():
    """Each frame is 3 levels lighter: at a threshold of 4 every second one is unchanged."""
    before, kept = None, []
    for level in (10, 13, 16, 19):
        patch_set = prune(of_levels([[0, level]], TILE), TILE, threshold=4 / 255, before=before)
        before = patch_set.reconstruct(before)
        kept.append((patch_set.kept, int(before[0, TILE, 0])))
    assert kept == [(2, 10), (1, 10), (2, 16), (1, 16)]


def test_a_colour_that_is_unchanged_counts_as_kept():
    """The last tile repeats the colour of an unchanged tile: a number among both kinds."""
    first = of_levels([[10, 20, 30]], TILE)
    second = of_levels([[10, 20, 40, 20]], TILE)
    first = np.concatenate([first, of_levels([[50]], TILE)], axis=1)
    patch_set = prune(second, TILE, "pred_2d_flat", before=first)
    assert patch_set.keep.tolist() == mask("1010")
    assert patch_set.unchanged.tolist() == [True, False]
    assert patch_set.choices.tolist() == [0, REPEATS + 1]
    assert np.array_equal(patch_set.reconstruct(first), second)


def test_an_unchanged_tile_that_repeats_a_colour_is_not_counted():
    """By itself, too, the frame keeps one tile of each colour."""
    frame = of_levels([[10, 20, 30, 20]], TILE)
    assert prune(frame, TILE, "pred_2d_flat").kept == 3
    patch_set = prune(frame, TILE, "pred_2d_flat", before=frame)
    assert (patch_set.kept, patch_set.kept_intra) == (1, 3)
    assert patch_set.choices.tolist() == [0, 0, REPEATS + 1]
    assert np.array_equal(patch_set.reconstruct(frame), frame)


def test_frames_that_do_not_fit_are_refused():
    first, other = of_letters(["AB"], TILE), of_letters(["AB", "CD"], TILE)
    with pytest.raises(UsageError, match="same size"):
        prune(first, TILE, before=other)
    patch_set = prune(first, TILE, before=first)
    with pytest.raises(UsageError, match="another size"):
        patch_set.reconstruct(other)
    with pytest.raises(UsageError, match="depends on the one before"):
        patch_set.reconstruct()
    for method in ("conncomp", "random"):
        with pytest.raises(UsageError, match="cannot be decoded"):
            keep_mask(first, TILE, method, before=first)
    with pytest.raises(UsageError, match="cannot be decoded"):
        keep_mask(first, TILE, threshold=0.1, mode="sliding", before=first)
    for wrong in (np.zeros(2, np.bool_), np.zeros(1, np.uint8)):
        with pytest.raises(DamagedError, match="unchanged"):
            PatchSet(patch_set.keep, patch_set.tiles, patch_set.options, None, wrong)
