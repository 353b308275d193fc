"""The mean of several trained models, as a checkpoint.

Usage: python -m training.average OUT RUN RUN...

Models that went on from one state lie so near to each other that the mean of their weights is a
model too; `training/README.md` says how it does beside them.
"""

from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from training.train import Learning, write_checkpoint


def mean_of(weights: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of each weight by name, in float32."""
    return {
        name: torch.stack([one[name].float() for one in weights]).mean(0) for name in weights[0]
    }


def main(
    out: Annotated[Path, typer.Argument(help="A folder for the checkpoint.")],
    runs: Annotated[list[Path], typer.Argument(help="Folders that training.train wrote.")],
) -> None:
    """Write the mean of the models of some runs."""
    learning = Learning.fresh(torch.device("cpu"))
    states = [torch.load(run / "state.pt", weights_only=True, map_location="cpu") for run in runs]
    learning.model.load_state_dict(mean_of([state["model"] for state in states]))
    write_checkpoint(learning.model, out)


if __name__ == "__main__":
    typer.run(main)
