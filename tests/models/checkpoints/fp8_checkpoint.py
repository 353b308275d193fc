"""Tiny checkpoints whose matrices are rounded to FP8, block by block, as other programs do it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

from tests.models.tiny_checkpoint import write_checkpoint, write_json
from tests.models.tiny_model import TinyModel

Tensors = dict[str, np.ndarray]
SINGLE = "model.safetensors"
KEPT = ("embed", "in_proj_a", "in_proj_b")  # as in the published checkpoints
_LARGEST = 448


def fine_grained(block: list[int] | None) -> dict[str, Any]:
    """The settings of transformers' own FP8 checkpoints."""
    return {
        "activation_scheme": "dynamic",
        "fmt": "e4m3",
        "modules_to_not_convert": ["model.visual"],
        "quant_method": "fp8",
        "weight_block_size": block,
    }


def compressed_tensors(strategy: str, block: list[int] | None = None) -> dict[str, Any]:
    """The settings that LLM Compressor writes."""
    activations = {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": True}
    weights = {
        "actorder": None,
        "block_structure": block,
        "dynamic": False,
        "group_size": None,
        "num_bits": 8,
        "observer": "minmax",
        "observer_kwargs": {},
        "strategy": strategy,
        "symmetric": True,
        "type": "float",
    }
    group = {
        "format": "float-quantized",
        "input_activations": activations,
        "output_activations": None,
        "targets": ["Linear"],
        "weights": weights,
    }
    return {
        "config_groups": {"group_0": group},
        "format": "float-quantized",
        "global_compression_ratio": None,
        "ignore": ["re:.*lm_head"],
        "kv_cache_scheme": None,
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
        "sparsity_config": {},
        "transform_config": {},
        "version": "0.12.2",
    }


def modelopt() -> dict[str, Any]:
    """The settings that Model Optimizer writes."""
    numbers = {"dynamic": False, "num_bits": 8, "type": "float"}
    group = {"input_activations": numbers, "weights": numbers, "targets": ["Linear"]}
    return {
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
        "kv_cache_scheme": {"dynamic": False, "num_bits": 8, "type": "float"},
        "producer": {"name": "modelopt", "version": "0.39.0"},
        "quant_algo": "FP8",
        "quant_method": "modelopt",
    }


@dataclass(frozen=True)
class Format:
    """One way to write an FP8 checkpoint.

    Attributes:
        settings: `quantization_config`.
        suffix: what a scale's name has after its weight's.
        block: rows and columns that share a scale; 0 for all.
        scale_shape: another shape for a single scale.
        scale_type: of the scales.
    """

    settings: dict[str, Any]
    suffix: str
    block: tuple[int, int]
    scale_shape: tuple[int, ...] | None = None
    scale_type: Any = np.float32


FORMATS = {
    "fp8 in blocks": Format(fine_grained([32, 48]), "_scale_inv", (32, 48)),
    "fp8, scales in bfloat16": Format(
        fine_grained([32, 48]), "_scale_inv", (32, 48), scale_type=ml_dtypes.bfloat16
    ),
    "fp8, one scale": Format(fine_grained(None), "_scale_inv", (0, 0), ()),
    "fp8 of vLLM": Format(fine_grained(None), "_scale", (0, 0), (1,)),
    "compressed-tensors, tensor": Format(compressed_tensors("tensor"), "_scale", (0, 0), (1,)),
    "compressed-tensors, channel": Format(compressed_tensors("channel"), "_scale", (1, 0)),
    "compressed-tensors, block": Format(compressed_tensors("block", [32, 48]), "_scale", (32, 48)),
    "modelopt": Format(modelopt(), "_scale", (0, 0), ()),
}


def is_rounded(name: str, weight: np.ndarray) -> bool:
    return weight.ndim == 2 and name.endswith(".weight") and not any(key in name for key in KEPT)


def rounded(weight: np.ndarray, kind: Format) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Round a matrix to FP8.

    Returns:
        The FP8 numbers, their scales, and the float32 matrix that both stand for.
    """
    rows, columns = weight.shape
    height, width = kind.block[0] or rows, kind.block[1] or columns
    numbers = np.zeros(weight.shape, ml_dtypes.float8_e4m3fn)
    values = np.zeros(weight.shape, np.float32)
    scales = []
    for top in range(0, rows, height):
        for left in range(0, columns, width):
            part = slice(top, top + height), slice(left, left + width)
            scale = (np.abs(weight[part]).max() / _LARGEST).astype(kind.scale_type)
            numbers[part] = (weight[part] / np.float32(scale)).astype(ml_dtypes.float8_e4m3fn)
            values[part] = numbers[part].astype(np.float32) * np.float32(scale)
            scales.append(scale)
    shape = (-(-rows // height), -1) if kind.scale_shape is None else kind.scale_shape
    return numbers, np.array(scales, kind.scale_type).reshape(shape), values


def write_fp8_checkpoint(folder: Path, tiny: TinyModel, kind: Format) -> tuple[Tensors, Tensors]:
    """Write a checkpoint in one of the formats; what is not FP8 is bfloat16.

    Returns:
        The tensors as they are stored, and the weights that they stand for.
    """
    write_checkpoint(folder, tiny)
    stored: Tensors = {}
    meant: Tensors = {}
    for name, weight in tiny.stored_weights().items():
        if is_rounded(name, weight):
            stored[name], stored[name + kind.suffix], meant[name] = rounded(weight, kind)
        else:
            stored[name] = meant[name] = weight.astype(ml_dtypes.bfloat16)
    save_file(stored, folder / SINGLE, {"format": "pt"})
    change_settings(folder, kind.settings)
    return stored, meant


def change_settings(folder: Path, settings: dict[str, Any] | None) -> None:
    """Write `quantization_config` into `config.json`."""
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", config | {"quantization_config": settings})
