"""Images of random patches with a mask of the tiles to keep."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ppcli.models.kept_patches import KeptPatches
from tests.models.tiny_checkpoint import SPECIAL
from tests.models.tiny_model import TinyModel

IMAGE_TOKEN = SPECIAL.index("<|image_pad|>")
ONE = [1, 9, 50, 60, 3, 5, 4, 70, 2]  # a prompt with one image


@dataclass(frozen=True, eq=False)
class Image:
    """The patches of an image, and which of its tiles are kept."""

    pixel_values: np.ndarray  # float32 (grid_h·grid_w·4, values), merge-block order
    keep: np.ndarray  # bool (grid_h, grid_w)

    @property
    def grid(self) -> list[int]:
        return [1, 2 * self.keep.shape[0], 2 * self.keep.shape[1]]

    @property
    def patches_kept(self) -> np.ndarray:
        return np.repeat(self.keep.reshape(-1), 4)


def random_image(
    grid: tuple[int, int], seed: int, keep_ratio: float = 1.0, patch_values: int = 1536
) -> Image:
    random = np.random.default_rng(seed)
    values = random.standard_normal((grid[0] * grid[1] * 4, patch_values)).astype(np.float32)
    keep = random.random(grid) < keep_ratio
    keep[0, 0] = True
    return Image(values, keep)


def patches(images: Sequence[Image], tiny: TinyModel) -> list[KeptPatches]:
    config = tiny.model_config()
    return [
        KeptPatches(one.keep, one.pixel_values[one.patches_kept], config.vision_inputs(one.keep))
        for one in images
    ]
