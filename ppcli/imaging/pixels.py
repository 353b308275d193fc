"""From tiles to the numbers that a vision transformer takes."""

import numpy as np
from numpy.typing import NDArray

from ppcli.imaging.presets import Preset


def pixel_values(tiles: NDArray[np.uint8], preset: Preset) -> NDArray[np.float32]:
    """Normalised patches in merge-block order, as the Qwen-VL processors make them.

    Each value is (x/255 − mean)/std, in float32 and in this order; the still image is repeated
    over the temporal axis (DESIGN section 4).

    Args:
        tiles: RGB uint8 (tiles, P·M, P·M, 3), row-major in their image.
        preset: sizes, mean and std of the model.

    Returns:
        float32 (tiles·M², 3·temporal·P·P): the M² patches of a tile follow one another; a patch is
        flattened channel, time, row, column.
    """
    p, m, t = preset.patch_size, preset.merge_size, preset.temporal_patch_size
    count = len(tiles)
    mean, std = np.array(preset.mean, dtype=np.float32), np.array(preset.std, dtype=np.float32)
    levels = np.arange(256, dtype=np.float32)[:, None] / np.float32(255)
    table: NDArray[np.float32] = (levels - mean) / std
    blocks = tiles.reshape(count, m, p, m, p, 3).transpose(0, 1, 3, 5, 2, 4)
    values = np.empty((count, m, m, 3, t, p, p), dtype=np.float32)
    for channel in range(3):
        values[:, :, :, channel] = table[:, channel][blocks[:, :, :, channel]][:, :, :, None]
    return values.reshape(count * m * m, 3 * t * p * p)
