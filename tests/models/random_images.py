"""Images of random patches, of which some tiles are kept."""

from dataclasses import dataclass

import numpy as np

from tests.models.checkpoints import SPECIAL

IMAGE_TOKEN = SPECIAL.index("<|image_pad|>")


@dataclass(frozen=True, eq=False)
class Image:
    """A whole image: patches, and which tiles are kept."""

    pixel_values: np.ndarray  # float32 (grid_h·grid_w·4, values), merge-block order
    keep: np.ndarray  # bool (grid_h, grid_w)

    @property
    def grid(self) -> list[int]:
        return [1, 2 * self.keep.shape[0], 2 * self.keep.shape[1]]

    @property
    def patches_kept(self) -> np.ndarray:
        return np.repeat(self.keep.reshape(-1), 4)


def random_image(grid: tuple[int, int], seed: int, keep_ratio: float = 1.0) -> Image:
    random = np.random.default_rng(seed)
    values = random.standard_normal((grid[0] * grid[1] * 4, 1536)).astype(np.float32)
    keep = random.random(grid) < keep_ratio
    keep[0, 0] = True
    return Image(values, keep)
