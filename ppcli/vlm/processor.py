"""What a checkpoint or a model directory says of its images."""

import os
from typing import Any

from ppcli.errors import ModelError
from ppcli.imaging.presets import Preset
from ppcli.vlm.config import VisionConfig
from ppcli.vlm.files import read_json

PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"


def image_preset(folder: str, vision: VisionConfig) -> Preset:
    """The numbers of the image processor, in either of the two spellings that are in use.

    Raises:
        ModelError: when there are none, or they do not suit the vision transformer.
    """
    text = _settings(folder)
    size = text.get("size") or {}
    try:
        preset = Preset(
            patch_size=text["patch_size"],
            merge_size=text["merge_size"],
            temporal_patch_size=text["temporal_patch_size"],
            min_pixels=_either(text, "min_pixels", size, "shortest_edge"),
            max_pixels=_either(text, "max_pixels", size, "longest_edge"),
            mean=tuple(text["image_mean"]),
            std=tuple(text["image_std"]),
        )
    except (KeyError, TypeError) as error:
        raise ModelError(f"{folder}: the image processor's {error} is missing") from error
    ours = preset.patch_size, preset.merge_size, preset.temporal_patch_size
    theirs = vision.patch_size, vision.merge_size, vision.temporal_patch_size
    if ours != theirs:
        raise ModelError(
            f"{folder}: patch, merge and temporal patch size are {ours} in the image processor "
            f"and {theirs} in the model"
        )
    return preset


def _settings(folder: str) -> dict[str, Any]:
    text = (read_json(os.path.join(folder, PROCESSOR)) or {}).get("image_processor")
    if text is None:
        text = read_json(os.path.join(folder, PREPROCESSOR))
    if text is None:
        raise ModelError(f"{folder} has neither {PREPROCESSOR} nor {PROCESSOR}")
    return text


def _either(text: dict[str, Any], name: str, size: dict[str, Any], key: str) -> int:
    """A limit of pixels; where both spellings are there, this one wins."""
    value = text.get(name)
    return int(size[key] if value is None else value)
