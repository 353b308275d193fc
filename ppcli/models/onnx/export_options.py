"""Options of export. Imports little, since `--help` needs them."""

from dataclasses import dataclass
from typing import Annotated

from ppcli.models.model_choices import Dtype, Head, Weights
from ppcli.options import Option, Options


@dataclass(frozen=True, slots=True)
class ExportOptions(Options):
    """Which checkpoint is exported, and how.

    Attributes:
        model: a checkpoint folder, or a name on the Hugging Face Hub.
        out_dir: the model directory to write.
        dtype: data type of weights and activations.
        weights: whether the matrices of the language model are quantized.
        head: which matrix computes the logits; None for the one that the configuration names.
        revision: branch, tag or commit on the Hub.
        overwrite: replace an existing model directory.
    """

    model: Annotated[
        str,
        Option(
            "Checkpoint folder, or name on the Hugging Face Hub.",
            metavar="MODEL",
            is_argument=True,
        ),
    ]
    out_dir: Annotated[
        str, Option("Model directory to write.", metavar="OUT_DIR", is_argument=True)
    ]
    dtype: Annotated[Dtype, Option("Data type: float32 for the CPU, the others for CUDA.")] = (
        Dtype.FLOAT32
    )
    weights: Annotated[
        Weights, Option("Quantize the matrices of the language model to 8 or 4 bits.")
    ] = Weights.FLOAT
    head: Annotated[
        Head | None,
        Option("Output matrix to use, if the checkpoint is tied but contains a different one."),
    ] = None
    revision: Annotated[str | None, Option("Branch, tag or commit on the Hub.", metavar="NAME")] = (
        None
    )
    overwrite: Annotated[bool, Option("Replace an existing model directory.")] = False
