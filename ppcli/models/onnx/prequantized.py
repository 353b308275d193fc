"""Checkpoints whose weights were rounded already: they are told apart, and refused as such."""

import os
from collections.abc import Mapping
from typing import Any

from ppcli.errors import ModelError, bounded
from ppcli.models.model_files import check_regular

_KEYS = ("quantization_config", "compression_config")
_FILES = ("quantize_config.json", "quant_config.json", "hf_quant_config.json")
_METHOD_KEYS = ("quant_method", "quant_algo", "format")
_ENDS = (
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
_INSTEAD = (
    "export takes weights in float32, float16 or bfloat16: take the checkpoint that this one was "
    "made of, and --weights int8 or int4 to round it"
)


def refuse_quantised_config(folder: str, text: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that says itself that it is quantised, whatever its tensors are.

    Args:
        folder: of the checkpoint.
        text: its parsed `config.json`.

    Raises:
        ModelError: with what to take instead.
    """
    for name in ("", "text_config", "vision_config"):
        section = text.get(name) if name else text
        for key in _KEYS:
            found = section.get(key) if isinstance(section, dict) else None
            if found:
                where = f"{name}.{key}" if name else key
                raise _refused(folder, f"{_method(found)}{where} in config.json")
    for name in _FILES:
        if check_regular(os.path.join(folder, name)):
            raise _refused(folder, name)


def refuse_quantised_tensors(folder: str, types: Mapping[str, str]) -> None:
    """Refuse a checkpoint whose tensors are those of a quantised one.

    Args:
        folder: of the checkpoint.
        types: of each tensor by its name, as safetensors calls them.

    Raises:
        ModelError: with what to take instead.
    """
    for name, kind in types.items():
        if name.endswith(_ENDS) or any(part in name for part in _PARTS) or kind.startswith(_TYPES):
            raise _refused(folder, f"its tensor {bounded(name)} of type {kind}")


def _method(settings: Any) -> str:  # noqa: ANN401
    named = settings if isinstance(settings, dict) else {}
    methods = (named.get(key) for key in _METHOD_KEYS)
    method = next((one for one in methods if isinstance(one, str)), None)
    return f"{bounded(method)}, " if method else ""


def _refused(folder: str, sign: str) -> ModelError:
    return ModelError(f"{folder} is quantised ({sign}); {_INSTEAD}")
