"""Time and memory of a training step, every patch against the kept ones, side by side.

Usage: python benchmarks/training_steps.py IMAGES... [--size qwen3-vl-2b] [--layers N] [--cuda]

transformers' own Qwen3-VL of the true widths with random weights and as many layers as asked for,
forward and backward, one image with a question and an answer in a step; in float32 on the CPU, in
bfloat16 on CUDA. Beside each speed-up stands the ideal from the operation counts.
"""

import ctypes
import multiprocessing
import re
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table
from transformers import Qwen2VLImageProcessorPil, Qwen3VLConfig, Qwen3VLForConditionalGeneration

from ppcli import PrunedCollator
from ppcli.models.families.family_registry import DEFAULT_PRESET, PRESETS, family_of_size
from ppcli.models.families.qwen3_vl.model_config import Qwen3VLConfig as OurConfig

QUESTION, ANSWER = 24, 40  # tokens
IMAGE_TOKEN = 151_655
REPEATS = 3
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one step: seconds (median), tokens of the image, operations."""

    seconds: float
    tokens: int
    operations: int


def processor() -> Any:  # noqa: ANN401
    """Transformers' own, with the numbers of Qwen3-VL."""
    preset = PRESETS[DEFAULT_PRESET]
    return Qwen2VLImageProcessorPil(
        patch_size=preset.patch_size,
        merge_size=preset.merge_size,
        temporal_patch_size=preset.temporal_patch_size,
        size={"shortest_edge": preset.min_pixels, "longest_edge": preset.max_pixels},
        image_mean=list(preset.mean),
        image_std=list(preset.std),
    )


def example_of(path: Path, images: Any, image_token: int) -> dict[str, Any]:  # noqa: ANN401
    """The image, a question and an answer of any tokens."""
    with Image.open(path) as image:
        seen = images(images=[image.convert("RGB")], return_tensors="pt")
    tiles = int(seen["image_grid_thw"].prod()) // 4
    before = [image_token] * tiles + list(range(1_000, 1_000 + QUESTION))
    answer = list(range(2_000, 2_000 + ANSWER))
    return {
        "input_ids": torch.tensor(before + answer),
        "labels": torch.tensor([-100] * len(before) + answer),
        **seen,
    }


def operations(config: OurConfig, batch: dict[str, Any]) -> int:
    """Of a step: the backward pass counts twice; logits of all tokens."""
    text, tokens = config.text, batch["input_ids"].shape[1]
    heads, hidden = text.num_heads * text.head_size, text.hidden_size
    projections = hidden * (2 * heads + 2 * text.num_kv_heads * text.head_size)
    layer = tokens * (projections + 3 * hidden * text.intermediate_size) + heads * tokens**2
    language = 2 * (text.num_layers * layer + tokens * hidden * text.vocab_size)
    return 3 * (config.vision_operations(len(batch["pixel_values"])) + language)


def prepared(
    path: Path, size: str, layers: int, cuda: bool
) -> tuple[Any, OurConfig, dict[str, dict[str, Any]]]:
    """The model and the same example twice, whole and pruned, on the device."""
    family = family_of_size(size)
    given = family.published_config(size, layers, IMAGE_TOKEN)
    theirs = Qwen3VLConfig(**given)
    device = torch.device("cuda" if cuda else "cpu")
    with device:
        torch.set_default_dtype(torch.bfloat16 if cuda else torch.float32)
        model = Qwen3VLForConditionalGeneration(theirs).train()
        torch.set_default_dtype(torch.float32)
    made = processor()
    example = example_of(path, made, theirs.image_token_id)
    batches = {
        name: PrunedCollator(made, theirs, prune=prune)([example])
        for name, prune in (("full", False), ("pruned", True))
    }
    on_device = {
        name: {key: value.to(device) for key, value in batch.items()}
        for name, batch in batches.items()
    }
    return model, family.parse_config(given), on_device


def timed(path: Path, size: str, layers: int, cuda: bool) -> dict[str, Cost]:
    """Steps with every patch and pruned, in turn, after a first one of each."""
    model, config, batches = prepared(path, size, layers, cuda)
    times: dict[str, list[float]] = {name: [] for name in batches}
    _keep_memory()
    for batch in batches.values():
        _step(model, batch)
    for _ in range(REPEATS):
        for name, batch in batches.items():
            _forget(model)
            started = time.perf_counter()
            _step(model, batch)
            times[name].append(time.perf_counter() - started)
    return {
        name: Cost(
            statistics.median(times[name]),
            len(batch["pixel_values"]) // 4,
            operations(config, batch),
        )
        for name, batch in batches.items()
    }


def _keep_memory() -> None:
    """Let the C library of Linux keep what it has, or clearing pages anew is part of each step."""
    if sys.platform == "linux":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)


def _step(model: Any, batch: dict[str, Any]) -> None:  # noqa: ANN401
    model(**batch).loss.backward()
    if model.device.type == "cuda":
        torch.cuda.synchronize()


def _forget(model: Any) -> None:  # noqa: ANN401
    for weight in model.parameters():
        weight.grad.zero_()


def peak_bytes(path: Path, size: str, layers: int, cuda: bool, name: str) -> int:
    """What the first step takes beside the model, its gradients included; on Linux, and on CUDA."""
    model, _, batches = prepared(path, size, layers, cuda)
    if cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        _step(model, batches[name])
        return torch.cuda.max_memory_allocated() - before
    if not _CLEAR.exists():
        return 0
    _CLEAR.write_text("5")
    before = _resident("VmRSS")
    _step(model, batches[name])
    return _resident("VmHWM") - before


def _resident(name: str) -> int:
    (kilobytes,) = re.findall(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    return int(kilobytes) * 1024


def main(
    images: Annotated[list[Path], typer.Argument(help="Pages.")],
    size: str = "qwen3-vl-2b",
    layers: int = 2,
    cuda: Annotated[bool, typer.Option("--cuda", help="On a GPU, in bfloat16.")] = False,
) -> None:
    """Measure, and print a table."""
    table = Table("page", "tiles", "keep", "s full", "pruned", "faster", "ideal", "MB", "pruned")
    spawn = multiprocessing.get_context("spawn")
    # a process for each: what the C library keeps of one would count for the other, or not fit it
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
        for path in images:
            given = path, size, layers, cuda
            peaks = [pool.submit(peak_bytes, *given, name).result() for name in ("full", "pruned")]
            costs = pool.submit(timed, *given).result()
            full, pruned = costs["full"], costs["pruned"]
            table.add_row(
                path.stem[-24:],
                f"{full.tokens:,}",
                f"{pruned.tokens / full.tokens:.2f}",
                *(f"{cost.seconds:.2f}" for cost in (full, pruned)),
                f"{full.seconds / pruned.seconds:.2f}",
                f"{full.operations / pruned.operations:.2f}",
                *(f"{peak / 1e6:,.0f}" for peak in peaks),
            )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
