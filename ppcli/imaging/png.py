"""Decodes PNG with a transparent level or colour (tRNS), at depths where Pillow gets it wrong.

Pillow converts 2-bit and 4-bit grey and 16-bit RGB to 8 bits, but not the transparent value.
"""

import struct
from typing import BinaryIO

import numpy as np
from kornia_rs import io as kornia
from numpy.typing import NDArray
from PIL import Image

from ppcli.errors import ErrorCode, ImageError

_SIZE_AT, _MAX_SIDE = 16, (1 << 31) - 1
_DEPTH_AT = 24  # offset of the bit depth, which the colour type follows
_SHALLOW_GREY = (b"\x02\x00", b"\x04\x00")
_DEEP_RGB = b"\x10\x02"


def impossible_size(file: BinaryIO) -> str | None:
    """Return what is wrong with the declared size, if it exceeds the limit of the format."""
    file.seek(_SIZE_AT)
    width, height = struct.unpack(">II", file.read(8))
    if max(width, height) > _MAX_SIDE:
        return f"{width:,}×{height:,} pixels are more than a PNG can have"
    return None


def decode_keyed(image: Image.Image, file: BinaryIO) -> Image.Image | None:
    """Decode a PNG that has a transparent level or colour.

    Args:
        image: the file as opened by Pillow.
        file: the file it was opened from.

    Returns:
        The image with an alpha channel, or None if Pillow decodes it correctly.

    Raises:
        ImageError: `unsupported_mode`, if 16-bit values cannot be decoded.
        OSError: the file cannot be decoded.
    """
    key = image.info.get("transparency")
    if key is None:
        return None
    file.seek(_DEPTH_AT)
    kind = file.read(2)
    if kind in _SHALLOW_GREY:
        image.load()  # which also reports damage
        level = key * 255 // ((1 << kind[0]) - 1)
        return _with_alpha(np.asarray(image), np.asarray(image) != level)
    if kind == _DEEP_RGB:
        image.load()
        levels = _decode_16_bits(file, image)
        return _with_alpha((levels >> 8).astype(np.uint8), (levels != key).any(axis=2))
    return None


def _decode_16_bits(file: BinaryIO, image: Image.Image) -> NDArray[np.uint16]:
    file.seek(0)
    try:
        levels: NDArray[np.uint16] = kornia.decode_image_png_u16(
            file.read(), (image.height, image.width), "rgb"
        )
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # includes Rust panics
        raise ImageError(
            ErrorCode.UNSUPPORTED_MODE,
            "this 16-bit PNG with a transparent colour is not supported; save it with 8 bits",
        ) from error
    return levels


def _with_alpha(colours: NDArray[np.uint8], opaque: NDArray[np.bool_]) -> Image.Image:
    picture = Image.fromarray(colours)
    picture.putalpha(Image.fromarray(opaque.astype(np.uint8) * np.uint8(255)))
    return picture
