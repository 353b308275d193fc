"""Training on pruned patches: transformers' own model with our batches, against oracles.

With every patch kept the batch is as good as transformers' own. With pruned ones the oracle keeps
all of them, and masks their keys in every attention, of vision and language.
"""

import sys

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from transformers import (
    Qwen2VLConfig,
    Qwen2VLImageProcessorPil,
    Qwen3VLForConditionalGeneration,
    Qwen3VLModel,
)

from ppcli import PrunedCollator, keep_mask
from ppcli.errors import MissingDependencyError, UsageError
from tests.conftest import blocks
from tests.models.integrations.transformers.training_batches import (
    Learnt,
    assert_alike,
    example,
    examples_with,
    ignore_helper,
    learnt,
    masked,
    masked_batch,
    stock_batch,
)
from tests.models.random_images import IMAGE_TOKEN
from tests.models.reference import transformers_model
from tests.models.tiny_checkpoint import Tiny

pytestmark = pytest.mark.oracle

TINY = Tiny(layers=3, depth=3, deepstack=(0, 1))


@pytest.fixture(scope="module")
def model() -> Qwen3VLForConditionalGeneration:
    return transformers_model(TINY)


@pytest.fixture(scope="module")
def processor() -> Qwen2VLImageProcessorPil:
    return Qwen2VLImageProcessorPil(
        size={"shortest_edge": 4096, "longest_edge": 1 << 24},
        patch_size=16,
        temporal_patch_size=2,
        merge_size=2,
        image_mean=[0.5, 0.4, 0.6],
        image_std=[0.5, 0.3, 0.25],
    )


RASTERS = [blocks(w, h, levels=2, seed=n) for n, (w, h) in enumerate([(128, 96), (64, 160)])]
IMAGES = [RASTERS, RASTERS[:1], []]  # of each example
KEEPS = [keep_mask(raster, tile=32) for images in IMAGES for raster in images]
MASKS = [np.repeat(keep.ravel(), 4) for keep in KEEPS]


@pytest.fixture(scope="module")
def examples(processor) -> list[dict]:
    """Of different lengths, with two images, one, and none."""
    return examples_with(processor, IMAGES)


def test_with_every_patch_it_is_stock_training(model, processor, examples) -> None:
    ours = PrunedCollator(processor, model.config, prune=False)(examples)
    assert_alike(learnt(model, ours), learnt(model, stock_batch(examples)))


def answers_only(example: dict) -> torch.Tensor:
    return example["labels"]


def all_text(example: dict) -> torch.Tensor:
    return torch.where(example["input_ids"] == IMAGE_TOKEN, -100, example["input_ids"])


def everything(example: dict) -> torch.Tensor:
    return example["input_ids"]


@pytest.mark.parametrize("labelled", [answers_only, all_text, everything])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_pruning_is_masking(model, processor, examples, checkpointing: bool, labelled) -> None:
    examples = [one | {"labels": labelled(one)} for one in examples]
    batch = PrunedCollator(processor, model.config)(examples)
    kept, whole = sum(keep.sum() for keep in KEEPS), sum(keep.size for keep in KEEPS)
    assert (batch["input_ids"] == IMAGE_TOKEN).sum() == kept < 0.8 * whole
    if checkpointing:
        model.train()
        model.activation_checkpointing_enable()
    ours = learnt(model, batch)
    model.activation_checkpointing_disable()
    model.eval()
    with masked(model, MASKS):
        theirs = learnt(model, masked_batch(model, examples, KEEPS))
    assert_alike(ours, theirs)
    stock = learnt(model, stock_batch(examples))
    assert abs(stock.loss - ours.loss) > 1e-4  # what is pruned would have made a difference


def test_in_mixed_precision_it_is_masking_to_its_rounding(model, processor, examples) -> None:
    batch = PrunedCollator(processor, model.config)(examples)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = learnt(model, batch)
        with masked(model, MASKS):
            theirs = learnt(model, masked_batch(model, examples, KEEPS))
        stock = learnt(model, stock_batch(examples))

    def apart(one: Learnt, other: Learnt) -> float:
        """Share of the gradients' length."""
        pairs = [(one.gradients[name], other.gradients[name]) for name in one.gradients]
        missed = sum(float((a - b).square().sum()) for a, b in pairs)
        return (missed / sum(float(b.square().sum()) for _, b in pairs)) ** 0.5

    assert apart(ours, theirs) < 0.1 * apart(stock, theirs)


def test_labels_stay_with_their_tokens(model, processor, examples) -> None:
    batch = PrunedCollator(processor, model.config)(examples)
    for ids, labels, mask, one in zip(
        batch["input_ids"], batch["labels"], batch["attention_mask"], examples, strict=True
    ):
        learnt_here = labels >= 0
        assert labels[learnt_here].tolist() == one["labels"][one["labels"] >= 0].tolist()
        assert ids[learnt_here].tolist() == labels[learnt_here].tolist()
        text = one["input_ids"][one["input_ids"] != IMAGE_TOKEN].tolist()
        assert ids[(ids != IMAGE_TOKEN) & (mask > 0)].tolist() == text


def test_padding_and_batch_dimensions_are_taken(model, processor, examples) -> None:
    collator = PrunedCollator(processor, model.config)
    plain = collator(examples[:1])
    one = examples[0]
    padded = one | {
        "input_ids": torch.nn.functional.pad(one["input_ids"], (3, 0))[None],
        "labels": torch.nn.functional.pad(one["labels"], (3, 0), value=-100)[None],
        "attention_mask": torch.nn.functional.pad(torch.ones_like(one["labels"]), (3, 0))[None],
    }
    again = collator([padded])
    assert plain.keys() == again.keys()
    assert all(torch.equal(again[name], plain[name]) for name in plain)
    assert "pixel_values" not in collator(examples[2:])


def test_workers_of_a_loader_give_the_same(model, processor, examples) -> None:
    collator = PrunedCollator(processor, model.config)
    loader = DataLoader(examples, batch_size=3, collate_fn=collator, num_workers=1)
    (batch,) = loader
    expected = collator(examples)
    assert all(torch.equal(batch[name], expected[name]) for name in expected)


def test_a_threshold_keeps_fewer(model, processor) -> None:
    raster = blocks(128, 96, levels=2, seed=1)
    raster ^= np.random.default_rng(0).integers(0, 2, raster.shape, dtype=np.uint8)
    kept = [
        len(
            PrunedCollator(processor, model.config, threshold=threshold)(
                [example(processor, 1, [9], [raster])]
            )["pixel_values"]
        )
        for threshold in (0.0, 1 / 255, "auto")
    ]
    assert kept[2] == kept[1] < kept[0]


def test_what_is_not_an_example(model, processor, examples) -> None:
    collator = PrunedCollator(processor, model.config)
    one = examples[1]
    with pytest.raises(UsageError, match="was it cut off"):
        collator([one | {"input_ids": one["input_ids"][:-9], "labels": one["labels"][:-9]}])
    with pytest.raises(UsageError, match="8-bit"):
        collator([one | {"pixel_values": one["pixel_values"] + 0.001}])
    with pytest.raises(UsageError, match="8-bit"):
        collator([one | {"pixel_values": one["pixel_values"].bfloat16()}])
    with pytest.raises(UsageError, match="one conversation"):
        collator([one | {"input_ids": one["input_ids"][None].repeat(2, 1)}])
    with pytest.raises(UsageError, match="video"):
        collator([one | {"pixel_values_videos": one["pixel_values"]}])
    with pytest.raises(UsageError, match="56 patches where its grids have 48"):
        collator(
            [one | {"pixel_values": torch.cat([one["pixel_values"], one["pixel_values"][:8]])}]
        )
    with pytest.raises(UsageError, match="of its labels"):
        collator([one | {"labels": one["labels"][1:]}])
    with pytest.raises(UsageError, match="others have none"):
        collator([one, one | {"labels": None}])
    with pytest.raises(UsageError, match="random"):
        PrunedCollator(processor, model.config, method="random")
    with pytest.raises(UsageError, match="model type qwen2_vl; supported for training: qwen3_vl"):
        PrunedCollator(processor, Qwen2VLConfig())
    with pytest.raises(UsageError, match=r"cuts patches of \(14, 2, 2\).*takes \(16, 2, 2\)"):
        PrunedCollator(Qwen2VLImageProcessorPil(patch_size=14), model.config)


def test_without_labels_there_is_no_loss(model, processor, examples) -> None:
    batch = PrunedCollator(processor, model.config)([one | {"labels": None} for one in examples])
    assert model(**batch).loss is None  # Trainer says so; a loss of nothing would be NaN


@pytest.mark.parametrize("helper", ["interpolation_indices_and_weights", "position_ids"])
def test_a_transformers_that_ignores_places_is_refused(
    model, processor, monkeypatch, helper: str
) -> None:
    ignore_helper(monkeypatch, "qwen3_vl", f"get_vision_{helper}")
    with pytest.raises(MissingDependencyError, match="does not take the positions of patches"):
        PrunedCollator(processor, model.config)


def test_a_transformers_that_hands_no_places_on_is_refused(model, processor, monkeypatch) -> None:
    undecorated = Qwen3VLModel.get_image_features.__wrapped__
    monkeypatch.setattr(Qwen3VLModel, "get_image_features", undecorated)
    with pytest.raises(MissingDependencyError, match="does not take the positions of patches"):
        PrunedCollator(processor, model.config)


def test_without_torch_it_says_what_to_install(monkeypatch, model, processor) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingDependencyError, match=r"pixelprune\[train\]"):
        PrunedCollator(processor, model.config)


def test_what_is_no_model_and_no_processor(model, processor) -> None:
    for wrong in (None, "qwen3_vl", model.config.vision_config):
        with pytest.raises(UsageError, match="config"):
            PrunedCollator(processor, wrong)
    for wrong in (None, "Qwen", object()):
        with pytest.raises(UsageError, match="processor"):
            PrunedCollator(wrong, model.config)
    for setting in ({"prune": "no"}, {"prune": None}, {"threshold": 10**400}, {"method": None}):
        with pytest.raises(UsageError, match=next(iter(setting))):
            PrunedCollator(processor, model.config, **setting)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"input_ids": None}, "input_ids"),
        ({"input_ids": [1.5, 2.5]}, "tokens"),
        ({"input_ids": "text"}, "tokens"),
        ({"input_ids": 3}, "tokens"),
        ({"pixel_values": [[np.nan]]}, "1 patches where its grids have 48"),
        ({"pixel_values": "text"}, "pixel_values"),
        ({"pixel_values": [1.0]}, "pixel_values"),
        ({"image_grid_thw": None}, "image_grid_thw"),
        ({"image_grid_thw": [[1, 6]]}, "image_grid_thw"),
        ({"image_grid_thw": [[1.0, 6.0, 8.0]]}, "image_grid_thw"),
        ({"image_grid_thw": [[1, 5, 8]]}, "image_grid_thw"),
        ({"image_grid_thw": [[1, -6, -8]]}, "image_grid_thw"),
        ({"image_grid_thw": [[2, 6, 8]]}, "image_grid_thw"),
    ],
)
def test_what_is_no_example(model, processor, examples, wrong, match) -> None:
    collator = PrunedCollator(processor, model.config)
    with pytest.raises(UsageError, match=match):
        collator([examples[1] | wrong])


def test_what_is_no_batch(model, processor, examples) -> None:
    collator = PrunedCollator(processor, model.config)
    for wrong in ([], None, examples[0], "examples", [None], [3]):
        with pytest.raises(UsageError, match=r"batch|example"):
            collator(wrong)
