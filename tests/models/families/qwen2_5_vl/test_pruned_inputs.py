"""From pixels to inputs of transformers' own vision transformer, by `pruned_inputs`."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen2VLImageProcessorPil

from ppcli import pruned_inputs
from tests.conftest import blocks
from tests.models.families.qwen2_5_vl.reference_qwen25 import seen_by_qwen25_vl
from tests.models.families.qwen2_5_vl.tiny_qwen25 import TinyQwen25
from tests.models.random_images import Image
from tests.models.reference import transformers_model
from tests.models.tiny_checkpoint import write_checkpoint

pytestmark = pytest.mark.oracle

TINY = TinyQwen25()


def test_they_are_what_transformers_takes_of_the_whole_images(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint", TINY)
    rasters = [blocks(w, h, block=28, levels=2, seed=w) for w, h in ((140, 112), (56, 196))]
    given = pruned_inputs(rasters, "What is the total?", checkpoint)
    settings = {**TINY.image_processor}
    del settings["image_processor_type"]
    whole = Qwen2VLImageProcessorPil(**settings)(rasters, return_tensors="np")
    assert np.array_equal(given.image_grid_thw, whole["image_grid_thw"])
    patches = np.split(whole["pixel_values"], np.cumsum(whole["image_grid_thw"].prod(axis=1))[:-1])
    images = [Image(*one) for one in zip(patches, given.keeps, strict=True)]
    assert 0.1 < np.mean([image.keep.mean() for image in images]) < 0.9
    kept = np.concatenate([image.pixel_values[image.patches_kept] for image in images])
    assert np.array_equal(given.pixel_values, kept)
    model = transformers_model(TINY)
    with torch.no_grad():
        expected = torch.cat([seen_by_qwen25_vl(model, image)[0] for image in images])
        found = model.model.visual(
            torch.tensor(given.pixel_values),
            grid_thw=torch.tensor(given.image_grid_thw),
            cu_seqlens=torch.tensor(given.cu_seqlens),
            position_ids=torch.tensor(given.pos_hw),
            **windows(given.vision_inputs["window"], given.cu_seqlens),
        ).pooler_output
    assert torch.allclose(found, expected, atol=1e-5)


def windows(window: np.ndarray, cu_seqlens: np.ndarray) -> dict[str, torch.Tensor]:
    """The order of the tiles by image and window, and where each window begins."""
    image = np.searchsorted(cu_seqlens, np.arange(len(window)), side="right")
    of_patches = image * (window.max() + 1) + window
    counts = np.unique(of_patches, return_counts=True)[1]
    return {
        "window_index": torch.tensor(np.argsort(of_patches[::4], kind="stable")),
        "cu_window_seqlens": torch.tensor(np.cumsum([0, *counts]), dtype=torch.int32),
    }
