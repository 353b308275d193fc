"""Decoding several requests at once: tokens a second by batch size and by weights.

Usage: python benchmarks/batches.py [--layers N] [--length N]

Random weights at the widths of Qwen3-VL-2B in float32 on the CPU, with as many layers as asked for.
"""

import time
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from ppcli.models.families.prompt_layout import layout_mrope
from ppcli.models.model_choices import Device, Dtype, Weights
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.onnx.execution_device import ExecutionDevice
from ppcli.models.onnx.random_model import random_model
from ppcli.models.onnx.sessions import open_sessions
from ppcli.models.serving.runner import Runner

SIZES = (1, 2, 4, 8)
STEPS, REPEATS = 12, 3


def seconds_a_step(runner: Runner, slots: int, length: int) -> float:
    """The shortest of a few means over some steps, all slots of one length."""
    runner.reserve(length + STEPS, slots)
    tokens, positions = [7] * slots, [length] * slots
    runner.step(tokens, positions, [length] * slots)
    rounds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        for step in range(STEPS):
            runner.step(tokens, positions, [length + step] * slots)
        rounds.append((time.perf_counter() - started) / STEPS)
    return min(rounds)


def seconds_of_prefill(runner: Runner, length: int) -> float:
    """The shortest of a few prefills of one prompt of text."""
    ids = np.random.default_rng(0).integers(10, 300, length).tolist()
    prompt = layout_mrope(ids, 5, [])
    runner.reserve(length)
    none = runner.embed([])
    rounds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        runner.prefill(prompt, none)
        rounds.append(time.perf_counter() - started)
    return min(rounds)


def main(
    layers: Annotated[int, typer.Option(help="Of the language model.")] = 6,
    length: Annotated[int, typer.Option(help="Tokens that each request has already.")] = 512,
) -> None:
    """Print tokens a second, and how many times those of one request alone."""
    table = Table("weights", f"prefill of {length}: ms", *(f"batch {n}: tokens/s" for n in SIZES))
    for weights in Weights:
        with random_model("qwen3-vl-2b", layers, Dtype.FLOAT32, weights) as folder:
            model = ModelDirectory.open(folder)
            runner = Runner(model, open_sessions(model, ExecutionDevice(Device.CPU)))
            prefill = seconds_of_prefill(runner, length) * 1000
            rates = [n / seconds_a_step(runner, n, length) for n in SIZES]
        cells = [f"{rate:,.1f} ({rate / rates[0]:.2f} ×)" for rate in rates]
        table.add_row(weights.value, f"{prefill:,.0f}", *cells)
        del runner
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
