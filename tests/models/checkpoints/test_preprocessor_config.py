"""Settings of the image processor against transformers' own classes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
    Qwen2VLImageProcessorKwargs,
    Qwen2VLImageProcessorPil,
)
from transformers.processing_utils import ImagesKwargs

from ppcli.coding.patchset import cut_tiles
from ppcli.errors import ModelError
from ppcli.imaging.fit import FitOptions, fit_image
from ppcli.imaging.pixels import invert_pixel_values, pixel_values
from ppcli.models.checkpoints.preprocessor_config import (
    HARMLESS,
    READ,
    image_preset,
    processor_warnings,
)
from ppcli.models.families.base import ModelConfig
from ppcli.models.families.family_registry import parse_config
from tests.command import pixelprune
from tests.models.tiny_checkpoint import Tiny, write_checkpoint, write_json, write_settings

pytestmark = pytest.mark.oracle

USUAL: dict[str, Any] = {
    "size": {"shortest_edge": 4096, "longest_edge": 262_144},
    "patch_size": 16,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.5, 0.6, 0.7],
    "image_processor_type": "Qwen2VLImageProcessorFast",
}


@pytest.fixture(scope="module")
def config() -> ModelConfig:
    return parse_config(Tiny().config())


def written(folder: Path, settings: dict[str, Any]) -> str:
    write_json(folder / "preprocessor_config.json", settings)
    return str(folder)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"do_normalize": False},
        {"do_rescale": False},
        {"do_rescale": False, "do_normalize": False},
        {"do_normalize": False, "rescale_factor": 0.01},
        {"rescale_factor": 0.01},
        {"rescale_factor": 1 / 127.5, "image_mean": [1, 1, 1]},
        {"do_rescale": False, "rescale_factor": 7.0},
        {"do_normalize": False, "image_mean": None, "image_std": None},
        {"image_mean": 0.25, "image_std": 0.125},
        {"do_rescale": False, "rescale_factor": None},
        {"resample": 3, "do_resize": True, "do_convert_rgb": True},
        {"min_pixels": 65_536, "max_pixels": 131_072, "size": None},
        {"min_pixels": 65_536},
        {"max_pixels": 20_480},
        {"min_pixels": 2048, "size": {"min_pixels": 4096, "max_pixels": 8192}, "max_pixels": 9216},
    ],
)
def test_pixels_as_transformers(tmp_path: Path, config, change: dict[str, Any]) -> None:
    written(tmp_path, USUAL | change)
    preset = image_preset(str(tmp_path), config)
    image = np.random.default_rng(0).integers(0, 256, (150, 210, 3), dtype=np.uint8)
    theirs = Qwen2VLImageProcessorPil.from_pretrained(tmp_path)(
        Image.fromarray(image), return_tensors="np"
    )
    raster = fit_image(image, FitOptions.of_preset(preset)).raster
    keep = np.ones((raster.shape[0] // 32, raster.shape[1] // 32), dtype=bool)
    ours = pixel_values(cut_tiles(raster, keep, 32), preset)
    assert np.array_equal(ours, theirs["pixel_values"])
    assert np.array_equal(invert_pixel_values(ours, keep.shape, preset), raster)


def test_a_setting_that_is_passed_over_would_show(tmp_path: Path, config) -> None:
    usual = image_preset(written(tmp_path, USUAL), config)
    for change in ({"do_normalize": False}, {"do_rescale": False}, {"rescale_factor": 0.01}):
        changed = image_preset(written(tmp_path, USUAL | change), config)
        tiles = np.full((1, 32, 32, 3), 9, dtype=np.uint8)
        assert np.abs(pixel_values(tiles, changed) - pixel_values(tiles, usual)).max() > 0.01


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"resample": 2}, "resample is 2, which is not supported; supported: 3"),
        ({"resample": "bicubic"}, "resample is 'bicubic'"),
        ({"do_resize": False}, "do_resize is False, which is not supported; supported: True"),
        ({"do_convert_rgb": False}, "do_convert_rgb is False"),
        ({"do_resize": 1}, "do_resize is 1"),
        ({"do_normalize": "no"}, "do_normalize is 'no'; it must be true or false"),
        ({"do_rescale": 0}, "do_rescale is 0; it must be true or false"),
        ({"do_rescale": None}, "do_rescale is None; it must be true or false"),
        ({"do_normalize": None}, "do_normalize is None; it must be true or false"),
        ({"rescale_factor": None}, "rescale_factor is None; it must be a number"),
        ({"rescale_factor": 0}, "rescale_factor is 0.0; it must be above 0"),
        ({"rescale_factor": "1/255"}, "rescale_factor is '1/255'; it must be a number"),
        ({"rescale_factor": float("nan")}, "rescale_factor is nan; it must be a number"),
        ({"image_mean": [0.5, 0.5]}, "image_mean is .*; it must have three numbers"),
        ({"image_mean": ["a"] * 3}, "image_mean is 'a'; it must be a number"),
        ({"image_mean": None}, "'image_mean' is missing"),
        ({"image_std": [0.5, 0, 0.5]}, "image_std is .*; it must be above 0"),
        ({"image_processor_type": "CLIPImageProcessor"}, "image_processor_type is 'CLIPImage"),
        ({"size": 448}, "size is 448; it must have shortest_edge and longest_edge"),
        ({"size": {"height": 448, "width": 448}}, "'min_pixels' is missing"),
        ({"min_pixels": 10**9}, "min_pixels is 1,000,000,000, above max_pixels, 262,144"),
        ({"max_pixels": -1}, "max_pixels is -1; it must be a whole number above 0"),
        ({"patch_size": 16.5}, "patch_size is 16.5"),
        ({"patch_size": True}, "patch_size is True"),
        ({"patch_size": 14}, r"are \(14, 2, 2\) in the image processor"),
        ({"resample": "x" * 10**6}, "characters left out"),
    ],
)
def test_what_is_refused_by_name(tmp_path: Path, config, change: dict, words: str) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        image_preset(written(tmp_path, USUAL | change), config)
    assert len(str(caught.value)) < 1000


def test_every_setting_of_transformers_is_sorted_into_one_kind() -> None:
    theirs = {
        *ImagesKwargs.__annotations__,
        *Qwen2VLImageProcessorKwargs.__annotations__,
        *Qwen2VLImageProcessorPil().to_dict(),
    }
    assert theirs <= READ | HARMLESS
    assert not READ & HARMLESS


@pytest.mark.parametrize(
    "setting",
    [
        {"do_center_crop": True, "crop_size": {"height": 32, "width": 32}},
        {"do_pad": True, "pad_size": {"height": 512, "width": 512}},
        {"data_format": "channels_last"},
        {"input_data_format": "channels_last"},
        {"default_to_square": True},
        {"image_seq_length": 7},
    ],
)
def test_what_is_harmless_changes_nothing_in_transformers(tmp_path: Path, setting: dict) -> None:
    image = Image.effect_noise((210, 150), 90).convert("RGB")
    values = []
    for settings in (USUAL, USUAL | setting):
        theirs = Qwen2VLImageProcessorPil.from_pretrained(written(tmp_path, settings))
        values.append(theirs(image, return_tensors="np")["pixel_values"])
    assert np.array_equal(*values)
    assert not processor_warnings(str(tmp_path))


def test_settings_that_nobody_knows_are_told(tmp_path: Path) -> None:
    written(tmp_path, USUAL | {"sharpen": 3, "blur": None})
    [told] = processor_warnings(str(tmp_path))
    assert told.endswith("unknown settings of the processor are ignored: sharpen")
    write_json(tmp_path / "processor_config.json", {"image_token": "<i>", "processor_class": "x"})
    [told] = processor_warnings(str(tmp_path))
    assert told.endswith(": image_token, sharpen")


def test_the_two_files_of_settings(tmp_path: Path, config) -> None:
    """The one within the processor's counts, as in transformers, and what differs is told."""
    folder = written(tmp_path, USUAL | {"do_normalize": False})
    write_json(tmp_path / "processor_config.json", {"image_processor": USUAL})
    theirs = Qwen2VLImageProcessorPil.from_pretrained(tmp_path)
    assert theirs.do_normalize
    assert image_preset(folder, config).mean == (0.5, 0.4, 0.3)
    [told] = processor_warnings(folder)
    assert "differ in do_normalize; the first is used" in told
    write_json(tmp_path / "processor_config.json", {"image_processor": ["x"]})
    with pytest.raises(ModelError, match="is not an object"):
        image_preset(folder, config)


def test_export_refuses_and_tells(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint", Tiny(layers=2, depth=2, deepstack=(0,)))
    settings = json.loads((checkpoint / "preprocessor_config.json").read_text())
    written(checkpoint, settings | {"resample": 2})
    done = pixelprune("export", checkpoint, tmp_path / "model")
    assert done.returncode == 2
    assert b"the image processor's resample is 2, which is not supported" in done.stderr
    write_settings(checkpoint)
    written(checkpoint, settings | {"sharpen": 3})
    done = pixelprune("export", checkpoint, tmp_path / "model")
    assert done.returncode == 0
    assert b"checkpoint: unknown settings of the processor are ignored: sharpen" in done.stderr
