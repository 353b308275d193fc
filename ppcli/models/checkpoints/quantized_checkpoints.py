"""Recognises checkpoints with quantized weights, which export refuses."""

import os
from collections.abc import Mapping
from typing import Any

from ppcli.errors import ModelError, bounded
from ppcli.models.model_files import check_regular

_KEYS = ("quantization_config", "compression_config")
_FILES = ("quantize_config.json", "quant_config.json", "hf_quant_config.json")
_METHOD_KEYS = ("quant_method", "quant_algo", "format")
_SUFFIXES = (
    ".qweight",
    ".qzeros",
    ".g_idx",
    ".scales",
    ".weight_scale",
    ".weight_scale_inv",
    ".weight_scale_2",
    ".weight_zero_point",
    ".weight_packed",
    ".weight_shape",
    ".input_scale",
    ".absmax",
    ".quant_map",
    ".SCB",
    ".weight_format",
)
_PARTS = (".quant_state.", ".absmax.")
_TYPES = ("F8_", "F4", "F6_")
_ADVICE = (
    "export reads weights in float32, float16 or bfloat16: use the checkpoint that this one was "
    "made from, and --weights int8 or int4 to quantize it"
)


def refuse_quantized_config(folder: str, config: Mapping[str, Any]) -> None:
    """Refuse a checkpoint whose settings say that it is quantized.

    Args:
        folder: of the checkpoint.
        config: its parsed `config.json`; all its sections are searched.

    Raises:
        ModelError: with advice.
    """
    sections = {"": config} | {
        name: section for name, section in config.items() if isinstance(section, dict)
    }
    for name, section in sections.items():
        for key in _KEYS:
            found = section.get(key)
            if found:
                where = f"{name}.{key}" if name else key
                raise _refusal(folder, f"{_method(found)}{where} in config.json")
    for name in _FILES:
        if check_regular(os.path.join(folder, name)):
            raise _refusal(folder, name)


def refuse_quantized_tensors(folder: str, types: Mapping[str, str]) -> None:
    """Refuse a checkpoint with tensors that only a quantized one has.

    Args:
        folder: of the checkpoint.
        types: of each tensor by its name, in the terms of safetensors.

    Raises:
        ModelError: with advice.
    """
    for name, kind in types.items():
        is_part = name.endswith(_SUFFIXES) or any(part in name for part in _PARTS)
        if is_part or kind.startswith(_TYPES):
            raise _refusal(folder, f"its tensor {bounded(name)} of type {kind}")


def _method(settings: Any) -> str:  # noqa: ANN401
    named = settings if isinstance(settings, dict) else {}
    methods = (named.get(key) for key in _METHOD_KEYS)
    method = next((one for one in methods if isinstance(one, str)), None)
    return f"{bounded(method)}, " if method else ""


def _refusal(folder: str, sign: str) -> ModelError:
    return ModelError(f"{folder} is quantized ({sign}); {_ADVICE}")
