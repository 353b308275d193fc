"""Patches that the model normalises itself."""

import numpy as np
import pytest

from ppcli.coding.patchset import cut_tiles
from ppcli.errors import UsageError
from ppcli.imaging.pixels import invert_pixel_levels, pixel_levels, pixel_values
from ppcli.models.families.family_registry import PRESETS
from tests.imaging.test_fit import noise


@pytest.mark.parametrize("name", PRESETS)
def test_levels_are_values_that_are_not_normalised_yet(name: str) -> None:
    preset = PRESETS[name]
    tile = preset.patch_size * preset.merge_size
    raster = noise(5 * tile, 3 * tile)
    keep = np.ones((3, 5), dtype=bool)
    tiles = cut_tiles(raster, keep, tile)
    levels = pixel_levels(tiles, preset)
    values = pixel_values(tiles, preset)
    assert levels.shape == values.shape
    channels = levels.reshape(len(levels), 3, -1) * np.float32(preset.rescale_factor)
    mean, std = (np.array(three)[:, None] for three in (preset.mean, preset.std))
    assert np.allclose(((channels - mean) / std).reshape(values.shape), values, atol=1e-5)
    assert np.array_equal(invert_pixel_levels(levels, (3, 5), preset), raster)
    with pytest.raises(UsageError, match="5 × 5 tiles cannot have shape"):
        invert_pixel_levels(levels, (5, 5), preset)
