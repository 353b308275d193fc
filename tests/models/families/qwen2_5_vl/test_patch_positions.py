"""Places and windows of patches against transformers' own, selected."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from transformers.vision_utils import get_vision_position_ids, get_vision_window_index

from ppcli.models.families.qwen2_5_vl.patch_positions import packed, patch_positions

pytestmark = pytest.mark.oracle

grids = st.tuples(st.integers(1, 9), st.integers(1, 9))
keeps = grids.flatmap(lambda grid: arrays(bool, grid)).filter(np.any)


@given(keep=keeps, merge=st.integers(1, 3), side=st.integers(1, 5))
def test_patches_keep_the_places_of_the_whole_image(keep, merge: int, side: int) -> None:
    grid = torch.tensor([[1, keep.shape[0] * merge, keep.shape[1] * merge]])
    fed = np.repeat(keep.reshape(-1), merge**2)
    ours = patch_positions(keep, merge, side)
    assert np.array_equal(ours.pos_hw, get_vision_position_ids(grid, merge).numpy()[fed])
    order, bounds = get_vision_window_index(grid, merge, side * merge * 14, 14)
    of_tile = np.empty(keep.size, dtype=np.int64)
    tiles = (bounds.diff() // merge**2).tolist()
    for number, window in enumerate(order.split(tiles)):
        of_tile[window] = number
    assert np.array_equal(ours.window, np.repeat(of_tile, merge**2)[fed])


@given(keep=keeps, merge=st.integers(1, 3), side=st.integers(1, 5))
def test_each_patch_has_a_slot_and_each_window_a_row(keep, merge: int, side: int) -> None:
    ours = patch_positions(keep, merge, side)
    rows, columns = ours.window_slot.T
    assert len({*zip(rows.tolist(), columns.tolist(), strict=True)}) == len(ours.window)
    assert {len({*rows[ours.window == one]}) for one in ours.window} == {1}
    assert columns.max() + 1 == max(Counter(ours.window.tolist()).values())
    assert {*rows.tolist()} == {*range(rows.max() + 1)}


@given(counts=st.lists(st.integers(1, 16), min_size=1, max_size=200))
def test_rows_are_filled(counts: list[int]) -> None:
    """Rows of best fit, the largest first, are at most 11/9 of the fewest, and 6/9 more."""
    found = packed(np.array(counts))
    length, rows = max(counts), int(found[:, 0].max()) + 1
    used = np.zeros((rows, length), dtype=int)
    for (row, first), count in zip(found.tolist(), counts, strict=True):
        assert first + count <= length
        used[row, first : first + count] += 1
    assert used.max() == 1
    fewest = -(-sum(counts) // length)
    if all(length % count == 0 for count in counts) and len({*counts}) == 1:
        assert rows == fewest
    halves = sum(count > length // 2 for count in counts)
    assert rows >= max(fewest, halves)
    assert rows <= max(halves, 1) + 2 * fewest


def test_a_page_of_many_windows_fills_its_rows() -> None:
    keep = np.random.default_rng(0).random((83, 64)) < 0.3
    ours = patch_positions(keep, 2, 4)
    rows, columns = (ours.window_slot.max(axis=0) + 1).tolist()
    assert rows * columns < 1.05 * len(ours.window)
