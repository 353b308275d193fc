"""Faded tiles and error maps, pixel by pixel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcli import keep_mask
from ppcli.show.overlay import error_levels, error_map, overlay, ramp
from tests.conftest import blocks

TINT = np.array([140, 160, 196])


def tiles(raster: np.ndarray, side: int = 32) -> np.ndarray:
    """Return the tiles: (grid_h, grid_w, side, side, 3)."""
    rows, columns = raster.shape[0] // side, raster.shape[1] // side
    return raster.reshape(rows, side, columns, side, 3).swapaxes(1, 2)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_kept_tiles_are_those_of_the_source(seed: int, rows: int, columns: int, dark: bool) -> None:
    rng = np.random.default_rng(seed)
    low = 0 if dark else 160
    raster = rng.integers(low, low + 96, (rows * 32, columns * 32, 3)).astype(np.uint8)
    keep = rng.random((rows, columns)) < 0.5
    seen, source = tiles(overlay(raster, keep)), tiles(raster)
    assert np.array_equal(seen[keep], source[keep])
    for row, column in np.argwhere(~keep):
        expected = np.round(
            0.3 * (source[row, column] @ [0.299, 0.587, 0.114])[..., None] + 0.7 * TINT
        ).astype(np.uint8)
        around = {
            (-1, 0): np.s_[0, :],
            (1, 0): np.s_[-1, :],
            (0, -1): np.s_[:, 0],
            (0, 1): np.s_[:, -1],
        }
        for (down, right), line in around.items():
            at = row + down, column + right
            if 0 <= at[0] < rows and 0 <= at[1] < columns and keep[at]:
                expected[line] = (52, 72, 128)
        assert np.array_equal(seen[row, column], expected)


@pytest.mark.parametrize("shade", [0, 40, 128, 160, 215, 255])
def test_fading_shows_on_every_ground(shade: int) -> None:
    """Either the faded area or its border contrasts in luminance with the kept tiles."""
    raster = np.full((64, 64, 3), shade, np.uint8)
    keep = np.array([[True, False], [False, False]])
    seen = overlay(raster, keep).astype(float) @ [0.299, 0.587, 0.114]
    kept, faded, line = seen[5, 5], seen[50, 50], seen[5, 32]
    assert max(abs(kept - faded), abs(kept - line)) > 45


def test_lines_between_the_tiles() -> None:
    raster = blocks(160, 96)
    keep = keep_mask(raster)
    plain, lined = overlay(raster, keep), overlay(raster, keep, grid=True)
    differs = (plain != lined).any(axis=2)
    rows, columns = np.indices(differs.shape)
    on_a_line = ((rows % 32 == 0) & (rows > 0)) | ((columns % 32 == 0) & (columns > 0))
    assert np.array_equal(differs, on_a_line)


def test_lines_grow_with_the_image() -> None:
    keep = np.zeros((120, 150), np.bool_)
    keep[:, :75] = True
    seen = overlay(np.full((120 * 32, 150 * 32, 3), 255, np.uint8), keep)
    line = (seen[100] == (52, 72, 128)).all(axis=1)
    assert np.flatnonzero(line).tolist() == list(range(75 * 32, 75 * 32 + 4))


def test_lines_do_not_cover_the_tiles_of_a_strip() -> None:
    keep = np.zeros((1, 1200), np.bool_)
    raster = np.full((32, 1200 * 32, 3), 255, np.uint8)
    lined = overlay(raster, keep, grid=True)
    assert (lined != overlay(raster, keep)).any(axis=2).mean() < 0.15


def test_errors_are_the_largest_of_three_channels() -> None:
    source = np.zeros((2, 2, 3), np.uint8)
    rebuilt = source.copy()
    source[0, 1], rebuilt[0, 1] = (3, 250, 0), (0, 255, 1)
    rebuilt[1, 0, 2] = 255
    assert error_levels(source, rebuilt).tolist() == [[0, 5], [255, 0]]
    assert np.array_equal(error_levels(rebuilt, source), error_levels(source, rebuilt))


def test_where_nothing_differs_the_map_is_grey_and_dark() -> None:
    source = blocks(64, 64)
    levels = np.zeros((64, 64), np.uint8)
    levels[3, 4], levels[5, 6] = 1, 9
    seen = error_map(source, levels)
    off = levels > 0
    assert (np.ptp(seen[~off], axis=1) == 0).all()
    assert seen[~off].max() < 65
    assert seen[5, 6].tolist() == ramp(10)[-1].tolist()
    assert seen[3, 4].tolist() == ramp(10)[1].tolist()


@pytest.mark.parametrize("number", [2, 9, 256])
def test_colours_of_the_scale_grow_lighter(number: int) -> None:
    light = ramp(number).astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) >= 0).all()
    assert light[-1] - light[0] > 150
