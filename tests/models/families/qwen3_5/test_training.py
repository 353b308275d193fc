"""Training on pruned patches with recurrent layers, against transformers on the kept tokens."""

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel, Qwen2VLImageProcessorPil

from ppcli import PrunedCollator, keep_mask
from ppcli.errors import MissingDependencyError
from tests.conftest import blocks
from tests.models.families.qwen3_5.tiny_qwen3_5 import TinyQwen35
from tests.models.integrations.transformers.training_batches import (
    assert_alike,
    examples_with,
    ignore_helper,
    learnt,
    processor_of,
    stock_batch,
)
from tests.models.random_images import IMAGE_TOKEN, Image
from tests.models.reference import pruned_answer, transformers_model

pytestmark = pytest.mark.oracle

TINY = TinyQwen35()
RASTERS = [blocks(w, h, levels=2, seed=n) for n, (w, h) in enumerate([(160, 96), (64, 160)])]
IMAGES = [RASTERS, RASTERS[:1], []]  # of each example


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return transformers_model(TINY)


@pytest.fixture(scope="module")
def processor() -> Qwen2VLImageProcessorPil:
    return processor_of(TINY)


@pytest.fixture(scope="module")
def examples(processor) -> list[dict]:
    """Of different lengths, with two images, one, and none."""
    return examples_with(processor, IMAGES)


def test_with_every_patch_it_is_stock_training(model, processor, examples) -> None:
    ours = PrunedCollator(processor, model.config, prune=False)(examples)
    assert_alike(learnt(model, ours), learnt(model, stock_batch(examples)))


@torch.no_grad()
def test_logits_are_those_of_the_kept_tokens(model, processor, examples) -> None:
    """Of each example by itself, in a batch with others that are longer."""
    batch = PrunedCollator(processor, model.config)(examples)
    ends = batch["attention_mask"].sum(1) - 1
    logits = model(**batch).logits
    whole = model(**stock_batch(examples)).logits
    for row, (one, rasters) in enumerate(zip(examples, IMAGES, strict=True)):
        ids, images = shortened(one, rasters)
        (theirs,) = pruned_answer(model, ids, images, 1).logits
        np.testing.assert_allclose(logits[row, ends[row]].numpy(), theirs, atol=1e-4)
        if rasters:  # what is pruned would have made a difference
            unpruned = whole[row, len(one["input_ids"]) - 1].numpy()
            assert np.abs(unpruned - theirs).max() > 0.01


def shortened(one: dict, rasters: list[np.ndarray]) -> tuple[list[int], list[Image]]:
    """An example as the oracle takes it: one token for each image."""
    ids = one["input_ids"].tolist()
    kept = [
        token
        for token, before in zip(ids, [None, *ids], strict=False)
        if token != IMAGE_TOKEN or before != IMAGE_TOKEN
    ]
    images, start = [], 0
    for raster in rasters:
        keep = keep_mask(raster, tile=32)
        end = start + 4 * keep.size
        images.append(Image(one["pixel_values"][start:end].numpy(), keep))
        start = end
    return kept, images


def test_a_model_learns_from_pruned_images(model, processor, examples) -> None:
    batch = PrunedCollator(processor, model.config)(examples)
    found = learnt(model, batch)
    for name, gradient in found.gradients.items():
        assert torch.isfinite(gradient).all(), name
        assert gradient.abs().max() > 0, name


def test_a_transformers_that_ignores_places_is_refused(model, processor, monkeypatch) -> None:
    ignore_helper(monkeypatch, "qwen3_5", "get_vision_position_ids")
    with pytest.raises(MissingDependencyError, match="does not take the positions of patches"):
        PrunedCollator(processor, model.config)
