"""From tiles to the numbers that a vision transformer takes."""

import numpy as np
from numpy.typing import NDArray

from ppcli.errors import UsageError
from ppcli.imaging.presets import Preset

_FAR_FROM_A_LEVEL = 0.01


def pixel_values(tiles: NDArray[np.uint8], preset: Preset) -> NDArray[np.float32]:
    """Normalised patches in merge-block order, as the Qwen-VL processors make them.

    Each value is (x/255 − mean)/std, in float32 and in this order, or with another factor of the
    preset; the still image is repeated over the temporal axis (DESIGN section 4).

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
    levels = (np.arange(256)[:, None] * preset.rescale_factor).astype(np.float32)
    table: NDArray[np.float32] = (levels - mean) / std
    blocks = tiles.reshape(count, m, p, m, p, 3).transpose(0, 1, 3, 5, 2, 4)
    values = np.empty((count, m, m, 3, t, p, p), dtype=np.float32)
    for channel in range(3):
        values[:, :, :, channel] = table[:, channel][blocks[:, :, :, channel]][:, :, :, None]
    return values.reshape(count * m * m, 3 * t * p * p)


def raster_of(
    values: NDArray[np.float32], grid: tuple[int, int], preset: Preset
) -> NDArray[np.uint8]:
    """The pixels that normalised patches were made of: what `pixel_values` does, backwards.

    Args:
        values: float32 (tiles·M², 3·temporal·P·P), of all tiles of an image.
        grid: rows and columns of tiles.
        preset: sizes, mean and std by which they were made.

    Returns:
        RGB uint8 (rows·P·M, columns·P·M, 3).

    Raises:
        UsageError: when they were not made of 8-bit pixels in this way.
    """
    p, m, t = preset.patch_size, preset.merge_size, preset.temporal_patch_size
    rows, columns = grid
    if values.shape != (rows * columns * m * m, 3 * t * p * p):
        raise UsageError(f"pixel values of {rows} × {columns} tiles cannot be {values.shape}")
    first = values.reshape(rows, columns, m, m, 3, t, p, p)[:, :, :, :, :, 0]
    apart = first.transpose(0, 2, 5, 1, 3, 6, 4)
    mean, std = np.array(preset.mean, dtype=np.float32), np.array(preset.std, dtype=np.float32)
    levels = (apart * std + mean) / np.float32(preset.rescale_factor)
    nearest = np.rint(levels)
    near = np.abs(levels - nearest) < _FAR_FROM_A_LEVEL
    if not (near & (nearest >= 0) & (nearest <= 255)).all():
        raise UsageError("the pixel values are not those of 8-bit pixels; another processor's?")
    raster: NDArray[np.uint8] = nearest.astype(np.uint8)
    return raster.reshape(rows * m * p, columns * m * p, 3)
