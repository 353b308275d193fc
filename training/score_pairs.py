"""Score models on questions about pairs of screenshots, by the tiles that they see.

Usage: python -m training.score_pairs CHECKPOINT… [--pairs N]

The pairs are new to every model: `new windows` has the words of training, `new words` only those
that training never uses. An answer counts if all of it is right. Prints tables in Markdown, of
exact answers in per cent, with the 95 % intervals that `pixelprune eval` computes. The second table
compares with the first model when it sees every tile.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor
from transformers import Qwen3VLForConditionalGeneration

from ppcli.jobs.scores import interval
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
from training.pairs import KINDS, SIZES, Pair, pair
from training.samples import Split

PARTS = {"new windows": SPLITS["seen"], "new words": SPLITS["words"]}
_TEXT_LENGTH = 256  # in which all four questions fit


@dataclass(frozen=True, slots=True)
class Scores:
    """Answers about pairs.

    Attributes:
        right: float (pairs, kinds), 1 where all of an answer is right, else 0.
        tokens: of both images of a pair, in the mean.
    """

    right: NDArray[np.float64]
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
    right, tokens = [], []
    for group in drawn:
        rngs = [random.Random(seed) for seed, _ in group]
        pairs = [one for _, one in group]
        asked = [one_of_each_kind(one, rng) for one, rng in zip(pairs, rngs, strict=True)]
        batch = pair_batch(pairs, asked, rngs, shown, _TEXT_LENGTH)
        found = right_answers(model, batch)
        assert found.shape == (len(pairs), len(KINDS)), "a question did not fit"
        right.append(found.numpy())
        tokens += batch.tokens
    return Scores(np.concatenate(right).astype(float), float(np.mean(tokens)))


def _per_cent(values: NDArray[np.float64], least: float = 0.0) -> str:
    """Return a mean with its interval; one answer of each pair, or all of them."""
    per_pair = values.reshape(len(values), -1)
    groups = np.repeat(np.arange(len(values)), per_pair.shape[1])
    low, high = interval(per_pair.ravel(), groups, least)
    sign = "+" if least else ""
    mean, low, high = (f"{100 * one:{sign}.1f}" for one in (values.mean(), low, high))
    return f"{mean} ({low} to {high})".replace("-", "−")


def _rows(names: list[str], found: dict[tuple[str, Shown], Scores]) -> Iterator[list[str]]:
    for (name, shown), one in found.items():
        columns = [one.right[:, number] for number in range(len(KINDS))]
        yield [name, shown.value, f"{one.tokens:.1f}", *map(_per_cent, [*columns, one.right])]
    first = found[names[0], Shown.ALL]
    for (name, shown), one in found.items():
        less = one.right - first.right
        columns = [less[:, number] for number in range(len(KINDS))]
        compared = (_per_cent(values, -1.0) for values in (*columns, less))
        yield [name, shown.value, f"{one.tokens / first.tokens:.2f}", *compared]


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
        rows = _rows([path.name for path in checkpoints], found)
        head = f"| {part} | sees | tokens | {' | '.join(KINDS)} | all |"
        for lines in (list(islice(rows, len(found))), list(rows)):
            typer.echo(head + "\n" + "|---" * (len(KINDS) + 4) + "|")
            typer.echo("".join(f"| {' | '.join(line)} |\n" for line in lines))


if __name__ == "__main__":
    typer.run(main)
