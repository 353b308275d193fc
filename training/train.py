"""Train pixelprune's own small model.

Usage: python -m training.train OUT [--pictures N] [--pruned] [--decay] [--cuda]

OUT holds the state (`state.pt`), the curve (`curve.jsonl`) and, whenever a run ends, a checkpoint
that `pixelprune export` takes. The same command goes on from the state. The rate of learning is
constant; a last run with --decay brings it down to nothing over its pictures. The same state and
options see the same pictures in the same order, with --pruned only the tiles that the coder keeps.

A picture gives two things to learn. The answers teach the whole model. Before that, and beside
it, each patch tells the characters whose centres lie in its cells of 4 × 8 pixels, and each tile
its characters from left to right, through linear layers that are dropped afterwards: from answers
alone a model of this size learns to read only after very long.
"""

import copy
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Annotated

import torch
import torch.nn.functional as F  # noqa: N812
import typer
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import Qwen3VLForConditionalGeneration

from ppcli.imaging.presets import Preset
from ppcli.models.checkpoints.byte_tokenizer import write_settings
from ppcli.models.families.family_registry import PRESETS
from training.batches import Batch, Batches, Stage, batch_of
from training.network import (
    CELLS_OF_PATCH,
    CHARACTER_CODES,
    CHARACTERS_OF_TILE,
    MERGE,
    TEMPLATE,
    Grid,
    Picture,
    of_kept,
    patches_of,
    read,
    see,
    small_config,
)
from training.samples import IMAGE_MEAN, IMAGE_STD, MAX_PIXELS, MIN_PIXELS, VALIDATION

SMALL = ((8, 4), (6, 5), (4, 8))
MIDDLE = ((8, 8), (10, 6), (12, 5), (6, 10))
STAGES = (
    Stage(until=60_000, sizes=((8, 4),), tiles=1024, text=(15, 21), answers=False),
    Stage(until=150_000, sizes=SMALL, tiles=1024, answers=False),
    Stage(until=200_000, sizes=SMALL, tiles=1024),
    Stage(until=1 << 60, sizes=SMALL + MIDDLE, tiles=1536),
)
RATE, WARM_UP, DECAY_OF_WEIGHTS = 3e-3, 100, 0.02
_MORE_ON_CUDA = 8  # tiles in a batch
_NO_TARGET = -100
_SCALE_OF_LOSS = 2.0**20  # products of small gradients, not normal any more, take ages on a CPU
REPORT_SECONDS, SAVE_SECONDS = 120, 300


@dataclass(slots=True)
class Learning:
    """The state of training.

    Attributes:
        model: in float32.
        reader: from a tile to its characters; dropped afterwards.
        speller: from a patch to the characters of its cells; likewise.
        optimizers: one for matrices, one for all else.
        pictures: seen so far.
        steps: taken so far.
        seconds: that they took.
    """

    model: Qwen3VLForConditionalGeneration
    reader: nn.Linear
    speller: nn.Linear
    optimizers: list[torch.optim.Optimizer]
    pictures: int = 0
    steps: int = 0
    seconds: float = 0.0

    @classmethod
    def fresh(cls, device: torch.device) -> "Learning":
        """Make the initial state."""
        torch.manual_seed(0)
        config = small_config()
        model = Qwen3VLForConditionalGeneration(config).to(device)
        width = config.text_config.hidden_size
        reader = nn.Linear(width, CHARACTERS_OF_TILE * CHARACTER_CODES).to(device)
        patch = config.vision_config.hidden_size
        speller = nn.Linear(patch, CELLS_OF_PATCH * CHARACTER_CODES).to(device)
        named = list(model.named_parameters())
        matrices = [one for name, one in named if one.ndim == 2 and "embed" not in name]
        others = [one for name, one in named if one.ndim != 2 or "embed" in name]
        muon = torch.optim.Muon(
            matrices, lr=RATE, weight_decay=DECAY_OF_WEIGHTS, adjust_lr_fn="match_rms_adamw"
        )
        adam = torch.optim.AdamW(
            [*others, *reader.parameters(), *speller.parameters()],
            lr=RATE,
            betas=(0.9, 0.98),
            weight_decay=0.0,
            fused=True,
        )
        return cls(model, reader, speller, [muon, adam])

    def save(self, path: Path) -> None:
        """Write the state atomically."""
        state = {
            "model": self.model.state_dict(),
            "reader": self.reader.state_dict(),
            "speller": self.speller.state_dict(),
            "optimizers": [one.state_dict() for one in self.optimizers],
            "counts": (self.pictures, self.steps, self.seconds),
        }
        torch.save(state, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def load(self, path: Path) -> None:
        """Load a state."""
        state = torch.load(path, map_location=self.model.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.reader.load_state_dict(state["reader"])
        self.speller.load_state_dict(state["speller"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.pictures, self.steps, self.seconds = state["counts"]

    def parameters(self) -> list[nn.Parameter]:
        """Return all trained parameters."""
        heads = (*self.reader.parameters(), *self.speller.parameters())
        return [*self.model.parameters(), *heads]


class Twin:
    """A bfloat16 copy of the model for computation; gradients are applied to the float32 model."""

    def __init__(self, learning: Learning, compiled: bool) -> None:
        self._learning = learning
        self._model = copy.deepcopy(learning.model).bfloat16()
        self._reader = copy.deepcopy(learning.reader).bfloat16()
        self._speller = copy.deepcopy(learning.speller).bfloat16()
        self._grids: dict[tuple[int, int], Grid] = {}
        torch._dynamo.config.recompile_limit = 8 * len(SMALL + MIDDLE)
        self._see, self._read = (
            torch.compile(one, dynamic=False) if compiled else one for one in (see, read)
        )

    def losses(self, batch: Batch, answers: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and accuracies.

        Args:
            batch: pictures and questions.
            answers: whether questions are asked.
        """
        device = self._learning.model.device
        grid = self._grid(batch.rows, batch.columns)
        patches = patches_of(batch.rasters.to(device)).bfloat16()
        cells, characters = batch.cells.to(device), batch.characters.to(device).flatten(1, 2)
        if batch.kept is not None:
            kept = batch.kept.to(device)
            grid = grid.kept(kept)
            patches, cells = (of_kept(one, kept, MERGE**2) for one in (patches, cells))
            characters = of_kept(characters, kept)
        embeds, deepstack, hidden = self._see(self._model.model.visual, patches, grid)
        loss, spelled = _read_off(self._speller(hidden), cells, grid.there)
        more, read_off = _read_off(self._reader(embeds), characters, grid.there)
        loss = loss + more
        right = {"cells": spelled, "characters": read_off}
        if answers:
            texts = batch.texts.to(device)
            logits = self._read(self._model, [Picture(embeds, deepstack, grid)], texts)
            wanted = texts.targets >= 0
            loss = loss + F.cross_entropy(logits[wanted].float(), texts.targets[wanted])
            hit = logits.argmax(-1) == texts.targets
            right["tokens"] = hit[wanted].float().mean()
            right["answers"] = _whole_answers(hit, wanted, texts.parts)
        return loss, right

    def _grid(self, rows: int, columns: int) -> Grid:
        if (rows, columns) not in self._grids:
            config, device = self._learning.model.config, self._learning.model.device
            self._grids[rows, columns] = Grid.of(rows, columns, config, device)
        return self._grids[rows, columns]

    def step(self, loss: Tensor, rate: float) -> None:
        """Run one optimiser step for a loss."""
        heads = (*self._reader.parameters(), *self._speller.parameters())
        mine = [*self._model.parameters(), *heads]
        (loss * _SCALE_OF_LOSS).backward()
        for own, other in zip(mine, self._learning.parameters(), strict=True):
            other.grad = None if own.grad is None else own.grad.float() / _SCALE_OF_LOSS
            own.grad = None
        nn.utils.clip_grad_norm_(self._learning.parameters(), 1.0)
        for optimizer in self._learning.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        with torch.no_grad():
            torch._foreach_copy_(mine, self._learning.parameters())


def _read_off(said: Tensor, characters: Tensor, kept: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the loss of the characters, and their accuracy.

    Args:
        said: (B, n, places · codes).
        characters: uint8 (B, n, places), 0 where there is none.
        kept: bool (B, tiles), those that count; None for all.
    """
    codes, wanted = said.unflatten(-1, (-1, CHARACTER_CODES)), characters.long()
    if kept is not None:
        each = kept.repeat_interleave(wanted.shape[1] // kept.shape[1], 1)
        wanted = wanted.masked_fill(~each[:, :, None], _NO_TARGET)
    there = wanted > 0
    missed = F.cross_entropy(codes.float().flatten(0, 2), wanted.flatten(), reduction="sum")
    right = (codes.argmax(-1) == wanted)[there].float().mean()
    return missed / there.sum(), right  # of the many places most are empty, and soon known to be


def _whole_answers(hit: Tensor, wanted: Tensor, parts: Tensor) -> Tensor:
    """Return the share of answers with all tokens right."""
    keys = (torch.arange(len(parts), device=parts.device)[:, None] * 1000 + parts)[wanted]
    _, number = keys.unique(return_inverse=True)
    missed = torch.zeros(int(number.max()) + 1, device=parts.device)
    missed.index_add_(0, number, (~hit[wanted]).float())
    return (missed == 0).float().mean()


@dataclass(frozen=True, slots=True)
class Course:
    """The settings of a training run.

    Attributes:
        pictures: to learn from.
        pruned: whether only the tiles that the coder keeps are seen.
        decay: whether the rate goes down to nothing.
        compiled: whether the passes are compiled.
    """

    pictures: int
    pruned: bool = False
    decay: bool = False
    compiled: bool = False


def train(learning: Learning, out: Path, course: Course) -> None:
    """Train until the course has seen its number of images; each stage starts with a warm-up."""
    twin = Twin(learning, course.compiled)
    began = reported = saved = time.perf_counter()
    earlier, first_picture = learning.seconds, learning.pictures
    seen: list[dict[str, float]] = []
    begun, first_step = None, 0
    for stage, batch in _batches(learning, course.pruned):
        if stage is not begun:
            begun, first_step = stage, learning.steps
        loss, right = twin.losses(batch, stage.answers)
        learning.pictures += len(batch.rasters)
        left = max(0.0, 1 - (learning.pictures - first_picture) / course.pictures)
        warm = min(1.0, (learning.steps - first_step + 1) / WARM_UP)
        twin.step(loss, RATE * warm * (left if course.decay else 1.0))
        now = time.perf_counter()
        learning.steps += 1
        learning.seconds = earlier + now - began
        seen.append({"loss": loss.item(), **{name: one.item() for name, one in right.items()}})
        if left <= 0 or now - reported > REPORT_SECONDS:
            _report(out, learning, seen, validation(twin, stage, course.pruned))
            seen, reported = [], now
        if left <= 0 or now - saved > SAVE_SECONDS:
            learning.save(out / "state.pt")
            saved = now
        if left <= 0:
            return


def _batches(learning: Learning, pruned: bool) -> Iterator[tuple[Stage, Batch]]:
    """Yield the batches, stage by stage."""
    for stage in STAGES:
        if learning.pictures >= stage.until:
            continue
        on_cuda = learning.model.device.type == "cuda"
        stage = replace(stage, tiles=stage.tiles * (_MORE_ON_CUDA if on_cuda else 1))  # noqa: PLW2901
        made = DataLoader(
            Batches(stage, learning.pictures, pruned),
            batch_size=None,
            num_workers=max(1, (os.cpu_count() or 1) - 2),
            prefetch_factor=4,
        )
        for batch in made:
            yield stage, batch
            if learning.pictures >= stage.until:
                break


@torch.no_grad()
def validation(twin: Twin, stage: Stage, pruned: bool) -> dict[str, float]:
    """Return accuracies on unseen documents of all sizes."""
    found = []
    for columns, rows in stage.sizes:
        seeds = range(max(1, stage.tiles // (columns * rows)))
        batch = batch_of(VALIDATION, seeds, (columns, rows), stage.text, pruned=pruned)
        loss, right = twin.losses(batch, stage.answers)
        found.append({"loss": loss.item(), **{name: one.item() for name, one in right.items()}})
    return _means(found)


def _report(
    out: Path, learning: Learning, seen: list[dict[str, float]], held_out: dict[str, float]
) -> None:
    line = {
        "pictures": learning.pictures,
        "minutes": round(learning.seconds / 60, 1),
        **_means(seen),
        "validation": held_out,
    }
    typer.echo(json.dumps(line))
    with (out / "curve.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each name over the rows that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: round(fmean(row[name] for row in rows if name in row), 4) for name in names}


def write_checkpoint(model: Qwen3VLForConditionalGeneration, folder: Path) -> None:
    """Write a float16 checkpoint for `pixelprune export`."""
    copy.deepcopy(model).half().save_pretrained(folder)
    qwen = asdict(PRESETS["qwen3-vl"])
    ours = {
        "min_pixels": MIN_PIXELS,
        "max_pixels": MAX_PIXELS,
        "mean": (IMAGE_MEAN,) * 3,
        "std": (IMAGE_STD,) * 3,
    }
    preset = Preset(**qwen | ours)
    write_settings(str(folder), model.config.to_dict(), TEMPLATE, preset)


def main(
    out: Annotated[Path, typer.Argument(help="A folder for the state and the checkpoint.")],
    pictures: Annotated[int, typer.Option(help="To learn from.")] = 100_000,
    pruned: Annotated[bool, typer.Option("--pruned", help="Without what the coder drops.")] = False,
    cuda: Annotated[bool, typer.Option("--cuda", help="On a GPU.")] = False,
    decay: Annotated[bool, typer.Option("--decay", help="Bring the rate down to nothing.")] = False,
    compiled: Annotated[bool, typer.Option("--compile", help="Compile the passes.")] = False,
) -> None:
    """Start or continue training."""
    torch.set_flush_denormal(True)
    out.mkdir(parents=True, exist_ok=True)
    learning = Learning.fresh(torch.device("cuda" if cuda else "cpu"))
    if (out / "state.pt").exists():
        learning.load(out / "state.pt")
    train(learning, out, Course(pictures, pruned, decay, compiled))
    write_checkpoint(learning.model, out / "checkpoint")


if __name__ == "__main__":
    typer.run(main)
