"""Write the small model of the package as a checkpoint of transformers, to train it further.

Usage: python -m training.small_checkpoint OUT
"""

import os
from pathlib import Path
from typing import Annotated

import onnx
import torch
import typer
from onnx.numpy_helper import to_array
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from ppcli.models.onnx.directory import SMALL_MODEL
from training.train import write_checkpoint

GRAPHS = {"vision.onnx": "model.visual.", "decoder.onnx": ""}  # and what their names leave out


def small_model() -> Qwen3VLForConditionalGeneration:
    """Load the model of the package, in float32."""
    model = Qwen3VLForConditionalGeneration(Qwen3VLConfig.from_pretrained(SMALL_MODEL))
    weights = {
        prefix + weight.name: to_array(weight)
        for file, prefix in GRAPHS.items()
        for weight in onnx.load(os.path.join(SMALL_MODEL, file)).graph.initializer
    }
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.tensor(weights[name]).reshape(parameter.shape))
    return model


def main(out: Annotated[Path, typer.Argument(help="A folder for the checkpoint.")]) -> None:
    """Write a checkpoint for `pixelprune export` and transformers."""
    write_checkpoint(small_model(), out)


if __name__ == "__main__":
    typer.run(main)
