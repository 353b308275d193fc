"""Fits an image to the tile grid."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ppcli.errors import ErrorCode, ImageError
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS, Fit
from ppcli.imaging.limits import check_grid
from ppcli.imaging.resample import resample

MAX_ASPECT_RATIO = 200


@dataclass(frozen=True, slots=True, eq=False)
class FittedRaster:
    """An image on the tile grid.

    Attributes:
        raster: RGB uint8 (grid_h·tile, grid_w·tile, 3), contiguous.
        width: width of the image in it, before padding.
        height: height of the image in it, before padding.
    """

    raster: NDArray[np.uint8]
    width: int
    height: int


def smart_resize(
    height: int, width: int, tile: int, min_pixels: int, max_pixels: int
) -> tuple[int, int]:
    """Return the size to which the Qwen-VL processors resize an image.

    Both sides are multiples of `tile`. The area is within the limits, apart from rounding, and
    the aspect ratio is kept as closely as possible.

    Args:
        height: height of the image in pixels.
        width: width of the image in pixels.
        tile: side of a tile in pixels.
        min_pixels: smaller images are enlarged.
        max_pixels: larger images are reduced.

    Returns:
        (height, width).

    Raises:
        ImageError: `aspect_ratio` above 200.
    """
    if max(height, width) > MAX_ASPECT_RATIO * min(height, width):
        raise ImageError(
            ErrorCode.ASPECT_RATIO,
            f"{width}×{height} pixels exceed the aspect ratio of {MAX_ASPECT_RATIO} that "
            "--fit resize allows; use --fit pad",
        )
    fitted_h, fitted_w = round(height / tile) * tile, round(width / tile) * tile
    if fitted_h * fitted_w > max_pixels:
        beta = math.sqrt(height * width / max_pixels)
        fitted_h = max(tile, math.floor(height / beta / tile) * tile)
        fitted_w = max(tile, math.floor(width / beta / tile) * tile)
    elif fitted_h * fitted_w < min_pixels:
        beta = math.sqrt(min_pixels / (height * width))
        fitted_h = math.ceil(height * beta / tile) * tile
        fitted_w = math.ceil(width * beta / tile) * tile
    return fitted_h, fitted_w


def fit_image(
    pixels: NDArray[np.uint8], options: FitOptions, most_pixels: int = DEFAULT_MAX_IMAGE_PIXELS
) -> FittedRaster:
    """Fit an image to the tile grid.

    Args:
        pixels: RGB uint8 (height, width, 3).
        options: the grid and its limits.
        most_pixels: maximum pixels of the raster, which padding can make larger than the image.

    Raises:
        ImageError: `aspect_ratio` (above 200, with `resize`), or `too_large`.
    """
    height, width, _ = pixels.shape
    if options.fit is Fit.RESIZE:
        height, width = smart_resize(
            height, width, options.tile, options.min_pixels, options.max_pixels
        )
        _check_grid(height, width, options.tile, most_pixels)
        return FittedRaster(resample(pixels, width, height), width, height)
    if width * height > options.max_pixels:
        beta = math.sqrt(width * height / options.max_pixels)
        width, height = max(1, math.floor(width / beta)), max(1, math.floor(height / beta))
    _check_grid(height, width, options.tile, most_pixels)
    return FittedRaster(_pad(resample(pixels, width, height), options.tile), width, height)


def _check_grid(height: int, width: int, tile: int, most: int) -> None:
    check_grid(-(-height // tile), -(-width // tile), tile, most)


def _pad(pixels: NDArray[np.uint8], tile: int) -> NDArray[np.uint8]:
    """Repeat the last row and column up to the next multiple of `tile`."""
    height, width, _ = pixels.shape
    if height % tile == 0 and width % tile == 0:
        return pixels
    padded = np.empty((height + -height % tile, width + -width % tile, 3), dtype=np.uint8)
    padded[:height, :width] = pixels
    padded[:height, width:] = pixels[:, -1:]
    padded[height:] = padded[height - 1]
    return padded
