"""Whole PNG and JPEG files to pixels, by decoders that are faster than Pillow's.

They give the same pixels where they give any. What they cannot do or object to is left to Pillow,
but for damaged JPEG, of which Pillow would show what there is.
Of a PNG they check the sums of its chunks, which Pillow does not, and not the sum of the deflated
stream within them, which Pillow does: any damage to a file is noticed, a wrong sum that was
written that way is not.
"""

import struct
from collections.abc import Callable

import numpy as np
from kornia_rs import io as kornia
from numpy.typing import NDArray
from PIL import Image

from ppcli.imaging.colour import upright
from ppcli.imaging.image_choices import Colour
from ppcli.imaging.jpeg import decode_jpeg
from ppcli.jit.kernel import helper, kernel

Pixels = NDArray[np.uint8]
Words = NDArray[np.uint32]

_SIGNATURE_BYTES = 8
_COLOUR_TYPE = 25  # offset of depth and colour type: the last bytes of IHDR but three
# Of 8 bits a channel, by depth and colour type.
_GREY, _RGB, _PALETTE, _RGBA = b"\x08\x00", b"\x08\x02", b"\x08\x03", b"\x08\x06"
_PNG_KINDS = {_GREY: "mono", _RGB: "rgb", _PALETTE: "mono", _RGBA: "rgba"}
_GREYS = np.arange(256, dtype=np.uint8).repeat(3).reshape(256, 3)
# What a file may have beside its pixels; phones put films behind a JPEG.
_SPARE_BYTES = {"PNG": 1 << 20, "JPEG": 1 << 26, "MPO": 1 << 26}


def decode_directly(image: Image.Image, data: bytes, background: Colour) -> Pixels | None:
    """The pixels of a file, as they are stored, when it is one of the common kinds.

    Args:
        image: the file as Pillow has opened it, within the limit of pixels.
        data: the whole file, or from where this picture of it begins.
        background: what shows behind transparent pixels.

    Returns:
        RGB uint8 (height, width, 3), upright; None when Pillow is to decode it.

    Raises:
        ImageError: `truncated` or `corrupt`, for damage that Pillow does not see.
    """
    decoder = _DECODERS.get(image.format or "")
    return None if decoder is None else decoder(image, data, background)


def worth_reading(image: Image.Image, file_bytes: int) -> bool:
    """Whether a file is one of these, and no larger than its pixels account for."""
    width, height = image.size
    spare = _SPARE_BYTES.get(image.format or "")
    return spare is not None and file_bytes <= 4 * width * height + spare


def _decode_png(image: Image.Image, data: bytes, background: Colour) -> Pixels | None:
    kind = data[_COLOUR_TYPE - 1 : _COLOUR_TYPE + 1]
    keyed = "transparency" in image.info
    if keyed or kind not in _PNG_KINDS or not _ends_after_its_data(data):
        return None
    try:
        size = (image.height, image.width)
        pixels: Pixels = kornia.decode_image_png_u8(data, size, _PNG_KINDS[kind])
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # a panic in Rust is one too; Pillow finds out what is wrong
        return None
    if kind == _RGB:
        return upright(pixels, image)
    rgb = np.empty((*size, 3), dtype=np.uint8)
    if kind == _RGBA:
        if not drop_alpha(pixels.view(np.uint32).reshape(-1), rgb.reshape(-1)):
            flatten(pixels, background, rgb)
    elif not look_up(pixels.reshape(-1), _colours(image, kind), rgb.reshape(-1)):
        return None
    return upright(rgb, image)


def _colours(image: Image.Image, kind: bytes) -> Words:
    """What the 256 levels or indices stand for, as words of RGBA; what is clear is no colour."""
    table = np.zeros((256, 4), dtype=np.uint8)
    colours = _GREYS
    if kind == _PALETTE:
        listed = bytes(image.palette.palette) if image.palette else b""
        if len(listed) % 3 or len(listed) > table.size:  # no colour at all: Pillow is asked
            listed = b""
        colours = np.frombuffer(listed, dtype=np.uint8).reshape(-1, 3)
    table[: len(colours), :3], table[: len(colours), 3] = colours, 255
    return table.view(np.uint32)[:, 0]


_DECODERS: dict[str, Callable[[Image.Image, bytes, Colour], Pixels | None]] = {
    "PNG": _decode_png,
    "JPEG": decode_jpeg,
    "MPO": decode_jpeg,
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


@kernel("uint32[:] uint8[:]")
def drop_alpha(rgba: Words, rgb: Pixels) -> int:
    """Copy RGBA, uint32 (pixels,), to RGB, uint8 (pixels·3,); 1 if all were opaque, or 0."""
    opaque = np.uint32(0xFF000000)
    for i in range(rgba.size):
        word = rgba[i]
        opaque = np.uint32(opaque & word)
        rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2] = _channels(word)
    return int(opaque == 0xFF000000)


@kernel("uint8[:] uint32[:] uint8[:]")
def look_up(indices: Pixels, colours: Words, rgb: Pixels) -> int:
    """As `drop_alpha`, with an index, uint8 (pixels,), of a colour for each pixel."""
    opaque = np.uint32(0xFF000000)
    for i in range(indices.size):
        word = colours[indices[i]]
        opaque = np.uint32(opaque & word)
        rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2] = _channels(word)
    return int(opaque == 0xFF000000)


@helper
def _channels(word: np.uint32) -> tuple[np.uint32, np.uint32, np.uint32]:
    return word & 255, (word >> 8) & 255, (word >> 16) & 255


def flatten(rgba: Pixels, background: Colour, rgb: Pixels) -> None:
    """Composite RGBA, uint8 (height, width, 4), over a colour, where it is not opaque.

    In the integers of Pillow's `alpha_composite`: shares of 7 more bits, rounded, over 255.

    Args:
        rgba: the pixels.
        background: red, green and blue.
        rgb: uint8 (height, width, 3), the same without alpha; changed in place.
    """
    composite(rgba, *background, rgb)


@kernel("uint8[:,:,:] int int int uint8[:,:,:]")
def composite(rgba: Pixels, red: int, green: int, blue: int, rgb: Pixels) -> int:
    """As `flatten`."""
    background = (red, green, blue)
    for y in range(rgba.shape[0]):
        for x in range(rgba.shape[1]):
            alpha = np.int32(rgba[y, x, 3])
            if alpha == 255:
                continue
            for channel in range(3):
                below = np.int32(background[channel]) * (255 - alpha)
                scaled = (np.int32(rgba[y, x, channel]) * alpha + below + 128) << 7
                rgb[y, x, channel] = ((scaled >> 8) + scaled) >> 15
    return 0


KERNELS = (drop_alpha.of(), look_up.of(), composite.of())
