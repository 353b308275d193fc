"""The number of distinct tiles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcli import keep_mask
from ppcli.coding.coder_options import CoderOptions, Method, Metric, Mode
from ppcli.coding.distinct import distinct_tiles
from ppcli.coding.patchset import cut_tiles
from tests.coding import rasters, twin
from tests.strategies import cases, unhurried

FIVE_LEVELS = rasters.of_levels([[0] * 8 + [2, 3, 4, 255]], 7)


@pytest.mark.slow
@pytest.mark.parametrize("method", twin.METHODS)
@unhurried
@given(case=cases(), lossless=st.booleans(), mode=st.sampled_from(twin.MODES))
def test_as_many_as_the_twin_counts(method, case, lossless, mode):
    threshold = 0.0 if lossless else float(case.threshold)
    options = CoderOptions(Method(method), Metric(case.metric), Mode(mode), threshold)
    keep = keep_mask(case.raster, case.tile, method, case.metric, threshold, mode=mode)
    unique = distinct_tiles(case.raster, keep, case.tile, options)
    assert unique == twin.distinct(case.raster, case.tile)


@pytest.mark.parametrize("method", twin.METHODS)
@pytest.mark.parametrize("threshold", [0.0, 3 / 255, 1.0])
def test_by_hand(method, threshold):
    """There are five levels, whichever tiles are kept."""
    keep = keep_mask(FIVE_LEVELS, 7, method, "max", threshold)
    options = CoderOptions(Method(method), threshold=threshold)
    assert distinct_tiles(FIVE_LEVELS, keep, 7, options) == 5


@pytest.mark.parametrize(("method", "threshold"), [("random", 0.0), ("pred_2d", 3 / 255)])
def test_the_kept_tiles_alone_are_too_few(method, threshold):
    """Control of the test above: counting only the kept tiles would give a wrong number."""
    keep = keep_mask(FIVE_LEVELS, 7, method, "max", threshold)
    assert np.unique(FIVE_LEVELS[::7, ::7, 0][keep]).size < 5


def test_tiles_of_the_same_bytes_in_another_order_are_distinct():
    tile = rasters.texture(1, 7)
    turned = np.concatenate([tile, tile[::-1], tile[:, ::-1], tile.transpose(1, 0, 2)], axis=1)
    keep = keep_mask(turned, 7)
    assert distinct_tiles(turned, keep, 7, CoderOptions()) == 4


@pytest.mark.parametrize("tile", [1, 2, 7, 28, 32, 56, 70])
def test_tiles_that_differ_in_one_byte_anywhere(tile):
    """Fingerprints use every other row; the comparison of bytes decides."""
    values = np.arange(1, 1 + min(40, 3 * tile * tile))
    places = np.random.default_rng(0).permutation(3 * tile * tile)[: values.size]
    raster = np.zeros((tile, (values.size + 3) * tile, 3), dtype=np.uint8)
    tiles = raster.reshape(tile, -1, tile * 3)
    for number, (place, value) in enumerate(zip(places, values, strict=True)):
        tiles[place // (tile * 3), number, place % (tile * 3)] = value
    tiles[:, -2] = tiles[:, 0]
    keep = np.ones((1, values.size + 3), dtype=np.bool_)
    options = CoderOptions(Method.RANDOM)
    assert distinct_tiles(raster, keep, tile, options) == values.size + 1


@pytest.mark.parametrize("tile", [2, 7, 28, 32])
def test_tiles_that_differ_only_where_fingerprints_do_not_look(tile):
    """Even rows are equal and odd ones random; every tile occurs twice."""
    generator = np.random.default_rng(0)
    half = np.full((12 * tile, 30 * tile, 3), 255, dtype=np.uint8)
    rows = np.arange(12 * tile) % tile % 2 == 1
    half[rows] = generator.integers(0, 2, half[rows].shape, dtype=np.uint8)
    raster = np.concatenate([half, half])
    every = np.ones((24, 30), dtype=np.bool_)
    expected = len({one.tobytes() for one in cut_tiles(raster, every, tile)})
    options = CoderOptions(Method.RANDOM)
    assert distinct_tiles(raster, every, tile, options) == expected > 40


def test_every_colour_of_tiles_of_one_pixel():
    raster = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    every = np.ones((300, 300), dtype=np.bool_)
    expected = len(np.unique(raster.reshape(-1, 3), axis=0))
    assert distinct_tiles(raster, every, 1, CoderOptions(Method.RANDOM)) == expected
