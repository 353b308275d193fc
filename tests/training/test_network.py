"""The batched pass against transformers' own, picture by picture and question by question."""

import numpy as np
import pytest
import torch
from transformers import Qwen2VLImageProcessorPil, Qwen3VLForConditionalGeneration

from ppcli import PrunedCollator, keep_mask
from ppcli.coding.patchset import cut_tiles
from ppcli.imaging.pixels import pixel_values
from ppcli.imaging.presets import Preset
from ppcli.models.families.family_registry import PRESETS
from training.batches import Batch, batch_of
from training.network import (
    IMAGE_END,
    IMAGE_START,
    IMAGE_TOKEN,
    MERGE,
    Grid,
    Picture,
    of_kept,
    patches_of,
    read,
    see,
    small_config,
)
from training.samples import IMAGE_MEAN, IMAGE_STD, TRAIN

pytestmark = pytest.mark.oracle

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
    patches = patches_of(batch.rasters)
    if batch.kept is not None:
        grid, patches = grid.kept(batch.kept), of_kept(patches, batch.kept, MERGE**2)
    embeds, deepstack, _ = see(model.model.visual, patches, grid)
    return read(model, [Picture(embeds, deepstack, grid)], batch.texts)


@pytest.mark.parametrize("pruned", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@torch.no_grad()
def test_logits_are_those_of_transformers(model, shape: tuple[int, int], pruned: bool) -> None:
    batch = batch_of(TRAIN, range(3), shape, pruned=pruned)
    logits = answered(model, batch)
    preset = Preset(16, 2, 2, 1, 1, (IMAGE_MEAN,) * 3, (IMAGE_STD,) * 3)
    assert preset.mean != PRESETS["qwen3-vl"].mean
    images = Qwen2VLImageProcessorPil(
        patch_size=16, merge_size=2, image_mean=preset.mean, image_std=preset.std
    )
    collate = PrunedCollator(images, model.config, prune=pruned)
    tiles = batch.rows * batch.columns
    compared = 0
    for number in range(3):
        keep = np.ones((batch.rows, batch.columns), dtype=np.bool_)
        values = pixel_values(cut_tiles(batch.rasters[number].numpy(), keep, 32), preset)
        for part in range(int(batch.texts.parts[number].max()) + 1):
            mine = (batch.texts.parts[number] == part).nonzero()[:, 0]
            before = [IMAGE_START, *[IMAGE_TOKEN] * tiles, IMAGE_END]
            example = {
                "input_ids": torch.cat([torch.tensor(before), batch.texts.ids[number, mine]]),
                "pixel_values": values,
                "image_grid_thw": [[1, 2 * batch.rows, 2 * batch.columns]],
            }
            theirs = model(**collate([example])).logits[0, -len(mine) :]
            assert torch.allclose(logits[number, mine], theirs, atol=2e-4)
            compared += len(mine)
    assert compared > 50
    assert logits.std() > 0.1


def test_what_is_kept_is_what_the_coder_keeps() -> None:
    batch, whole = (batch_of(TRAIN, range(8), (8, 4), pruned=pruned) for pruned in (True, False))
    assert whole.kept is None
    kept = [row[row >= 0].tolist() for row in batch.kept]
    expected = [np.flatnonzero(keep_mask(one)).tolist() for one in batch.rasters.numpy()]
    assert kept == expected
    assert len(set(map(len, kept))) > 1, "none is filled up"
    assert torch.equal(batch.texts.ids, whole.texts.ids)
    assert torch.equal(batch.rasters, whole.rasters)


@torch.no_grad()
def test_questions_do_not_see_one_another(model) -> None:
    batch = batch_of(TRAIN, range(4), (8, 4))
    logits = answered(model, batch)
    first = batch.texts.parts == batch.texts.parts[:, :1]
    batch.texts.ids[~first] = 77
    changed = answered(model, batch)
    assert torch.allclose(logits[first], changed[first], atol=1e-4)
    assert not torch.allclose(logits[~first], changed[~first], atol=1e-2)
