"""Reads the settings of a checkpoint's image processor, from `preprocessor_config.json`."""

import math
import os
from collections.abc import Mapping
from typing import Any

from ppcli.errors import ModelError, bounded
from ppcli.imaging.presets import Preset, Triple
from ppcli.models.families.base import ModelConfig
from ppcli.models.model_files import read_json

PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"
NORMALIZATION = ("do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std")
_SIZES = ("patch_size", "merge_size", "temporal_patch_size")
_EDGES = ("shortest_edge", "longest_edge")
_LIMITS = ("min_pixels", "max_pixels", "size")
# They change pixels, and images are prepared with exactly these values.
_FIXED: Mapping[str, Any] = {"do_resize": True, "do_convert_rgb": True, "resample": 3}
_TYPE = "image_processor_type"
READ = frozenset({*NORMALIZATION, *_SIZES, *_LIMITS, *_FIXED, _TYPE})
# Settings that the supported processors ignore, or that are arguments and results of a call.
HARMLESS = frozenset(
    """
    default_to_square do_center_crop crop_size do_pad pad_size data_format input_data_format
    device return_tensors disable_grouping image_seq_length processor_class
    feature_extractor_type model_input_names
    """.split()  # noqa: SIM905
)
_OF_PROCESSOR = frozenset(
    {"image_processor", "video_processor", "processor_class", "chat_template"}
)


def image_preset(folder: str, config: ModelConfig) -> Preset:
    """Read how images are prepared for a model, in either of the two spellings in use.

    Args:
        folder: a checkpoint or a model directory.
        config: of the model.

    Raises:
        ModelError: if settings are missing, do not suit the vision transformer, or change pixels
            in a way that is not supported.
    """
    settings = _settings(folder)[0]
    try:
        preset = _preset(settings, config.family.image_processors)
    except KeyError as error:
        raise ModelError(f"{folder}: the image processor's {error} is missing") from error
    except ValueError as error:
        raise ModelError(f"{folder}: the image processor's {error}") from error
    of_preset = preset.patch_size, preset.merge_size, preset.temporal_patch_size
    of_model = config.patch_size, config.merge_size, config.temporal_patch_size
    if of_preset != of_model:
        raise ModelError(
            f"{folder}: patch, merge and temporal patch size are {of_preset} in the image "
            f"processor and {of_model} in the model"
        )
    return preset


def processor_warnings(folder: str) -> list[str]:
    """Warn of settings that are ignored, and of two files that differ.

    Raises:
        ModelError: if the settings cannot be read.
    """
    text, outer, other = _settings(folder)
    warnings = []
    unknown = [name for name in text if name not in READ | HARMLESS and text[name] is not None]
    unknown += [name for name in outer if name not in _OF_PROCESSOR and outer[name] is not None]
    if unknown:
        warnings.append(
            "unknown settings of the processor are ignored: " + bounded(", ".join(sorted(unknown)))
        )
    differing = [name for name in READ if other and other.get(name) != text.get(name)]
    if differing:
        warnings.append(
            f"{PROCESSOR} and {PREPROCESSOR} differ in {', '.join(sorted(differing))}; the first "
            "is used, as in transformers"
        )
    return warnings


def normalization(settings: Mapping[str, Any]) -> tuple[Triple, Triple, float]:
    """Mean, standard deviation and rescale factor of an image processor.

    Args:
        settings: those of `NORMALIZATION`; a missing one has transformers' default. Null is
            refused where transformers' own classes disagree about its meaning.

    Raises:
        KeyError: if mean or standard deviation is missing.
        ValueError: for an invalid value.
    """
    factor = 1.0
    mean: tuple[float, ...] = (0.0,) * 3
    std: tuple[float, ...] = (1.0,) * 3
    if _flag(settings, "do_rescale"):
        factor = _number(settings.get("rescale_factor", 1 / 255), "rescale_factor")
        if factor <= 0:
            raise ValueError(f"rescale_factor is {factor}; it must be above 0")
    if _flag(settings, "do_normalize"):
        mean, std = (_three(settings, name) for name in ("image_mean", "image_std"))
        if min(std) <= 0:
            raise ValueError(f"image_std is {bounded(repr(std))}; it must be above 0")
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2]), factor


def _preset(settings: dict[str, Any], types: tuple[str, ...]) -> Preset:
    _refuse_other_pixels(settings, types)
    size = settings.get("size")
    if size is not None and not isinstance(size, dict):
        raise ValueError(f"size is {bounded(repr(size))}; it must have {_EDGES[0]} and {_EDGES[1]}")
    least, most = (
        _limit(settings, size or {}, *names) for names in zip(_LIMITS[:2], _EDGES, strict=True)
    )
    if least > most:
        raise ValueError(f"min_pixels is {least:,}, above max_pixels, {most:,}")
    patch, merge, temporal = (_whole(settings[name], name) for name in _SIZES)
    mean, std, factor = normalization(settings)
    return Preset(patch, merge, temporal, least, most, mean, std, factor)


def _refuse_other_pixels(settings: dict[str, Any], types: tuple[str, ...]) -> None:
    """Refuse settings that would make other pixels than ours."""
    for name, usual in _FIXED.items():
        found = settings.get(name)
        if found is not None and (found != usual or isinstance(found, bool) != (usual is True)):
            raise ValueError(
                f"{name} is {bounded(repr(found))}, which is not supported; supported: {usual}"
            )
    kind = settings.get(_TYPE)
    known = isinstance(kind, str) and kind.removesuffix("Fast").removesuffix("Pil") in types
    if kind is not None and not known:
        raise ValueError(
            f"{_TYPE} is {bounded(repr(kind))}, which is not supported; supported: "
            f"{', '.join(types)}"
        )


def _settings(folder: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Settings of the image processor, of the processor around it, and those that are ignored."""
    outer = read_json(os.path.join(folder, PROCESSOR)) or {}
    own = read_json(os.path.join(folder, PREPROCESSOR))
    inner = outer.get("image_processor")
    if inner is not None:
        if not isinstance(inner, dict):
            raise ModelError(f"{folder}: image_processor in {PROCESSOR} is not an object")
        return inner, outer, own or {}
    if own is None:
        raise ModelError(f"{folder} has neither {PREPROCESSOR} nor {PROCESSOR}")
    return own, outer, {}


def _limit(settings: dict[str, Any], size: dict[str, Any], name: str, edge: str) -> int:
    """A limit of pixels; the first of its spellings that is set wins."""
    for found in (settings.get(name), size.get(edge), size.get(name)):
        if found is not None:
            return _whole(found, name)
    raise KeyError(name)


def _flag(settings: Mapping[str, Any], name: str) -> bool:
    found = settings.get(name, True)
    if not isinstance(found, bool):
        raise ValueError(f"{name} is {bounded(repr(found))}; it must be true or false")
    return found


def _three(settings: Mapping[str, Any], name: str) -> tuple[float, ...]:
    """A number for each channel; a single number is used for all three."""
    found = settings.get(name)
    if found is None:
        raise KeyError(name)
    listed = list(found) if isinstance(found, list | tuple) else [found] * 3
    if len(listed) != 3:
        raise ValueError(f"{name} is {bounded(repr(found))}; it must have three numbers")
    return tuple(_number(one, name) for one in listed)


def _number(found: Any, name: str) -> float:  # noqa: ANN401
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise ValueError(f"{name} is {bounded(repr(found))}; it must be a number")
    return float(found)


def _whole(found: Any, name: str) -> int:  # noqa: ANN401
    number = _number(found, name)
    if number < 1 or number != int(number):
        raise ValueError(f"{name} is {bounded(repr(found))}; it must be a whole number above 0")
    return int(number)
