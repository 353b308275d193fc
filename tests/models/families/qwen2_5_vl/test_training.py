"""Training on pruned patches with windows, against transformers' own model with masks."""

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel, Qwen2VLImageProcessorPil
from transformers.vision_utils import get_vision_window_index

from ppcli import PrunedCollator, keep_mask
from ppcli.errors import MissingDependencyError
from tests.conftest import blocks
from tests.models.families.qwen2_5_vl.tiny_qwen25 import TinyQwen25
from tests.models.integrations.transformers.training_batches import (
    assert_alike,
    examples_with,
    ignore_helper,
    learnt,
    masked,
    masked_batch,
    processor_of,
    stock_batch,
)
from tests.models.reference import transformers_model

pytestmark = pytest.mark.oracle

TINY = TinyQwen25(depth=3, full_attention=(1,))
RASTERS = [
    blocks(w, h, block=28, levels=2, seed=n) for n, (w, h) in enumerate([(140, 84), (56, 140)])
]
IMAGES = [RASTERS, RASTERS[:1], []]  # of each example
KEEPS = [keep_mask(raster, tile=28) for images in IMAGES for raster in images]


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


def masks() -> list[np.ndarray]:
    """Of each attention in its turn: windows in two layers, whole images between them."""
    whole = [np.repeat(keep.ravel(), 4) for keep in KEEPS]
    grids = torch.tensor([[1, 2 * keep.shape[0], 2 * keep.shape[1]] for keep in KEEPS])
    order, bounds = get_vision_window_index(grids, 2, TINY.window_size, 14)
    by_window = np.concatenate([keep.ravel() for keep in KEEPS])[order.numpy()].repeat(4)
    windows = np.split(by_window, bounds[1:-1].numpy())
    # where nothing is kept nobody reads the output, and some key must be looked at
    windows = [one if one.any() else ~one for one in windows]
    # within an image the layers see the patches window by window
    ordered = np.split(by_window, np.cumsum([len(one) for one in whole])[:-1])
    return [*windows, *ordered, *windows]


def test_with_every_patch_it_is_stock_training(model, processor, examples) -> None:
    ours = PrunedCollator(processor, model.config, prune=False)(examples)
    assert_alike(learnt(model, ours), learnt(model, stock_batch(examples)))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_pruning_is_masking(model, processor, examples, checkpointing: bool) -> None:
    batch = PrunedCollator(processor, model.config)(examples)
    assert len(batch["pixel_values"]) == 4 * sum(int(keep.sum()) for keep in KEEPS)
    if checkpointing:
        model.train()
        model.activation_checkpointing_enable()
    ours = learnt(model, batch)
    model.activation_checkpointing_disable()
    model.eval()
    with masked(model, masks()):
        theirs = learnt(model, masked_batch(model, examples, KEEPS))
    assert_alike(ours, theirs)
    stock = learnt(model, stock_batch(examples))
    assert abs(stock.loss - ours.loss) > 1e-4  # what is pruned would have made a difference


@pytest.mark.parametrize("given", ["image_position_ids", "image_window_index"])
def test_each_argument_matters(model, processor, examples, given: str) -> None:
    batch = PrunedCollator(processor, model.config)(examples)
    right = learnt(model, batch)
    wrong = batch | {given: batch[given].flip(0)}
    if given == "image_window_index":  # other windows for the same tiles
        wrong = batch | {given: batch[given].roll(1)}
    assert abs(learnt(model, wrong).loss - right.loss) > 1e-5


@pytest.mark.parametrize("helper", ["window_index", "position_ids"])
def test_a_transformers_that_ignores_places_is_refused(
    model, processor, monkeypatch, helper: str
) -> None:
    ignore_helper(monkeypatch, "qwen2_5_vl", f"get_vision_{helper}")
    with pytest.raises(MissingDependencyError, match="does not take the positions of patches"):
        PrunedCollator(processor, model.config)


def test_nothing_is_said_about_the_model_of_the_check(model, processor, capfd) -> None:
    PrunedCollator(processor, model.config)
    assert capfd.readouterr() == ("", "")
