"""What every reader of images says in the same words: too many pixels, and faults of the system."""

import errno
import os

from PIL import Image

from ppcli.errors import ErrorCode, ImageError

_PIXELS_LIKE_A_TILE = 16  # about what the places of one tile take in memory


def check_pixels(width: int, height: int, most: int, advice: str = "") -> None:
    """Refuse an image of more pixels than the limit.

    Args:
        width: of the image.
        height: of the image.
        most: the limit.
        advice: what else helps than a higher limit.

    Raises:
        ImageError: `too_large`.
    """
    if width * height > most:
        raise ImageError(
            ErrorCode.TOO_LARGE,
            f"{width:,}×{height:,} pixels are above the limit of {most:,} "
            f"(--max-image-pixels{advice})",
        )


def check_grid(grid_h: int, grid_w: int, tile: int, most: int) -> None:
    """Refuse a raster of more pixels than the limit, or of tiles so small that they are too many.

    Args:
        grid_h: rows of tiles.
        grid_w: columns of tiles.
        tile: side of a tile in pixels.
        most: the limit of pixels.

    Raises:
        ImageError: `too_large`.
    """
    check_pixels(grid_w * tile, grid_h * tile, most)
    if grid_h * grid_w * _PIXELS_LIKE_A_TILE > most:
        raise ImageError(
            ErrorCode.TOO_LARGE,
            f"{grid_w:,}×{grid_h:,} tiles are more than the limit of {most:,} pixels allows "
            f"(--max-image-pixels); a tile counts as {_PIXELS_LIKE_A_TILE} pixels at least",
        )


def fault_of_system(error: BaseException, most: int) -> ImageError | None:
    """The error of an image when memory, the file or Pillow's own limit is to blame; else None.

    Args:
        error: what a decoder raised.
        most: the limit of pixels.
    """
    if isinstance(error, Image.DecompressionBombError):
        message = f"it declares more pixels than the limit of {most:,} (--max-image-pixels)"
        return ImageError(ErrorCode.TOO_LARGE, message)
    if isinstance(error, MemoryError):
        return ImageError(ErrorCode.OUT_OF_MEMORY, "there is not enough memory to decode it")
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        return ImageError(ErrorCode.UNREADABLE, os.strerror(error.errno))
    return None
