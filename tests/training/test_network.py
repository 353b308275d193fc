"""The batched pass against transformers' own, picture by picture and question by question."""

import numpy as np
import pytest
import torch
from transformers import Qwen3VLForConditionalGeneration

from ppcli.coding.patchset import cut
from ppcli.imaging.pixels import pixel_values
from ppcli.imaging.presets import PRESETS, Preset
from training.batches import Batch, batch_of
from training.network import (
    IMAGE_END,
    IMAGE_START,
    IMAGE_TOKEN,
    Grid,
    patches_of,
    read,
    see,
    small_config,
)
from training.samples import IMAGE_MEAN, IMAGE_STD, TRAIN

SHAPES = [(8, 4), (3, 6)]


@pytest.fixture(scope="module")
def model() -> Qwen3VLForConditionalGeneration:
    torch.manual_seed(0)
    made = Qwen3VLForConditionalGeneration(small_config()).eval()
    with torch.no_grad():
        for weight in made.parameters():
            weight.mul_(2) if weight.ndim > 1 else weight.add_(0.1 * torch.randn_like(weight))
    return made


def answered(model: Qwen3VLForConditionalGeneration, batch: Batch) -> torch.Tensor:
    grid = Grid.of(batch.rows, batch.columns, model.config, torch.device("cpu"))
    embeds, deepstack, _ = see(model.model.visual, patches_of(batch.rasters), grid)
    return read(model, embeds, deepstack, grid, batch.texts)


@pytest.mark.parametrize("shape", SHAPES)
@torch.no_grad()
def test_logits_are_those_of_transformers(model, shape: tuple[int, int]) -> None:
    batch = batch_of(TRAIN, range(3), shape)
    logits = answered(model, batch)
    preset = Preset(16, 2, 2, 1, 1, (IMAGE_MEAN,) * 3, (IMAGE_STD,) * 3)
    assert preset.mean != PRESETS["qwen3-vl"].mean
    tiles = batch.rows * batch.columns
    compared = 0
    for number in range(3):
        keep = np.ones((batch.rows, batch.columns), dtype=np.bool_)
        values = pixel_values(cut(batch.rasters[number].numpy(), keep, 32), preset)
        for part in range(int(batch.texts.parts[number].max()) + 1):
            mine = (batch.texts.parts[number] == part).nonzero()[:, 0]
            before = [IMAGE_START, *[IMAGE_TOKEN] * tiles, IMAGE_END]
            ids = torch.cat([torch.tensor(before), batch.texts.ids[number, mine]])[None]
            theirs = model(
                input_ids=ids,
                pixel_values=torch.from_numpy(values),
                image_grid_thw=torch.tensor([[1, 2 * batch.rows, 2 * batch.columns]]),
                mm_token_type_ids=(ids == IMAGE_TOKEN).int(),
            ).logits[0, len(before) :]
            assert torch.allclose(logits[number, mine], theirs, atol=2e-4)
            compared += len(mine)
    assert compared > 50
    assert logits.std() > 0.1


@torch.no_grad()
def test_questions_do_not_see_one_another(model) -> None:
    batch = batch_of(TRAIN, range(4), (8, 4))
    logits = answered(model, batch)
    first = batch.texts.parts == batch.texts.parts[:, :1]
    batch.texts.ids[~first] = 77
    changed = answered(model, batch)
    assert torch.allclose(logits[first], changed[first], atol=1e-4)
    assert not torch.allclose(logits[~first], changed[~first], atol=1e-2)
