"""Reads how the FP8 weights of a checkpoint are scaled, from its quantization settings.

Three programs write such settings: those of `fp8` (the published Qwen checkpoints),
`compressed-tensors` (LLM Compressor) and `modelopt` (NVIDIA Model Optimizer).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ppcli.errors import bounded

_WEIGHT = ".weight"
_INVERSE, _PLAIN = ".weight_scale_inv", ".weight_scale"  # weights are multiplied by either
_Block = tuple[int | None, int | None]
_TENSOR: _Block = (None, None)
_CHANNEL: _Block = (1, None)
_FLOAT_FORMAT = "float-quantized"
_MAX_BLOCK = 1 << 24

# Lists of modules are not read: each tensor tells by its type whether it is FP8. The rest concerns
# activations, the cache of keys and values, or how the settings came about.
_FP8_KEYS = frozenset(
    """
    quant_method fmt weight_block_size activation_scheme modules_to_not_convert ignored_layers
    modules_to_convert dequantize scale_fmt
    """.split()  # noqa: SIM905
)
_COMPRESSED_KEYS = frozenset(
    """
    quant_method format config_groups ignore kv_cache_scheme quantization_status
    global_compression_ratio sparsity_config transform_config run_compressed version
    """.split()  # noqa: SIM905
)
_MODELOPT_KEYS = frozenset(
    """
    quant_method quant_algo config_groups ignore exclude_modules kv_cache_scheme
    kv_cache_quant_algo producer
    """.split()  # noqa: SIM905
)
_GROUP_KEYS = frozenset({"targets", "weights", "input_activations", "output_activations", "format"})
_OBSERVED_KEYS = frozenset({"observer", "observer_kwargs", "scale_dtype", "zp_dtype"})
_PLAIN_FLOAT: Mapping[str, tuple[Any, ...]] = {
    "num_bits": (8,),
    "type": ("float",),
    "symmetric": (True, None),
    "dynamic": (False, None),
    "group_size": (None,),
    "actorder": (None,),
}


@dataclass(frozen=True, slots=True)
class Fp8Layout:
    """How the FP8 weights of a checkpoint are scaled.

    Attributes:
        scale_suffixes: how the name of a scale may end where that of its weight has `.weight`.
        block: rows and columns of a matrix that share a scale; None for all of them.
        unread: settings that are not applied.
    """

    scale_suffixes: tuple[str, ...]
    block: _Block
    unread: tuple[str, ...] = field(default=(), compare=False)

    def scale_names(self, weight: str) -> list[str]:
        """The names that the scale of a weight may have."""
        return [weight.removesuffix(_WEIGHT) + suffix for suffix in self.scale_suffixes]

    def weight_names(self, scale: str) -> list[str]:
        """The names that the weight of a scale may have; none if this is no name of a scale."""
        endings = [suffix for suffix in self.scale_suffixes if scale.endswith(suffix)]
        return [scale.removesuffix(suffix) + _WEIGHT for suffix in endings]

    def block_in(self, rows: int, columns: int) -> tuple[int, int]:
        """Rows and columns that share a scale in a matrix of this shape."""
        return self.block[0] or max(rows, 1), self.block[1] or max(columns, 1)

    def grid(self, rows: int, columns: int) -> tuple[int, int]:
        """The shape of the scales of a matrix; blocks at its end may be cut off."""
        height, width = self.block_in(rows, columns)
        return math.ceil(rows / height), math.ceil(columns / width)

    def fits(self, scales: tuple[int, ...], rows: int, columns: int) -> bool:
        """Whether scales of this shape belong to a matrix; a single one may have any shape."""
        if self.block == _TENSOR:
            return math.prod(scales) == 1
        return scales == self.grid(rows, columns)


def parse_fp8_layout(settings: Any) -> Fp8Layout:  # noqa: ANN401
    """Parse the quantization settings of a checkpoint.

    Args:
        settings: `quantization_config` of a `config.json`, or the settings of ModelOpt.

    Raises:
        ValueError: if they say anything but FP8 weights with scales; the message is empty if they
            are of another method altogether.
    """
    if not isinstance(settings, dict):
        raise ValueError("it is not an object")
    method = settings.get("quant_method")
    if method == "fp8":
        return _parse_fp8(settings)
    if method == "compressed-tensors" and settings.get("format") == _FLOAT_FORMAT:
        return _parse_compressed_tensors(settings)
    if method in ("modelopt", None) and settings.get("quant_algo") == "FP8":
        return _parse_modelopt(settings)
    raise ValueError


def _parse_fp8(settings: dict[str, Any]) -> Fp8Layout:
    """Settings that transformers names FineGrainedFP8Config."""
    _require(settings, "fmt", ("e4m3", None), "fmt")
    unread = _unread(settings, _FP8_KEYS, "")
    size = settings.get("weight_block_size")
    if size is None:
        return Fp8Layout((_INVERSE, _PLAIN), _TENSOR, unread)
    return Fp8Layout((_INVERSE,), _block(size, "weight_block_size"), unread)


def _parse_compressed_tensors(settings: dict[str, Any]) -> Fp8Layout:
    sparsity = settings.get("sparsity_config") or {}
    if sparsity and (not isinstance(sparsity, dict) or sparsity.get("format") != "dense"):
        raise ValueError("its sparsity_config is not supported")
    transforms = settings.get("transform_config") or {}
    if transforms not in ({}, {"config_groups": {}}):
        raise ValueError("its transform_config is not supported")
    groups = _groups(settings)
    blocks = {name: _group_block(name, group) for name, group in groups.items()}
    if len(set(blocks.values())) != 1:
        raise ValueError(f"its {len(blocks)} config_groups do not scale weights in one way")
    unread = _unread(settings, _COMPRESSED_KEYS, "")
    for name, group in groups.items():
        known = frozenset({*_PLAIN_FLOAT, *_OBSERVED_KEYS, "strategy", "block_structure"})
        unread += _unread(group, _GROUP_KEYS, f"{name}.")
        unread += _unread(group["weights"], known, f"{name}.weights.")
    return Fp8Layout((_PLAIN,), next(iter(blocks.values())), unread)


def _parse_modelopt(settings: dict[str, Any]) -> Fp8Layout:
    if settings.get("config_groups") is not None:
        for name, group in _groups(settings).items():
            _check_weights(name, group)
    return Fp8Layout((_PLAIN,), _TENSOR, _unread(settings, _MODELOPT_KEYS, ""))


def _groups(settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    groups = settings.get("config_groups")
    if not isinstance(groups, dict) or not all(isinstance(one, dict) for one in groups.values()):
        raise ValueError("its config_groups are missing or not objects")
    return groups


def _group_block(name: str, group: dict[str, Any]) -> _Block:
    """What shares a scale in the weights of a group."""
    _require(group, "format", (_FLOAT_FORMAT, None), f"{name}.format")
    weights = _check_weights(name, group)
    strategy = weights.get("strategy")
    if strategy == "block":
        return _block(weights.get("block_structure"), f"{name}.weights.block_structure")
    _require(weights, "block_structure", (None,), f"{name}.weights.block_structure")
    if strategy not in ("tensor", "channel"):
        raise ValueError(
            f"{bounded(name)}.weights.strategy is {bounded(repr(strategy))}; supported: tensor, "
            "channel, block"
        )
    return _TENSOR if strategy == "tensor" else _CHANNEL


def _check_weights(name: str, group: dict[str, Any]) -> dict[str, Any]:
    """Check that the weights of a group are plain FP8 numbers; return their settings."""
    weights = group.get("weights")
    if not isinstance(weights, dict):
        raise ValueError(f"{bounded(name)}.weights is {bounded(repr(weights))}")
    for key, supported in _PLAIN_FLOAT.items():
        _require(weights, key, supported, f"{name}.weights.{key}")
    return weights


def _require(settings: Mapping[str, Any], key: str, supported: tuple[Any, ...], shown: str) -> None:
    found = settings.get(key)
    if found not in supported:
        raise ValueError(f"{bounded(shown)} is {bounded(repr(found))}; supported: {supported[0]}")


def _block(size: Any, shown: str) -> _Block:  # noqa: ANN401
    if (
        not isinstance(size, list)
        or len(size) != 2
        or not all(type(one) is int and 0 < one <= _MAX_BLOCK for one in size)
    ):
        raise ValueError(f"{bounded(shown)} is {bounded(repr(size))}; it must be two whole numbers")
    return size[0], size[1]


def _unread(settings: Mapping[str, Any], known: frozenset[str], prefix: str) -> tuple[str, ...]:
    """Keys that are set and not known."""
    return tuple(prefix + key for key in settings if key not in known and settings[key] is not None)
