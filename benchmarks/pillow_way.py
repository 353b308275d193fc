"""What people do without pixelprune's own decoders and resampler: the other side of the ratios."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ppcli.imaging.fit import smart_resize
from ppcli.models.families.family_registry import PRESETS

PRESET = PRESETS["qwen3-vl"]


def decoded(path: str) -> NDArray[np.uint8]:
    """A file as an RGB array, uint8 (height, width, 3)."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def resized(image: Image.Image, width: int, height: int) -> Image.Image:
    """Bicubic, one axis after the other, nothing done along an axis that fits."""
    if image.width != width:
        image = image.resize((width, image.height), Image.Resampling.BICUBIC)
    if image.height != height:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return image


def decoded_and_fitted(path: str) -> NDArray[np.uint8]:
    """A file on the grid of the model, uint8 (grid_h·tile, grid_w·tile, 3)."""
    with Image.open(path) as image:
        rgb = image.convert("RGB")
    tile = PRESET.patch_size * PRESET.merge_size
    height, width = smart_resize(rgb.height, rgb.width, tile, PRESET.min_pixels, PRESET.max_pixels)
    return np.asarray(resized(rgb, width, height))


def nothing_of(work: Callable[[str], object], path: str) -> None:
    """Do the work, and send nothing back from a worker: neither does analyze send rasters."""
    work(path)
