"""Batches of pairs of screenshots, and the network's answers about them."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info
from transformers import Qwen3VLForConditionalGeneration

from ppcli import CoderOptions
from ppcli.coding.frame_chain import code_frames
from ppcli.coding.sequence_options import Direction
from training.batches import kept_tiles, texts_of
from training.facts import Fact
from training.network import MERGE, Grid, Picture, Texts, of_kept, patches_of, read, see
from training.pairs import KINDS, SIZES, TILE, Pair, pair
from training.samples import Split

TEXT_LENGTH = 192
PAIRS_OF_BATCH = 16


class Shown(StrEnum):
    """Which tiles of a pair a model sees."""

    ALL = "all"  # of both images
    ALONE = "alone"  # what pred_2d keeps of each image
    FORWARD = "forward"  # of that, in the second image only what changed
    REVERSE = "reverse"  # of that, in the first image only what has gone


@dataclass(frozen=True, slots=True)
class PairBatch:
    """Pairs of one size, with questions.

    Attributes:
        rows, columns: of tiles.
        rasters: uint8 (B, height, width, 3), of the first images and of the second.
        kept: likewise int64 (B, K), the tiles that are kept; −1 fills up. None keeps all.
        texts: what is asked.
    """

    rows: int
    columns: int
    rasters: tuple[Tensor, Tensor]
    kept: tuple[Tensor, Tensor] | None
    texts: Texts

    @property
    def tokens(self) -> list[int]:
        """Tiles that are seen of both images of each pair."""
        if self.kept is None:
            return [2 * self.rows * self.columns] * len(self.texts.ids)
        counts = sum((one >= 0).sum(1) for one in self.kept)
        assert isinstance(counts, Tensor)
        return [int(count) for count in counts]


def pair_batch(
    pairs: Sequence[Pair],
    questions: Sequence[list[Fact]],
    rngs: Sequence[random.Random],
    shown: Shown,
    length: int = TEXT_LENGTH,
) -> PairBatch:
    """Put pairs of one size together.

    Args:
        pairs: images.
        questions: about each pair; as many as fit are asked.
        rngs: decide about wording.
        shown: which tiles are kept, at τ = 0.
        length: of the texts, in tokens.
    """
    fitted = [one.fitted() for one in pairs]
    kept = None if shown is Shown.ALL else _kept_of_pairs(fitted, shown)
    texts = [texts_of(asked, rng, length) for asked, rng in zip(questions, rngs, strict=True)]
    rows, columns = (side // TILE for side in fitted[0][0].shape[:2])
    before, after = (torch.from_numpy(np.stack(side)) for side in zip(*fitted, strict=True))
    ids, parts, positions, targets = (np.stack(part) for part in zip(*texts, strict=True))
    used = int((parts >= 0).sum(1).max())
    of_texts = (torch.from_numpy(one[:, :used]) for one in (ids, parts, positions, targets))
    return PairBatch(rows, columns, (before, after), kept, Texts(*of_texts))


def _kept_of_pairs(
    fitted: Sequence[tuple[np.ndarray, np.ndarray]], shown: Shown
) -> tuple[Tensor, Tensor]:
    direction = None if shown is Shown.ALONE else Direction(shown.value)
    coded = [code_frames(one, TILE, CoderOptions(), direction) for one in fitted]
    before, after = (
        torch.from_numpy(kept_tiles([one[frame].keep for one in coded])) for frame in (0, 1)
    )
    return before, after


class PairBatches(IterableDataset[PairBatch]):
    """Endless batches of pairs; every pair has a separate seed.

    Args of the constructor:
        split: what may be drawn.
        shown: which tiles are seen.
    """

    def __init__(self, split: Split, shown: Shown) -> None:
        self._split, self._shown = split, shown

    def __iter__(self) -> Iterator[PairBatch]:
        worker = get_worker_info()
        number, step = (worker.id, worker.num_workers) if worker else (0, 1)
        while True:
            size = SIZES[number % len(SIZES)]
            seeds = range(number * PAIRS_OF_BATCH, (number + 1) * PAIRS_OF_BATCH)
            pairs = [pair(self._split, seed, size) for seed in seeds]
            rngs = [random.Random(seed) for seed in seeds]
            questions = [
                rng.sample(one_of_each_kind(drawn, rng), len(KINDS))
                for drawn, rng in zip(pairs, rngs, strict=True)
            ]
            yield pair_batch(pairs, questions, rngs, self._shown)
            number += step


def one_of_each_kind(drawn: Pair, rng: random.Random) -> list[Fact]:
    """Draw a question of each kind about a pair, in the order of `KINDS`."""
    return [rng.choice(drawn.questions[kind]) for kind in KINDS]


def logits_of(model: Qwen3VLForConditionalGeneration, batch: PairBatch, grid: Grid) -> Tensor:
    """Return the logits of the texts, (B, S, vocabulary).

    Args:
        model: the whole.
        batch: pairs and questions.
        grid: of all tiles of one image.
    """
    dtype = model.model.visual.pos_embed.weight.dtype
    pictures = []
    for number, rasters in enumerate(batch.rasters):
        patches, of_kind = patches_of(rasters).to(dtype), grid
        if batch.kept is not None:
            kept = batch.kept[number]
            patches, of_kind = of_kept(patches, kept, MERGE**2), grid.kept(kept)
        embeds, deepstack, _ = see(model.model.visual, patches, of_kind)
        pictures.append(Picture(embeds, deepstack, of_kind))
    return read(model, pictures, batch.texts)
