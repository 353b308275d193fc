"""From the kept tiles of an image to what the vision graph takes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ppcli.coding.patchset import KeptTiles
from ppcli.imaging.pixels import pixel_values
from ppcli.imaging.presets import Preset
from ppcli.models.families.qwen3_vl.positions import PatchPlaces, patch_places


@dataclass(frozen=True, slots=True, eq=False)
class ImagePatches:
    """The kept patches of one image.

    Attributes:
        pixel_values: float32 (N, values), in merge-block order.
        places: where they lie.
    """

    pixel_values: NDArray[np.float32]
    places: PatchPlaces


def image_patches(kept: KeptTiles, preset: Preset, positions_per_side: int) -> ImagePatches:
    """The patches of kept tiles.

    Args:
        kept: mask and tiles.
        preset: of the model.
        positions_per_side: of its square of learned position embeddings.
    """
    places = patch_places(kept.keep, preset.merge_size, positions_per_side)
    return ImagePatches(pixel_values(kept.tiles, preset), places)
