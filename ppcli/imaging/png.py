"""PNG in which one level or colour is transparent, at depths where Pillow compares other numbers.

It spreads grey of 2 and 4 bits to 8 and drops the low bytes of RGB, and not those of the key.
"""

import struct
from typing import BinaryIO

import numpy as np
from kornia_rs import io as kornia
from numpy.typing import NDArray
from PIL import Image

from ppcli.errors import ErrorCode, ImageError

_SIZE_AT, _LONGEST_SIDE = 16, (1 << 31) - 1
_DEPTH = 24  # its place, and that of the colour type behind it
_SHALLOW_GREY = (b"\x02\x00", b"\x04\x00")
_DEEP_RGB = b"\x10\x02"


def impossible_size(file: BinaryIO) -> str | None:
    """What is wrong with the sides that a PNG declares, if they are more than its kind may have."""
    file.seek(_SIZE_AT)
    width, height = struct.unpack(">II", file.read(8))
    if max(width, height) > _LONGEST_SIDE:
        return f"{width:,}×{height:,} pixels are more than a PNG can have"
    return None


def decode_keyed(image: Image.Image, file: BinaryIO) -> Image.Image | None:
    """The picture with an alpha channel for its key; None where Pillow makes the right one.

    Args:
        image: the file, as Pillow has opened it; its pixels are loaded where there is such a key.
        file: the same, to be read from.

    Raises:
        ImageError: `unsupported_mode`, where 16 bits cannot be had.
        OSError: when it cannot be decoded.
    """
    key = image.info.get("transparency")
    if key is None:
        return None
    file.seek(_DEPTH)
    kind = file.read(2)
    if kind in _SHALLOW_GREY:
        image.load()  # to see what is wrong with a damaged file, too
        level = key * 255 // ((1 << kind[0]) - 1)
        return _with_alpha(np.asarray(image), np.asarray(image) != level)
    if kind == _DEEP_RGB:
        image.load()
        levels = _levels(file, image)
        return _with_alpha((levels >> 8).astype(np.uint8), (levels != key).any(axis=2))
    return None


def _levels(file: BinaryIO, image: Image.Image) -> NDArray[np.uint16]:
    file.seek(0)
    try:
        levels: NDArray[np.uint16] = kornia.decode_image_png_u16(
            file.read(), (image.height, image.width), "rgb"
        )
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic in Rust is one too
        raise ImageError(
            ErrorCode.UNSUPPORTED_MODE,
            "PNG of 16 bits with a transparent colour is not read here; save it with 8 bits",
        ) from error
    return levels


def _with_alpha(colours: NDArray[np.uint8], opaque: NDArray[np.bool_]) -> Image.Image:
    picture = Image.fromarray(colours)
    picture.putalpha(Image.fromarray(opaque.astype(np.uint8) * np.uint8(255)))
    return picture
