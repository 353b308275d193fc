"""From an image and coder options to what a model takes: kept patches, grid, mask and positions.

Our own runtime and the integrations of other libraries start from here. This module imports
neither a runtime nor transformers, so that each library can use it within its own processes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppcli.coding.coder_options import CoderOptions
from ppcli.coding.frame_chain import code_frames
from ppcli.coding.patchset import KeptTiles
from ppcli.coding.sequence_options import Direction
from ppcli.errors import UsageError
from ppcli.imaging.fit import fit_image
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.pixels import invert_pixel_values, pixel_values
from ppcli.imaging.presets import Preset
from ppcli.models.families.base import ModelConfig

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class KeptPatches:
    """The kept patches of one image, N = kept·M² of them; M×M patches are one tile.

    Attributes:
        keep: bool (grid_h, grid_w), true where the tile is kept.
        pixel_values: float32 (N, 3·temporal·P·P), in merge-block order.
        inputs: the other inputs of the vision transformer by name, such as positions; N rows each.
    """

    keep: Mask
    pixel_values: NDArray[np.float32]
    inputs: dict[str, NDArray[Any]]

    @property
    def grid_thw(self) -> tuple[int, int, int]:
        """Frames, rows and columns of patches of the whole image."""
        merge_size = isqrt(len(self.pixel_values) // int(np.count_nonzero(self.keep)))
        rows, columns = self.keep.shape
        return 1, rows * merge_size, columns * merge_size


def prune_images(
    images: Iterable[NDArray[np.uint8]],
    preset: Preset,
    config: ModelConfig,
    options: CoderOptions,
    sequence: Direction | None = None,
) -> list[KeptPatches]:
    """Fit images to the tile grid of a model, prune them, and cut the kept tiles into patches.

    Args:
        images: those of one prompt, RGB uint8 (height, width, 3) each.
        preset: how the model prepares images.
        config: of the model.
        options: of the coder.
        sequence: whether they are frames of a sequence; None if each stands by itself.

    Raises:
        ImageError: `aspect_ratio` or `too_large`.

    Examples:
        >>> import numpy as np
        >>> from ppcli.coding.coder_options import CoderOptions
        >>> from ppcli.models.families.family_registry import get_preset, published_config
        >>> page = np.full((256, 320, 3), 255, dtype=np.uint8)
        >>> config = published_config("qwen3-vl-2b")
        >>> (kept,) = prune_images([page], get_preset("qwen3-vl"), config, CoderOptions())
        >>> kept.grid_thw, int(kept.keep.sum()), kept.pixel_values.shape
        ((1, 16, 20), 1, (4, 1536))
    """
    fit = FitOptions.of_preset(preset)
    rasters = (fit_image(pixels, fit).raster for pixels in images)
    kept = code_frames(rasters, fit.tile, options, sequence)
    return [patches_of_tiles(one, preset, config) for one in kept]


def patches_of_tiles(kept: KeptTiles, preset: Preset, config: ModelConfig) -> KeptPatches:
    """Cut kept tiles into patches.

    Args:
        kept: mask and tiles of an image.
        preset: how the model prepares images.
        config: of the model.
    """
    values = pixel_values(kept.tiles, preset)
    return KeptPatches(kept.keep, values, config.vision_inputs(kept.keep))


def keeps_of_pixel_values(
    images: Iterable[tuple[NDArray[np.float32], tuple[int, int]]],
    preset: Preset,
    options: CoderOptions,
    sequence: Direction | None = None,
) -> list[Mask]:
    """Select the tiles of images that another processor has normalized already.

    Args:
        images: of each image of one prompt its values, float32 (grid_h·grid_w·M²,
            3·temporal·P·P), all patches in merge-block order; and its rows and columns of tiles.
        preset: how that processor cuts and scales.
        options: of the coder.
        sequence: whether they are frames of a sequence; None if each stands by itself.

    Returns:
        For each image bool (grid_h, grid_w), true where the tile is kept.

    Raises:
        UsageError: the values were not made from 8-bit pixels with this preset.

    Examples:
        >>> import numpy as np
        >>> from ppcli.coding.coder_options import CoderOptions
        >>> from ppcli.models.families.family_registry import get_preset
        >>> white = np.ones((24, 1536), dtype=np.float32)
        >>> keeps = keeps_of_pixel_values(
        ...     [(white, (2, 3))], get_preset("qwen3-vl"), CoderOptions()
        ... )
        >>> keeps[0].tolist()
        [[True, False, False], [False, False, False]]
    """
    rasters = (invert_pixel_values(values, grid, preset) for values, grid in images)
    tile = preset.patch_size * preset.merge_size
    return [one.keep for one in code_frames(rasters, tile, options, sequence)]


def patches_kept(keep: Mask, merge_size: int) -> Mask:
    """The mask of patches, bool (grid_h·grid_w·M²,), in merge-block order."""
    return np.repeat(keep.ravel(), merge_size * merge_size)


def one_token_each(
    ids: NDArray[np.int64], image_token: int, counts: Sequence[int]
) -> NDArray[np.int64]:
    """Leave one image token of each image, as `ModelConfig.layout_prompt` takes a prompt.

    Args:
        ids: int64 (S,), a prompt whose images have several image tokens each.
        image_token: its id.
        counts: how many image tokens each image has: its tiles, or those that are kept.

    Returns:
        int64, the prompt with one image token for each image.

    Raises:
        UsageError: the prompt has another number of image tokens.

    Examples:
        >>> import numpy as np
        >>> one_token_each(np.array([5, 9, 9, 9, 6, 9, 9, 7]), image_token=9, counts=[3, 2])
        array([5, 9, 6, 9, 7])
    """
    visual = ids == image_token
    if visual.sum() != sum(counts):
        raise UsageError(
            f"the prompt has {visual.sum()} image tokens, and its images need {sum(counts)}"
        )
    firsts = np.cumsum([0, *counts])[:-1]
    stays = np.ones(ids.size, dtype=np.bool_)
    stays[visual] = np.isin(np.arange(sum(counts)), firsts)
    return ids[stays]
