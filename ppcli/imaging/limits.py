"""Checks and errors that all image readers share: too many pixels, and system errors."""

import errno
import os

from PIL import Image

from ppcli.errors import ErrorCode, ImageError

_PIXELS_PER_TILE = 16  # memory of the coder's state per tile, in pixels


def check_pixels(width: int, height: int, most: int, advice: str = "") -> None:
    """Refuse an image that has more pixels than the limit.

    Args:
        width: width of the image.
        height: height of the image.
        most: maximum number of pixels.
        advice: what helps besides a higher limit.

    Raises:
        ImageError: `too_large`.
    """
    if width * height > most:
        raise ImageError(
            ErrorCode.TOO_LARGE,
            f"{width:,}×{height:,} pixels exceed the limit of {most:,} "
            f"(--max-image-pixels{advice})",
        )


def check_grid(grid_h: int, grid_w: int, tile: int, most: int) -> None:
    """Refuse a raster that has more pixels than the limit, or too many small tiles.

    Args:
        grid_h: rows of tiles.
        grid_w: columns of tiles.
        tile: side of a tile in pixels.
        most: maximum number of pixels; a tile counts as 16 or more.

    Raises:
        ImageError: `too_large`.
    """
    check_pixels(grid_w * tile, grid_h * tile, most)
    if grid_h * grid_w * _PIXELS_PER_TILE > most:
        raise ImageError(
            ErrorCode.TOO_LARGE,
            f"{grid_w:,}×{grid_h:,} tiles exceed the limit of {most:,} pixels "
            f"(--max-image-pixels), where a tile counts as at least {_PIXELS_PER_TILE}",
        )


def system_error(error: BaseException, most: int) -> ImageError | None:
    """Convert an exception that memory, the file system or Pillow's pixel limit caused.

    Args:
        error: the exception of a decoder.
        most: maximum number of pixels, for the message.

    Returns:
        The error of the image, or None for another cause.
    """
    if isinstance(error, Image.DecompressionBombError):
        message = f"the image declares more than {most:,} pixels (--max-image-pixels)"
        return ImageError(ErrorCode.TOO_LARGE, message)
    if isinstance(error, MemoryError):
        return ImageError(ErrorCode.OUT_OF_MEMORY, "not enough memory to decode the image")
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        return ImageError(ErrorCode.UNREADABLE, os.strerror(error.errno))
    return None
