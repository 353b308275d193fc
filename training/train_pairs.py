"""Train the small model further, on questions about pairs of screenshots.

Usage: python -m training.train_pairs OUT [--shown all|alone|forward|reverse] [--pairs N]

A pair is a window and the same window after one change; both are in one prompt. OUT becomes a
checkpoint. Runs that differ in --shown alone see the same pairs and questions in the same order, by
different tiles. The rate of learning falls to nothing over the pairs.
"""

import time
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F  # noqa: N812
import typer
from torch import Tensor
from torch.utils.data import DataLoader

from training.pair_batches import PAIRS_OF_BATCH, PairBatch, PairBatches, Shown, logits_of
from training.samples import Split
from training.small_checkpoint import small_model
from training.train import REPORT_SECONDS, WARM_UP, Learning, Twin, write_checkpoint

TRAIN_PAIRS = Split("train")
RATE = 1e-3


class PairTwin(Twin):
    """A bfloat16 copy of the model that is asked about pairs."""

    def loss(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """Return the loss of the answers, and the share of tokens that are right."""
        logits = logits_of(self._model, batch, self._grid(batch.rows, batch.columns))
        wanted = batch.texts.targets >= 0
        said, targets = logits[wanted].float(), batch.texts.targets[wanted]
        return F.cross_entropy(said, targets), (said.argmax(-1) == targets).float().mean()


def train(learning: Learning, shown: Shown, pairs: int, rate: float) -> None:
    """Train on so many pairs."""
    twin = PairTwin(learning, compiled=False)
    batches = DataLoader(PairBatches(TRAIN_PAIRS, shown), batch_size=None, num_workers=1)
    began = reported = time.perf_counter()
    seen: list[tuple[float, float]] = []
    for batch in batches:
        loss, right = twin.loss(batch)
        seen.append((loss.item(), right.item()))
        learning.pictures += PAIRS_OF_BATCH
        learning.steps += 1
        left = max(0.0, 1 - learning.pictures / pairs)
        twin.step(loss, rate * min(1.0, learning.steps / WARM_UP) * left)
        now = time.perf_counter()
        if left == 0 or now - reported > REPORT_SECONDS:
            loss_now, right_now = torch.tensor(seen).mean(0).tolist()
            typer.echo(
                f"{learning.pictures} pairs, {(now - began) / 60:.1f} minutes: "
                f"loss {loss_now:.3f}, tokens right {right_now:.3f}"
            )
            seen, reported = [], now
        if left == 0:
            return


def main(
    out: Annotated[Path, typer.Argument(help="A folder for the checkpoint.")],
    shown: Annotated[Shown, typer.Option(help="Tiles that are seen.")] = Shown.ALL,
    pairs: Annotated[int, typer.Option(help="To learn from.")] = 8_000,
    rate: Annotated[float, typer.Option(help="Of learning, at its highest.")] = RATE,
) -> None:
    """Train, and write the checkpoint."""
    torch.set_flush_denormal(True)
    learning = Learning.fresh(torch.device("cpu"))
    learning.model.load_state_dict(small_model().state_dict())
    train(learning, shown, pairs, rate)
    write_checkpoint(learning.model, out)


if __name__ == "__main__":
    typer.run(main)
