"""Batches of documents with as many questions as fit, made in worker processes."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from ppcli import keep_mask
from ppcli.models.checkpoints.byte_tokenizer import byte_tokenizer
from training.facts import Fact
from training.network import CHARACTERS_OF_TILE, END_TOKEN, Texts
from training.samples import (
    SIZES_OF_TEXT,
    TILE,
    TRAIN,
    Split,
    characters_of_cells,
    characters_of_tiles,
    document,
)

TEXT_LENGTH = 128
_STEP_OF_KEPT = 8  # each length is compiled for itself
_tokenizer = byte_tokenizer()


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of the curriculum.

    Attributes:
        until: the number of pictures at which it ends.
        sizes: of pictures, in tiles: columns and rows.
        tiles: that a batch has in all.
        text: the least and the largest size of text, in pixels.
        answers: whether questions are asked, or only characters read.
        aloud: share of pictures that are read aloud instead of asked about.
    """

    until: int
    sizes: tuple[tuple[int, int], ...]
    tiles: int
    text: tuple[int, int] = SIZES_OF_TEXT
    answers: bool = True
    aloud: float = 0.5


@dataclass(frozen=True, slots=True)
class Batch:
    """Images of one size, with questions.

    Attributes:
        rows, columns: of tiles.
        rasters: uint8 (B, height, width, 3).
        characters: uint8 (B, rows, columns, most) of each tile.
        cells: uint8 (B, patches, 8) of each patch.
        texts: what is asked.
        kept: int64 (B, K), the tiles that are kept, row-major; −1 fills up. None keeps all.
    """

    rows: int
    columns: int
    rasters: Tensor
    characters: Tensor
    cells: Tensor
    texts: Texts
    kept: Tensor | None


class Batches(IterableDataset[Batch]):
    """Endless batches of one stage; every image has a separate seed.

    Args of the constructor:
        stage: sizes.
        start: the first seed.
        pruned: whether only the tiles that the coder keeps are seen.
        split: what may be drawn.
    """

    def __init__(
        self, stage: Stage, start: int, pruned: bool = False, split: Split = TRAIN
    ) -> None:
        self._stage, self._start, self._pruned, self._split = stage, start, pruned, split

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        number, step = (worker.id, worker.num_workers) if worker else (0, 1)
        seed = self._start
        rng = random.Random(seed)
        count = 0
        while True:
            columns, rows = rng.choice(self._stage.sizes)
            size = max(1, self._stage.tiles // (columns * rows))
            if count % step == number:
                seeds = range(seed, seed + size)
                tiles, stage = (columns, rows), self._stage
                yield batch_of(self._split, seeds, tiles, stage.text, stage.aloud, self._pruned)
            seed, count = seed + size, count + 1


def batch_of(
    split: Split,
    seeds: range,
    tiles: tuple[int, int],
    text: tuple[int, int] = SIZES_OF_TEXT,
    aloud: float = 0.0,
    pruned: bool = False,
) -> Batch:
    """Make documents of these seeds in one size; a share is transcribed instead of asked about."""
    made = [document(split, seed, tiles, text) for seed in seeds]
    characters = [characters_of_tiles(one, CHARACTERS_OF_TILE) for one in made]
    rasters = np.stack([one.fitted() for one in made])
    rngs = [random.Random(seed) for seed in seeds]
    texts = [
        read_aloud(one.lines, rng)
        if rng.random() < aloud
        else texts_of(rng.sample(one.facts, len(one.facts)), rng)
        for one, rng in zip(made, rngs, strict=True)
    ]
    masks = [keep_mask(raster, TILE) for raster in rasters] if pruned else []
    columns, rows = tiles
    return Batch(
        rows,
        columns,
        torch.from_numpy(rasters),
        torch.from_numpy(np.stack(characters)),
        torch.from_numpy(np.stack([characters_of_cells(one) for one in made])),
        Texts(*(torch.from_numpy(np.stack(part)) for part in zip(*texts, strict=True))),
        torch.from_numpy(kept_tiles(masks)) if pruned else None,
    )


def kept_tiles(masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.int64]:
    """Return the tiles that each mask keeps, padded to few lengths.

    Args:
        masks: (rows, columns) each, of one size.

    Returns:
        int64 (masks, K), row-major; −1 fills up.
    """
    kept = [np.flatnonzero(one) for one in masks]
    longest = max(len(one) for one in kept)
    tiles = masks[0].size
    out = np.full((len(kept), min(tiles, -(-longest // _STEP_OF_KEPT) * _STEP_OF_KEPT)), -1)
    for row, one in zip(out, kept, strict=True):
        row[: len(one)] = one
    return out


def texts_of(
    facts: list[Fact], rng: random.Random, length: int = TEXT_LENGTH
) -> tuple[np.ndarray, ...]:
    """Return as many questions about a document and their answers as fit, in their order.

    Returns:
        int64 (length,) four times: ids, parts, positions, targets, as `Texts` has them.
    """
    ids, parts, positions, targets = _blank(length)
    at = 0
    for number, fact in enumerate(facts):
        question = [*_tokenizer.encode(fact.question(rng)).ids, END_TOKEN]
        answer = [*_tokenizer.encode(fact.answer).ids, END_TOKEN]
        fed = question + answer[:-1]
        end = at + len(fed)
        if end > length:
            continue
        ids[at:end], parts[at:end], positions[at:end] = fed, number, np.arange(len(fed))
        targets[at + len(question) - 1 : end] = answer
        at = end
    return ids, parts, positions, targets


def read_aloud(lines: list[str], rng: random.Random) -> tuple[np.ndarray, ...]:
    """Return the text of a document from some line, as far as it fits.

    It teaches to read on from tile to tile with every token, where questions do with one in three.

    Returns:
        as `texts_of`.
    """
    ids, parts, positions, targets = _blank()
    first = rng.randrange(len(lines)) if rng.random() < 0.5 else 0
    question = [*_tokenizer.encode(f"Read on from line {first + 1}.").ids, END_TOKEN]
    answer = [*_tokenizer.encode("\n".join(lines[first:])).ids, END_TOKEN]
    fed = (question + answer[:-1])[:TEXT_LENGTH]
    answer = answer[: TEXT_LENGTH - len(question) + 1]
    ids[: len(fed)], parts[: len(fed)], positions[: len(fed)] = fed, 0, np.arange(len(fed))
    targets[len(question) - 1 : len(fed)] = answer
    return ids, parts, positions, targets


def _blank(length: int = TEXT_LENGTH) -> tuple[np.ndarray, ...]:
    return tuple(np.full(length, fill, dtype=np.int64) for fill in (END_TOKEN, -1, 0, -1))
