"""All model families, by `model_type`. Imports little: `--help` lists their presets and sizes."""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ppcli.errors import ModelError, UsageError, bounded, did_you_mean
from ppcli.imaging.presets import Preset
from ppcli.models.families.base import Family, ModelConfig
from ppcli.models.families.qwen2_5_vl.family import Qwen25VL
from ppcli.models.families.qwen3_5.family import Qwen35
from ppcli.models.families.qwen3_vl.family import Qwen3VL
from ppcli.models.model_files import CONFIG, read_json

FAMILIES: tuple[Family, ...] = (Qwen3VL(), Qwen35(), Qwen25VL())
PRESETS: Mapping[str, Preset] = MappingProxyType(
    {family.preset_name: family.preset for family in FAMILIES}
)
DEFAULT_PRESET = FAMILIES[0].preset_name
PUBLISHED_SIZES: Mapping[str, Family] = MappingProxyType(
    {size: family for family in FAMILIES for size in family.sizes}
)


def get_preset(name: str) -> Preset:
    """Return the preset with a name.

    Raises:
        UsageError: for an unknown name; the message lists the known ones.
    """
    if name not in PRESETS:
        near = did_you_mean(name, PRESETS)
        raise UsageError(f"unknown preset {name!r}; known: {', '.join(PRESETS)}{near}")
    return PRESETS[name]


def family_of_size(size: str) -> Family:
    """The family of a published size.

    Raises:
        UsageError: for an unknown size; the message lists the known ones.
    """
    if size not in PUBLISHED_SIZES:
        known = ", ".join(PUBLISHED_SIZES)
        near = did_you_mean(size, PUBLISHED_SIZES)
        raise UsageError(f"there is no model size {size!r}; known: {known}{near}")
    return PUBLISHED_SIZES[size]


def published_config(size: str, layers: int | None = None) -> ModelConfig:
    """The configuration of a published size.

    Args:
        size: its name.
        layers: both transformers are cut to so many; None keeps all.

    Raises:
        UsageError: for an unknown size.
    """
    family = family_of_size(size)
    return family.parse_config(family.published_config(size, layers, image_token=0))


def read_config(folder: str) -> ModelConfig:
    """Read the `config.json` of a checkpoint or of a model directory.

    Raises:
        ModelError: if it is missing, or describes a model that is not supported.
    """
    path = os.path.join(folder, CONFIG)
    config = read_json(path)
    if config is None:
        raise ModelError(f"{folder} is not a checkpoint: it has no {CONFIG}")
    try:
        return parse_config(config)
    except (ModelError, ValueError, OverflowError) as error:
        raise ModelError(f"{path}: {error}") from error


def parse_config(config: dict[str, Any]) -> ModelConfig:
    """Read a parsed `config.json` with the family that it names.

    Raises:
        ModelError: for a model that is not supported.
        ValueError: for a value that is missing or out of range.
    """
    return family_of_config(config).parse_config(config)


def family_of_config(config: dict[str, Any]) -> Family:
    """The family that a parsed `config.json` names.

    Raises:
        ModelError: if it is not supported; the message lists what is.
    """
    model_type, name = config.get("model_type"), _architecture(config)
    by_name = None if name is None else _family_of_architecture(name)
    if model_type is None and by_name is not None:
        return by_name
    by_type = family_of_type(model_type)
    if name is not None and by_name is not by_type:
        raise ModelError(f"{name} is not an architecture of the model type {model_type}")
    return by_type


def family_of_type(model_type: object) -> Family:
    """The family with that `model_type`.

    Raises:
        ModelError: if there is none; the message lists those that are supported.
    """
    for family in FAMILIES:
        if model_type in family.model_types:
            return family
    supported = ", ".join(name for family in FAMILIES for name in family.model_types)
    raise ModelError(
        f"the model type {bounded(str(model_type))} is not supported; supported: {supported}"
        f"{_advice(str(model_type))}"
    )


def _architecture(config: dict[str, Any]) -> str | None:
    named = config.get("architectures")
    if not named:
        return None
    if not isinstance(named, list) or not isinstance(named[0], str):
        raise ModelError("architectures must be a list of names")
    return named[0]


def _family_of_architecture(name: str) -> Family:
    for family in FAMILIES:
        if name in (*family.architectures, *family.inner_architectures):
            return family
    supported = ", ".join(name for family in FAMILIES for name in family.architectures)
    raise ModelError(
        f"the architecture {bounded(name)} is not supported; supported: {supported}{_advice(name)}"
    )


def _advice(name: str) -> str:
    """What to do with a mixture of experts of a family whose dense models are supported."""
    if "moe" not in name.lower():
        return ""
    return (
        "; mixtures of experts of Qwen3-VL and Qwen3.5 can be pruned inside vLLM, with the plugin "
        "(docs/vllm.md)"
    )
