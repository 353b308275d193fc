"""Recognises checkpoints with quantized weights, and decides which of them export can read."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from ppcli.errors import ModelError, bounded
from ppcli.models.checkpoints.fp8_layout import Fp8Layout, parse_fp8_layout
from ppcli.models.model_files import CONFIG, check_regular, read_json

_KEYS = ("quantization_config", "compression_config")
_FILES = ("quantize_config.json", "quant_config.json")
_MODELOPT_FILE = "hf_quant_config.json"
_METHOD_KEYS = ("quant_method", "quant_algo", "format")
_OF_ACTIVATIONS = (".input_scale", ".activation_scale", ".k_scale", ".v_scale")
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
    ".pre_quant_scale",
    ".absmax",
    ".quant_map",
    ".SCB",
    ".weight_format",
)
_PARTS = (".quant_state.", ".absmax.")
_TYPES = ("F8_", "F4", "F6_")
FP8 = "F8_E4M3"
_ADVICE = (
    "export reads weights in float32, float16, bfloat16, or FP8 (e4m3) with scales: use the "
    "checkpoint that this one was made from, and --weights int8 or int4 to quantize it"
)


def find_fp8_layout(folder: str, config: Mapping[str, Any]) -> Fp8Layout | None:
    """Read how the weights of a checkpoint are quantized.

    Args:
        folder: of the checkpoint.
        config: its parsed `config.json`; all its sections are searched.

    Returns:
        How its FP8 weights are scaled; None if nothing says that it is quantized.

    Raises:
        ModelError: with advice, if it is quantized in another way, or two places disagree.
    """
    found: dict[str, Fp8Layout] = {}
    for place, settings in _settings(folder, config):
        try:
            found[place] = parse_fp8_layout(settings)
        except ValueError as error:
            why = f": {error}" if str(error) else ""
            raise _refusal(folder, f"{_method(settings)}{place}{why}") from error
    if len(set(found.values())) > 1:
        raise _refusal(folder, f"{' and '.join(found)} disagree")
    return next(iter(found.values()), None)


def refuse_quantized_tensors(
    folder: str, types: Mapping[str, str], layout: Fp8Layout | None
) -> None:
    """Refuse a checkpoint with tensors that only a quantized one of another kind has.

    Args:
        folder: of the checkpoint.
        types: of each tensor by its name, in the terms of safetensors.
        layout: how FP8 weights are scaled; None for a checkpoint that must not have any.

    Raises:
        ModelError: with advice.
    """
    readable = (*layout.scale_suffixes, *_OF_ACTIVATIONS) if layout else ()
    for name, kind in types.items():
        is_part = name.endswith(_SUFFIXES) or any(part in name for part in _PARTS)
        if is_part and not name.endswith(readable):
            raise _refusal(folder, f"its tensor {bounded(name)} of type {kind}")
        if kind.startswith(_TYPES) and not (layout and kind == FP8):
            raise _refusal(folder, f"its tensor {bounded(name)} of type {kind}")
    if layout and FP8 not in types.values():
        raise ModelError(
            f"{folder}: its settings say that weights are FP8, but none of its tensors is; if "
            f"they were dequantized, remove {_KEYS[0]} from {CONFIG}, and {_MODELOPT_FILE}"
        )


def is_scale_of_activations(name: str) -> bool:
    """Whether a tensor scales activations, or the cached keys or values, for FP8 arithmetic."""
    return name.endswith(_OF_ACTIVATIONS)


def _settings(folder: str, config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """All quantization settings, each with the place where it is."""
    sections = {"": config} | {
        name: section for name, section in config.items() if isinstance(section, dict)
    }
    for name, section in sections.items():
        for key in _KEYS:
            if section.get(key):
                yield f"{f'{name}.{key}' if name else key} in {CONFIG}", section[key]
    for name in _FILES:
        if check_regular(os.path.join(folder, name)):
            raise _refusal(folder, name)
    of_modelopt = read_json(os.path.join(folder, _MODELOPT_FILE))
    if of_modelopt is not None:
        yield _MODELOPT_FILE, of_modelopt.get("quantization", of_modelopt)


def _method(settings: Any) -> str:  # noqa: ANN401
    named = settings if isinstance(settings, dict) else {}
    methods = (named.get(key) for key in _METHOD_KEYS)
    method = next((one for one in methods if isinstance(one, str)), None)
    return f"{bounded(method)}, " if method else ""


def _refusal(folder: str, sign: str) -> ModelError:
    return ModelError(f"{folder} is quantized ({sign}); {_ADVICE}")
