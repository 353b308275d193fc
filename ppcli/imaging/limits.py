"""What every reader of images says in the same words: too many pixels, and faults of the system."""

import errno
import os

from PIL import Image

from ppcli.errors import ErrorCode, ImageError


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
