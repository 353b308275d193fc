"""Pixel values, compared with transformers' processor for the same RGB raster."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from ppcli.coding.patchset import cut_tiles
from ppcli.errors import UsageError
from ppcli.imaging.fit import fit_image
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import Fit
from ppcli.imaging.pixels import invert_pixel_values, pixel_values
from ppcli.imaging.presets import Preset
from ppcli.models.families.family_registry import PRESETS
from tests.imaging.test_fit import noise

pytestmark = pytest.mark.oracle

SIZES = [  # width, height
    (20, 20),
    (650, 480),
    (500, 410),
    (513, 512),
    (512, 500),
    (256, 256),
    (1100, 60),
    (60, 1110),
    (337, 639),
]
SWAPPED = (300, 340)  # wider and lower: Pillow 13 goes vertical first


def processor(preset: Preset) -> Qwen2VLImageProcessorPil:
    return Qwen2VLImageProcessorPil(
        patch_size=preset.patch_size,
        merge_size=preset.merge_size,
        temporal_patch_size=preset.temporal_patch_size,
        size={"shortest_edge": preset.min_pixels, "longest_edge": preset.max_pixels},
        image_mean=list(preset.mean),
        image_std=list(preset.std),
    )


def another(preset: Preset) -> Preset:
    """Return a preset whose values are one level higher."""
    higher = tuple(mean - 1 / 255 for mean in preset.mean)
    return replace(preset, mean=higher)


def tiles_of(raster: np.ndarray, preset: Preset) -> np.ndarray:
    tile = preset.patch_size * preset.merge_size
    grid_h, grid_w = raster.shape[0] // tile, raster.shape[1] // tile
    return cut_tiles(raster, np.ones((grid_h, grid_w), dtype=bool), tile)


def compare(size: tuple[int, int], preset: Preset, resize: bool) -> None:
    image = Image.fromarray(noise(*size))
    fitted = fit_image(np.array(image), FitOptions.of_preset(preset, Fit.RESIZE))
    given = image if resize else Image.fromarray(fitted.raster)
    theirs = processor(preset)(given, do_resize=resize, return_tensors="np")
    ours = pixel_values(tiles_of(fitted.raster, preset), preset)
    assert theirs["image_grid_thw"].tolist() == [
        [1, fitted.height // preset.patch_size, fitted.width // preset.patch_size]
    ]
    assert ours.dtype == theirs["pixel_values"].dtype == np.float32
    assert np.array_equal(ours, theirs["pixel_values"])


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("size", SIZES)
def test_equal_bit_for_bit(size: tuple[int, int], name: str) -> None:
    compare(size, PRESETS[name], resize=True)


@pytest.mark.parametrize("name", PRESETS)
def test_equal_after_the_fit_where_pillow_swaps_the_passes(name: str) -> None:
    compare(SWAPPED, PRESETS[name], resize=False)


def test_equal_when_an_image_is_above_the_limit() -> None:
    preset = Preset(16, 2, 2, 1024, 100_000, (0.5,) * 3, (0.5,) * 3)
    compare((700, 500), preset, resize=True)


def test_the_order_of_patches_shows() -> None:
    preset = PRESETS["qwen3-vl"]
    raster = np.zeros((64, 64, 3), dtype=np.uint8)
    raster[16:32, 0:16] = 255  # below the first patch, in the first tile
    bright = np.flatnonzero(pixel_values(tiles_of(raster, preset), preset).max(axis=1) > 0)
    assert bright.tolist() == [2]


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("size", [(1, 1), (2, 3)])
def test_the_raster_comes_back_from_what_the_processor_makes(
    size: tuple[int, int], name: str
) -> None:
    preset = PRESETS[name]
    side = preset.patch_size * preset.merge_size
    raster = noise(size[1] * side, size[0] * side)
    raster.reshape(-1)[:256] = np.arange(256)  # every level
    theirs = processor(preset)(Image.fromarray(raster), do_resize=False, return_tensors="np")
    values = theirs["pixel_values"]
    assert np.array_equal(invert_pixel_values(values, size, preset), raster)
    with pytest.raises(UsageError, match="8-bit"):
        invert_pixel_values(values + np.float32(0.01), size, preset)
    with pytest.raises(UsageError, match="8-bit"):
        invert_pixel_values(pixel_values(tiles_of(raster, preset), another(preset)), size, preset)
    with pytest.raises(UsageError, match="tiles cannot have shape"):
        invert_pixel_values(values[1:], size, preset)
