"""The kept tiles of an image as inputs of the vision graph."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppcli.coding.patchset import KeptTiles
from ppcli.imaging.pixels import pixel_values
from ppcli.imaging.presets import Preset
from ppcli.models.families.base import ModelConfig


@dataclass(frozen=True, slots=True, eq=False)
class ImagePatches:
    """The kept patches of one image.

    Attributes:
        pixel_values: float32 (N, values), in merge-block order.
        inputs: the other inputs of the vision graph by name, such as positions.
    """

    pixel_values: NDArray[np.float32]
    inputs: dict[str, NDArray[Any]]


def image_patches(kept: KeptTiles, preset: Preset, config: ModelConfig) -> ImagePatches:
    """Cut kept tiles into patches.

    Args:
        kept: mask and tiles of an image.
        preset: how the model prepares images.
        config: of the model.
    """
    return ImagePatches(pixel_values(kept.tiles, preset), config.vision_inputs(kept.keep))
