"""Training and scoring on pairs: against transformers' own pass, and as commands."""

import itertools
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen2VLImageProcessorPil, Qwen3VLForConditionalGeneration

from ppcli import PrunedCollator
from ppcli.coding.patchset import cut_tiles
from ppcli.imaging.pixels import pixel_values
from ppcli.imaging.presets import Preset
from ppcli.models.checkpoints.byte_tokenizer import byte_tokenizer
from training import score_pairs, train_pairs
from training.network import END_TOKEN, IMAGE_END, IMAGE_START, IMAGE_TOKEN, Grid
from training.pair_batches import (
    PairBatch,
    PairBatches,
    Shown,
    logits_of,
    one_of_each_kind,
    pair_batch,
)
from training.pairs import KINDS, pair
from training.samples import IMAGE_MEAN, IMAGE_STD, TILE, TRAIN
from training.score_pairs import right_answers
from training.small_checkpoint import small_model
from training.train import Learning

pytestmark = pytest.mark.oracle

PRESET = Preset(16, 2, 2, 1, 1, (IMAGE_MEAN,) * 3, (IMAGE_STD,) * 3)


@pytest.fixture(scope="module")
def model() -> Qwen3VLForConditionalGeneration:
    return small_model().eval()


def batch_of_pairs(shown: Shown, count: int = 2) -> PairBatch:
    pairs = [pair(TRAIN, seed, (8, 4)) for seed in range(count)]
    rngs = [random.Random(seed) for seed in range(count)]
    asked = [one_of_each_kind(one, rng) for one, rng in zip(pairs, rngs, strict=True)]
    return pair_batch(pairs, asked, rngs, shown)


def example_of(batch: PairBatch, number: int, text: torch.Tensor) -> dict[str, object]:
    """A prompt with both images of a pair, as transformers' processor gives it."""
    keep = np.ones((batch.rows, batch.columns), dtype=np.bool_)
    tiles = [IMAGE_START, *[IMAGE_TOKEN] * keep.size, IMAGE_END]
    values = [
        pixel_values(cut_tiles(side[number].numpy(), keep, TILE), PRESET) for side in batch.rasters
    ]
    return {
        "input_ids": torch.cat([torch.tensor([*tiles, *tiles]), text]),
        "pixel_values": np.concatenate(values),
        "image_grid_thw": [[1, 2 * batch.rows, 2 * batch.columns]] * 2,
    }


def collator(model: Qwen3VLForConditionalGeneration, shown: Shown) -> PrunedCollator:
    images = Qwen2VLImageProcessorPil(
        patch_size=16, merge_size=2, image_mean=PRESET.mean, image_std=PRESET.std
    )
    sequence = shown.value if shown in (Shown.FORWARD, Shown.REVERSE) else None
    prune = shown is not Shown.ALL
    return PrunedCollator(images, model.config, prune=prune, sequence=sequence)


def logits_of_pairs(model: Qwen3VLForConditionalGeneration, batch: PairBatch) -> torch.Tensor:
    grid = Grid.of(batch.rows, batch.columns, model.config, torch.device("cpu"))
    return logits_of(model, batch, grid)


@pytest.mark.parametrize("shown", list(Shown))
@torch.no_grad()
def test_logits_are_those_of_transformers(model, shown: Shown) -> None:
    """Of every question, with both images in the prompt."""
    batch = batch_of_pairs(shown)
    logits, collate = logits_of_pairs(model, batch), collator(model, shown)
    tokens = []
    for number, parts in enumerate(batch.texts.parts):
        for part in range(len(KINDS)):
            mine = (parts == part).nonzero()[:, 0]
            given = collate([example_of(batch, number, batch.texts.ids[number, mine])])
            theirs = model(**given).logits[0, -len(mine) :]
            assert torch.allclose(logits[number, mine], theirs, atol=2e-3, rtol=1e-3)
        tokens.append(int((given["input_ids"] == IMAGE_TOKEN).sum()))
    assert batch.tokens == tokens
    assert (min(tokens) < 64) == (shown is not Shown.ALL)


@torch.no_grad()
def test_other_tiles_give_other_logits(model) -> None:
    """The control: what is compared with transformers does depend on what is shown."""
    found = [logits_of_pairs(model, batch_of_pairs(shown)) for shown in Shown]
    for one, other in itertools.combinations(found, 2):
        assert not torch.allclose(one, other, atol=0.1)


@torch.no_grad()
def test_right_answers_are_those_of_greedy_decoding(model) -> None:
    batch, collate = batch_of_pairs(Shown.ALONE, 6), collator(model, Shown.ALONE)
    found = right_answers(model, batch)
    expected = torch.zeros_like(found)
    for number, part in itertools.product(range(len(found)), range(len(KINDS))):
        mine = batch.texts.parts[number] == part
        targets = batch.texts.targets[number, mine]
        answer = targets[targets >= 0].tolist()
        text = batch.texts.ids[number, mine][: -len(answer) + 1 or None]
        said: list[int] = []
        while not said or (said[-1] != END_TOKEN and len(said) < len(answer)):
            ids = torch.cat([text, torch.tensor(said, dtype=torch.int64)])
            given = collate([example_of(batch, number, ids)])
            said.append(int(model(**given).logits[0, -1].argmax()))
        expected[number, part] = said == answer
    assert torch.equal(found, expected)
    assert 0 < found.sum() < found.numel(), "both kinds of answers are there"


def test_runs_see_the_same_pairs_and_questions() -> None:
    batches = [next(iter(PairBatches(TRAIN, shown))) for shown in (Shown.ALL, Shown.FORWARD)]
    one, other = batches
    assert torch.equal(one.texts.ids, other.texts.ids)
    assert all(map(torch.equal, one.rasters, other.rasters))
    assert one.kept is None
    assert sum(other.tokens) < 0.6 * sum(one.tokens)
    said = byte_tokenizer().decode(one.texts.ids[0].tolist(), skip_special_tokens=True)
    assert len(said) > 40


@pytest.mark.slow
def test_it_learns_and_is_scored(tmp_path: Path, capsys) -> None:
    """A few pairs by heart, and both commands."""
    twin = train_pairs.PairTwin(Learning.fresh(torch.device("cpu")), compiled=False)
    batch = batch_of_pairs(Shown.FORWARD, 4)
    losses = []
    for _ in range(16):
        loss, _ = twin.loss(batch)
        twin.step(loss, 2e-3)
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    train_pairs.main(tmp_path / "tuned", Shown.FORWARD, pairs=16, rate=1e-3)
    assert "16 pairs" in capsys.readouterr().out
    score_pairs.main([tmp_path / "tuned"], pairs=4)
    lines = capsys.readouterr().out.splitlines()
    assert len(re.findall("sees", "".join(lines))) == 2 * len(score_pairs.PARTS)
    rows = [line for line in lines if line.startswith("| tuned")]
    assert len(rows) == 2 * len(Shown) * len(score_pairs.PARTS)
    first = [cell.strip() for cell in rows[len(Shown)].split("|")[4:-1]]
    assert {cell.split()[0] for cell in first} == {"+0.0"}, "compared with itself"


def test_the_old_answer_is_wrong_for_now(model) -> None:
    """Of one question at most one of two answers is what a model says."""
    drawn = [[(seed, pair(TRAIN, seed, (8, 4))) for seed in range(8)]]
    found = score_pairs.scores(model, drawn, Shown.ALL)
    assert found.right.shape == (8, len(KINDS))
    assert found.tokens == 64
    assert 0 < found.old.sum() < 8, "a model that never saw two images reads either"
