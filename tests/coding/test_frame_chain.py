"""Sequences end, so that a frame is rebuilt from few others."""

import numpy as np

from ppcli.coding import frame_chain
from ppcli.coding.coder_options import CoderOptions
from ppcli.coding.frame_chain import FrameChain
from ppcli.coding.patchset import PatchSet
from tests.coding.rasters import of_letters, of_levels

TILE = 7


def test_each_frame_is_compared_with_the_rebuilt_one_before():
    chain = FrameChain(CoderOptions(threshold=4 / 255))
    before = None
    for number, level in enumerate((10, 13, 16, 19)):
        raster = of_levels([[0, level]], TILE)
        frame = chain.code(raster, TILE, str(number))
        assert frame.reference == (None if number == 0 else str(number - 1))
        before = PatchSet.of(frame.kept).reconstruct(before)
        assert np.array_equal(before, frame.rebuilt)
        assert abs(int(before[0, TILE, 0]) - level) <= 4


def test_a_frame_of_another_size_is_whole():
    chain = FrameChain(CoderOptions())
    wide, high = of_letters(["AB"], TILE), of_letters(["A", "B"], TILE)
    frames = [chain.code(one, TILE, "x") for one in (wide, wide, high, high, wide)]
    assert [one.reference for one in frames] == [None, "x", None, "x", None]
    assert [one.kept.kept for one in frames] == [2, 1, 2, 1, 2]


def test_a_sequence_ends_after_some_frames():
    chain = FrameChain(CoderOptions())
    raster = of_letters(["AB"], TILE)
    whole = [chain.code(raster, TILE, "x").reference is None for _ in range(70)]
    assert [n for n, one in enumerate(whole) if one] == [0, 32, 64]


def test_a_sequence_ends_after_some_pixels(monkeypatch):
    monkeypatch.setattr(frame_chain, "MOST_PIXELS", 5 * TILE * TILE)
    chain = FrameChain(CoderOptions())
    raster = of_letters(["AB"], TILE)
    whole = [chain.code(raster, TILE, "x").reference is None for _ in range(7)]
    assert [n for n, one in enumerate(whole) if one] == [0, 3, 6]
