"""Examples for training, stock batches of them, and batches whose pruned tiles are masked."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import (
    AttentionInterface,
    PreTrainedModel,
    Qwen2VLImageProcessorPil,
    vision_utils,
)

from tests.models.random_images import IMAGE_TOKEN
from tests.models.tiny_model import TinyModel


def example(processor, before: int, answer: list[int], rasters: list[np.ndarray]) -> dict:
    """Some text, the images, a question, an answer; only that is learnt."""
    ids = list(range(10, 10 + before))
    made = {}
    if rasters:
        made = processor(images=rasters, return_tensors="pt")
        for grid in made["image_grid_thw"].tolist():
            ids += [3, *[IMAGE_TOKEN] * (grid[1] * grid[2] // 4), 4]
    ids += [40, 41, 42]
    labels = [-100] * len(ids) + answer
    return {
        "input_ids": torch.tensor(ids + answer),
        "labels": torch.tensor(labels),
        "pixel_values": made.get("pixel_values"),
        "image_grid_thw": made.get("image_grid_thw"),
    }


def examples_with(processor, images: Sequence[list[np.ndarray]]) -> list[dict]:
    """Three examples of different lengths with these images."""
    answers = [[50, 51, 52], [60], [70, 71]]
    return [
        example(processor, before, answer, rasters)
        for before, answer, rasters in zip((2, 5, 1), answers, images, strict=True)
    ]


def processor_of(tiny: TinyModel) -> Qwen2VLImageProcessorPil:
    """transformers' own, with the settings of a tiny checkpoint."""
    settings = {**tiny.image_processor}
    del settings["image_processor_type"]
    return Qwen2VLImageProcessorPil(**settings)


def ignore_helper(monkeypatch: pytest.MonkeyPatch, module: str, helper: str) -> None:
    """Let a model of transformers ignore what it is given, as other versions of it do.

    Args:
        module: of the model.
        helper: name of the function that returns what was given, or else computes it.
    """
    stock = getattr(vision_utils, helper)

    def ignoring(*given, kwargs, **more):
        return stock(*given, **more)

    monkeypatch.setattr(f"transformers.models.{module}.modeling_{module}.{helper}", ignoring)


@dataclass
class Learnt:
    loss: float
    gradients: dict[str, torch.Tensor]


def learnt(model: PreTrainedModel, batch: dict) -> Learnt:
    model.zero_grad()
    loss = model(**batch).loss
    loss.backward()
    named = model.named_parameters()
    return Learnt(loss.item(), {name: one.grad.clone() for name, one in named})


def assert_alike(one: Learnt, other: Learnt) -> None:
    assert one.loss == pytest.approx(other.loss, rel=1e-5)
    for name, gradient in one.gradients.items():
        scale = float(other.gradients[name].abs().max())
        assert torch.allclose(gradient, other.gradients[name], atol=2e-5 * scale + 1e-9), name


def stock_batch(examples: list[dict]) -> dict:
    """As transformers takes whole images: padded on the right."""
    longest = max(len(one["input_ids"]) for one in examples)

    def padded(name: str, filler: int) -> torch.Tensor:
        return torch.stack(
            [
                torch.nn.functional.pad(one[name], (0, longest - len(one[name])), value=filler)
                for one in examples
            ]
        )

    ids = padded("input_ids", 0)
    lengths = torch.tensor([len(one["input_ids"]) for one in examples])
    batch = {
        "input_ids": ids,
        "labels": padded("labels", -100),
        "attention_mask": (torch.arange(longest) < lengths[:, None]).long(),
        "mm_token_type_ids": (ids == IMAGE_TOKEN).int(),
    }
    for name in ("pixel_values", "image_grid_thw"):
        batch[name] = torch.cat([one[name] for one in examples if one[name] is not None])
    return batch


@contextmanager
def masked(model: PreTrainedModel, masks: Sequence[np.ndarray]) -> Iterator[None]:
    """In the vision transformer no patch of a pruned tile is looked at.

    Args:
        masks: bool (patches,), one for each attention of a layer, in turn.
    """
    remaining: list[torch.Tensor] = []

    def attend(module, query, key, value, attention_mask, scaling, **_):
        if not remaining:
            remaining.extend(torch.from_numpy(one) for one in masks)
        seen = remaining.pop(0)
        out = scaled_dot_product_attention(
            query, key, value, attn_mask=seen[None, None, None], scale=scaling
        )
        return out.transpose(1, 2).contiguous(), None

    AttentionInterface.register("masked by the test", attend)
    config = model.model.visual.config
    before = config._attn_implementation
    config._attn_implementation = "masked by the test"
    yield
    assert remaining == []
    config._attn_implementation = before


def masked_batch(model: PreTrainedModel, examples: list[dict], keeps: Sequence[np.ndarray]) -> dict:
    """All tokens, those of pruned tiles never looked at; they foretell nothing either."""
    batch = stock_batch(examples)
    ids = batch["input_ids"]
    batch["position_ids"], _ = model.model.get_rope_index(
        ids,
        mm_token_type_ids=batch["mm_token_type_ids"],
        image_grid_thw=batch["image_grid_thw"],
        attention_mask=batch["attention_mask"],
    )
    seen = batch["attention_mask"].bool()
    seen[ids == IMAGE_TOKEN] = torch.from_numpy(np.concatenate([keep.ravel() for keep in keeps]))
    batch["labels"][~seen] = -100
    batch["labels"][:, 1:][~seen[:, :-1]] = -100
    square = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
    itself = torch.eye(ids.shape[1], dtype=torch.bool)  # or a row had nothing to look at
    batch["attention_mask"] = ((seen[:, None, :] & square) | itself)[:, None]
    return batch
