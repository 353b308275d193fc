"""What a checkpoint or a model directory says of its images."""

import math
import os
from collections.abc import Mapping
from typing import Any

from ppcli.errors import ModelError, bounded
from ppcli.imaging.presets import Preset, Triple
from ppcli.models.families.qwen3_vl.configuration import VisionConfig
from ppcli.models.model_files import read_json

PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"
NORMALISATION = ("do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std")
_SIZES = ("patch_size", "merge_size", "temporal_patch_size")
_EDGES = ("shortest_edge", "longest_edge")
_LIMITS = ("min_pixels", "max_pixels", "size")
# They change pixels, and only what they are in Qwen's processors is what we do to images.
_FIXED: Mapping[str, Any] = {"do_resize": True, "do_convert_rgb": True, "resample": 3}
_TYPE = "image_processor_type"
_SAME_TYPES = ("Qwen2VLImageProcessor", "Qwen2_5_VLImageProcessor", "Qwen3VLImageProcessor")
READ = frozenset({*NORMALISATION, *_SIZES, *_LIMITS, *_FIXED, _TYPE})
# Qwen's processors pass over them, or they say what a call takes and gives back and where it runs.
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


def image_preset(folder: str, vision: VisionConfig) -> Preset:
    """The numbers of the image processor, in either of the two spellings that are in use.

    Raises:
        ModelError: when there are none, they do not suit the vision transformer, or the processor
            does something to pixels that we do not.
    """
    text = _settings(folder)[0]
    try:
        preset = _preset(text)
    except KeyError as error:
        raise ModelError(f"{folder}: the image processor's {error} is missing") from error
    except ValueError as error:
        raise ModelError(f"{folder}: the image processor's {error}") from error
    ours = preset.patch_size, preset.merge_size, preset.temporal_patch_size
    theirs = vision.patch_size, vision.merge_size, vision.temporal_patch_size
    if ours != theirs:
        raise ModelError(
            f"{folder}: patch, merge and temporal patch size are {ours} in the image processor "
            f"and {theirs} in the model"
        )
    return preset


def processor_warnings(folder: str) -> list[str]:
    """A sentence for what the settings of the processor say and nobody here understands.

    Raises:
        ModelError: when they cannot be read.
    """
    text, outer, other = _settings(folder)
    told = []
    unknown = [name for name in text if name not in READ | HARMLESS and text[name] is not None]
    unknown += [name for name in outer if name not in _OF_PROCESSOR and outer[name] is not None]
    if unknown:
        told.append(
            "settings of the processor that pixelprune does not know, and passes over: "
            + bounded(", ".join(sorted(unknown)))
        )
    differing = [name for name in READ if other and other.get(name) != text.get(name)]
    if differing:
        told.append(
            f"{PROCESSOR} and {PREPROCESSOR} differ in {', '.join(sorted(differing))}; the first "
            "counts, as in transformers"
        )
    return told


def normalisation(settings: Mapping[str, Any]) -> tuple[Triple, Triple, float]:
    """Mean, standard deviation and factor that settings of an image processor come to.

    Args:
        settings: those of `NORMALISATION`; one that is missing is as usual. Null is refused for
            what decides: of transformers' own classes some take it for no, some as usual.

    Raises:
        KeyError: without mean or standard deviation.
        ValueError: naming the setting that makes no sense.
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


def _preset(text: dict[str, Any]) -> Preset:
    _refuse_others(text)
    size = text.get("size")
    if size is not None and not isinstance(size, dict):
        raise ValueError(f"size is {bounded(repr(size))}; it must have {_EDGES[0]} and {_EDGES[1]}")
    least, most = (
        _limit(text, size or {}, *names) for names in zip(_LIMITS[:2], _EDGES, strict=True)
    )
    if least > most:
        raise ValueError(f"min_pixels is {least:,}, and max_pixels is {most:,}")
    patch, merge, temporal = (_whole(text[name], name) for name in _SIZES)
    mean, std, factor = normalisation(text)
    return Preset(patch, merge, temporal, least, most, mean, std, factor)


def _refuse_others(text: dict[str, Any]) -> None:
    """Refuse what would make other pixels than ours."""
    for name, usual in _FIXED.items():
        found = text.get(name)
        if found is not None and (found != usual or isinstance(found, bool) != (usual is True)):
            raise ValueError(
                f"{name} is {bounded(repr(found))}, which is not supported; supported: {usual}"
            )
    kind = text.get(_TYPE)
    same = isinstance(kind, str) and kind.removesuffix("Fast").removesuffix("Pil") in _SAME_TYPES
    if kind is not None and not same:
        raise ValueError(
            f"{_TYPE} is {bounded(repr(kind))}, which is not supported; supported: "
            f"{', '.join(_SAME_TYPES)}"
        )


def _settings(folder: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Of the image processor, of the processor around it, and those that do not count."""
    outer = read_json(os.path.join(folder, PROCESSOR)) or {}
    own = read_json(os.path.join(folder, PREPROCESSOR))
    inner = outer.get("image_processor")
    if inner is not None:
        if not isinstance(inner, dict):
            raise ModelError(f"{folder}: image_processor in {PROCESSOR} holds no settings")
        return inner, outer, own or {}
    if own is None:
        raise ModelError(f"{folder} has neither {PREPROCESSOR} nor {PROCESSOR}")
    return own, outer, {}


def _limit(text: dict[str, Any], size: dict[str, Any], name: str, edge: str) -> int:
    """A limit of pixels in any of its spellings; the first that is there wins."""
    for found in (text.get(name), size.get(edge), size.get(name)):
        if found is not None:
            return _whole(found, name)
    raise KeyError(name)


def _flag(settings: Mapping[str, Any], name: str) -> bool:
    found = settings.get(name, True)
    if not isinstance(found, bool):
        raise ValueError(f"{name} is {bounded(repr(found))}; it must be true or false")
    return found


def _three(settings: Mapping[str, Any], name: str) -> tuple[float, ...]:
    """A number for each channel; one number is that of all."""
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
