"""Score models on questions about pairs of screenshots, by the tiles that they see.

Usage: python -m training.score_pairs CHECKPOINT… [--pairs N]

The pairs are new to every model: `new windows` has the words of training, `new words` only those
that training never uses. An answer counts if all of it is right. Prints tables in Markdown, of
exact answers in per cent, with the 95 % intervals that `pixelprune eval` computes. The column `old`
tells how often the question `now` is answered with what the field said before. The second table
compares with the first model when it sees every tile.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor
from transformers import Qwen3VLForConditionalGeneration

from ppcli.jobs.scores import interval
from training.facts import Fact
from training.make_data import SPLITS
from training.network import Grid
from training.pair_batches import (
    PAIRS_OF_BATCH,
    PairBatch,
    Shown,
    logits_of,
    one_of_each_kind,
    pair_batch,
)
from training.pairs import BEFORE, KINDS, NOW, SIZES, Pair, pair
from training.samples import Split

PARTS = {"new windows": SPLITS["seen"], "new words": SPLITS["words"]}
OLD = "old"
_TEXT_LENGTH = 320  # in which all questions fit


@dataclass(frozen=True, slots=True)
class Scores:
    """Answers about pairs.

    Attributes:
        right: float (pairs, kinds), 1 where all of an answer is right, else 0.
        old: float (pairs, 1), 1 where the question `now` gets the answer of before.
        tokens: of both images of a pair, in the mean.
    """

    right: NDArray[np.float64]
    old: NDArray[np.float64]
    tokens: float


def drawn_pairs(split: Split, count: int) -> Iterator[list[tuple[int, Pair]]]:
    """Yield so many pairs with their seeds, those of one size together."""
    for start in range(0, count, PAIRS_OF_BATCH):
        size = SIZES[start // PAIRS_OF_BATCH % len(SIZES)]
        seeds = range(start, min(count, start + PAIRS_OF_BATCH))
        yield [(seed, pair(split, seed, size)) for seed in seeds]


@torch.no_grad()
def right_answers(model: Qwen3VLForConditionalGeneration, batch: PairBatch) -> Tensor:
    """Return which answers a model gives token by token as they should be: bool (B, questions).

    Each token is the likeliest after the right ones before it. The first one that differs makes an
    answer wrong, so that this is what greedy decoding gives.
    """
    grid = Grid.of(batch.rows, batch.columns, model.config, torch.device("cpu"))
    wanted = batch.texts.targets >= 0
    missed = (logits_of(model, batch, grid).argmax(-1) != batch.texts.targets) & wanted
    numbers = torch.arange(int(batch.texts.parts.max()) + 1)
    of_part = batch.texts.parts[:, :, None] == numbers
    return ~(missed[:, :, None] & of_part).any(1)


def scores(
    model: Qwen3VLForConditionalGeneration, drawn: list[list[tuple[int, Pair]]], shown: Shown
) -> Scores:
    """Ask a model one question of each kind about each pair."""
    found, tokens = [], []
    for group in drawn:
        rngs = [random.Random(seed) for seed, _ in group]
        pairs = [one for _, one in group]
        asked = [
            [*one_of_each_kind(one, rng), _old_answer(one)]
            for one, rng in zip(pairs, rngs, strict=True)
        ]
        batch = pair_batch(pairs, asked, rngs, shown, _TEXT_LENGTH)
        right = right_answers(model, batch)
        assert right.shape == (len(pairs), len(KINDS) + 1), "a question did not fit"
        found.append(right.numpy().astype(float))
        tokens += batch.tokens
    right, old = np.split(np.concatenate(found), [len(KINDS)], axis=1)
    return Scores(right, old, float(np.mean(tokens)))


def _old_answer(one: Pair) -> Fact:
    """Return what a field says now, with the answer of before."""
    (now,), (before,) = one.questions[NOW], one.questions[BEFORE]
    return replace(now, answer=before.answer)


def _per_cent(values: NDArray[np.float64], least: float = 0.0) -> str:
    """Return the mean of answers (pairs, of each) with its interval."""
    groups = np.repeat(np.arange(len(values)), values.shape[1])
    low, high = interval(values.ravel(), groups, least)
    sign = "+" if least else ""
    mean, low, high = (f"{100 * one:{sign}.1f}" for one in (values.mean(), low, high))
    return f"{mean} ({low} to {high})".replace("-", "−")


def _table(
    part: str, found: dict[tuple[str, Shown], Scores], first: Scores | None = None
) -> Iterator[str]:
    """Yield the lines of a table; with `first` of the differences to it."""
    yield f"| {part} | sees | tokens | {' | '.join((*KINDS, 'all', OLD))} |"
    yield "|---" * (len(KINDS) + 5) + "|"
    for (name, shown), one in found.items():
        right, old = one.right, one.old
        tokens = f"{one.tokens:.1f}"
        if first is not None:
            right, old = right - first.right, old - first.old
            tokens = f"{one.tokens / first.tokens:.2f}"
        values = (*np.split(right, len(KINDS), axis=1), right, old)
        cells = [_per_cent(column, 0.0 if first is None else -1.0) for column in values]
        yield f"| {' | '.join((name, shown.value, tokens, *cells))} |"


def main(
    checkpoints: Annotated[list[Path], typer.Argument(help="Folders of checkpoints.")],
    pairs: Annotated[int, typer.Option(help="Of each part.")] = 400,
) -> None:
    """Print the scores."""
    torch.set_flush_denormal(True)
    for part, split in PARTS.items():
        drawn = list(drawn_pairs(split, pairs))
        found = {}
        for path in checkpoints:
            model = Qwen3VLForConditionalGeneration.from_pretrained(path, dtype=torch.float32)
            found |= {(path.name, shown): scores(model, drawn, shown) for shown in Shown}
        first = found[checkpoints[0].name, Shown.ALL]
        for lines in (_table(part, found), _table(part, found, first)):
            typer.echo("\n".join(lines) + "\n")


if __name__ == "__main__":
    typer.run(main)
