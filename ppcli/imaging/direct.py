"""Whole PNG and JPEG files to pixels, by decoders that are faster than Pillow's.

They give the same pixels where they give any. What they cannot do or object to is left to Pillow,
which has the last word on every file: nothing is taken here that it would refuse.
"""

import struct
from collections.abc import Callable

import numpy as np
import simplejpeg
from kornia_rs import io as kornia
from numpy.typing import NDArray
from PIL import Image

from ppcli.imaging.colour import Colour, to_rgb, upright
from ppcli.jit import jit

Pixels = NDArray[np.uint8]

_SIGNATURE_BYTES = 8
_COLOUR_TYPE = 25  # offset of depth and colour type: the last bytes of IHDR but three
_GREY, _RGB, _RGBA = b"\x08\x00", b"\x08\x02", b"\x08\x06"  # of 8 bits a channel
_PNG_KINDS = {_GREY: "mono", _RGB: "rgb", _RGBA: "rgba"}
_TURNED_BY = ("exif", "XML:com.adobe.xmp", "Raw profile type exif", "transparency")
_SPARE_BYTES = 1 << 20


def decode_directly(image: Image.Image, data: bytes, background: Colour) -> Pixels | None:
    """The pixels of a file, as they are stored, when it is one of the common kinds.

    Args:
        image: the file as Pillow has opened it, of one frame and within the limit of pixels.
        data: the whole file.
        background: what shows behind transparent pixels.

    Returns:
        RGB uint8 (height, width, 3), upright; None when Pillow is to decode it.
    """
    decoder = _DECODERS.get(image.format or "")
    return None if decoder is None else decoder(image, data, background)


def worth_reading(image: Image.Image, file_bytes: int) -> bool:
    """Whether a file is one of these, and no larger than its pixels account for."""
    width, height = image.size
    return image.format in _DECODERS and file_bytes <= 4 * width * height + _SPARE_BYTES


def _decode_jpeg(image: Image.Image, data: bytes, background: Colour) -> Pixels | None:
    if image.mode != "RGB":
        return None
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(data, "RGB", strict=True)
    except ValueError:
        return None
    return upright(pixels, image) if pixels.shape == (image.height, image.width, 3) else None


def _decode_png(image: Image.Image, data: bytes, background: Colour) -> Pixels | None:
    kind = data[_COLOUR_TYPE - 1 : _COLOUR_TYPE + 1]
    turned = any(name in image.info for name in _TURNED_BY)
    if turned or kind not in _PNG_KINDS or not _ends_after_its_data(data):
        return None
    try:
        size = (image.height, image.width)
        pixels: Pixels = kornia.decode_image_png_u8(data, size, _PNG_KINDS[kind])
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # a panic in Rust is one too; Pillow finds out what is wrong
        return None
    if kind == _GREY:
        return np.repeat(pixels.reshape(image.height, image.width, 1), 3, axis=2)
    if kind == _RGB:
        return pixels
    rgb = np.empty((*pixels.shape[:2], 3), dtype=np.uint8)
    if _without_alpha(pixels.reshape(-1, 4), rgb.reshape(-1, 3)):
        return rgb
    return np.array(to_rgb(Image.fromarray(pixels), background))


_DECODERS: dict[str, Callable[[Image.Image, bytes, Colour], Pixels | None]] = {
    "PNG": _decode_png,
    "JPEG": _decode_jpeg,
}


def _ends_after_its_data(data: bytes) -> bool:
    """Whether nothing follows the pixels of a PNG: what does may be an orientation."""
    place, last = _SIGNATURE_BYTES, b""
    while place + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"IEND":
            return last == b"IDAT"
        if last == b"IDAT" and kind != b"IDAT":
            return False
        place, last = place + 12 + size, kind
    return False


@jit
def _without_alpha(rgba: Pixels, rgb: Pixels) -> bool:
    """Copy RGBA, uint8 (pixels, 4), to RGB, uint8 (pixels, 3); false if a pixel is not opaque."""
    opaque = np.uint8(255)
    for i in range(rgba.shape[0]):
        rgb[i, 0], rgb[i, 1], rgb[i, 2] = rgba[i, 0], rgba[i, 1], rgba[i, 2]
        opaque &= rgba[i, 3]
    return bool(opaque == 255)
