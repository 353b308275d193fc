"""From a fitted raster to the numbers that a vision transformer takes."""

import numpy as np
from numpy.typing import NDArray

from ppcli.imaging.presets import Preset


def pixel_values(raster: NDArray[np.uint8], preset: Preset) -> NDArray[np.float32]:
    """Normalised patches in merge-block order, as the Qwen-VL processors make them.

    Each value is (x/255 − mean)/std, in float32 and in this order; the still image is repeated
    over the temporal axis (DESIGN section 4).

    Args:
        raster: RGB uint8 (grid_h·P·M, grid_w·P·M, 3).
        preset: sizes, mean and std of the model.

    Returns:
        float32 (grid_h·grid_w·M², 3·temporal·P·P): the M² patches of a tile follow one another,
        tiles row-major; a patch is flattened channel, time, row, column.
    """
    p, m, t = preset.patch_size, preset.merge_size, preset.temporal_patch_size
    grid_h, grid_w = raster.shape[0] // (p * m), raster.shape[1] // (p * m)
    mean, std = np.array(preset.mean, dtype=np.float32), np.array(preset.std, dtype=np.float32)
    levels = np.arange(256, dtype=np.float32)[:, None] / np.float32(255)
    table: NDArray[np.float32] = (levels - mean) / std
    values = table[raster, np.arange(3)].reshape(grid_h, m, p, grid_w, m, p, 3)
    patches = values.transpose(0, 3, 1, 4, 6, 2, 5)[:, :, :, :, :, None]
    patches = np.broadcast_to(patches, (grid_h, grid_w, m, m, 3, t, p, p))
    return patches.reshape(grid_h * grid_w * m * m, 3 * t * p * p)
