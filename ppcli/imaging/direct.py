"""Decodes common PNG and JPEG files with libraries that are faster than Pillow.

The pixels are the same. Files that these libraries cannot decode are left to Pillow, except for
damaged JPEG, of which Pillow would return a part.

For PNG, these decoders verify the checksums of chunks but not the checksum of the compressed
stream, and Pillow does the opposite. Both detect damage to a file. A stream that was written
with a wrong checksum is accepted here.
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
_COLOUR_TYPE = 25  # offset of the colour type in the file; the bit depth precedes it
# bit depth 8 and colour type
_GREY, _RGB, _PALETTE, _RGBA = b"\x08\x00", b"\x08\x02", b"\x08\x03", b"\x08\x06"
_PNG_KINDS = {_GREY: "mono", _RGB: "rgb", _PALETTE: "mono", _RGBA: "rgba"}
_GREYS = np.arange(256, dtype=np.uint8).repeat(3).reshape(256, 3)
# allowance for bytes that are not pixels; phones append videos to a JPEG
_EXTRA_BYTES = {"PNG": 1 << 20, "JPEG": 1 << 26, "MPO": 1 << 26}


def decode_directly(image: Image.Image, data: bytes, background: Colour) -> Pixels | None:
    """Decode a file of a common kind.

    Args:
        image: the file as opened by Pillow, within the limit of pixels.
        data: bytes of the file from the start of this image.
        background: the colour behind transparent pixels.

    Returns:
        RGB uint8 (height, width, 3), upright, or None if Pillow must decode the file.

    Raises:
        ImageError: `truncated` or `corrupt`, for damage that Pillow does not detect.
    """
    decoder = _DECODERS.get(image.format or "")
    return None if decoder is None else decoder(image, data, background)


def worth_reading(image: Image.Image, file_bytes: int) -> bool:
    """Return whether a file has a common format and a size that its pixels explain."""
    width, height = image.size
    extra = _EXTRA_BYTES.get(image.format or "")
    return extra is not None and file_bytes <= 4 * width * height + extra


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
    except BaseException:  # includes Rust panics; Pillow will report the cause
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
    """Return the colours of the 256 levels or indices as RGBA words; alpha 0 means undefined."""
    table = np.zeros((256, 4), dtype=np.uint8)
    colours = _GREYS
    if kind == _PALETTE:
        palette = bytes(image.palette.palette) if image.palette else b""
        if len(palette) % 3 or len(palette) > table.size:  # define none, so that Pillow decodes
            palette = b""
        colours = np.frombuffer(palette, dtype=np.uint8).reshape(-1, 3)
    table[: len(colours), :3], table[: len(colours), 3] = colours, 255
    return table.view(np.uint32)[:, 0]


_DECODERS: dict[str, Callable[[Image.Image, bytes, Colour], Pixels | None]] = {
    "PNG": _decode_png,
    "JPEG": decode_jpeg,
    "MPO": decode_jpeg,
}


def _ends_after_its_data(data: bytes) -> bool:
    """Return whether no chunk follows the pixels of a PNG; one might hold an orientation."""
    offset, last = _SIGNATURE_BYTES, b""
    while offset + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, offset)
        if kind == b"IEND":
            return last == b"IDAT"
        if last == b"IDAT" and kind != b"IDAT":
            return False
        offset, last = offset + 12 + size, kind
    return False


@kernel("uint32[:] uint8[:]")
def drop_alpha(rgba: Words, rgb: Pixels) -> int:
    """Copy RGBA, uint32 (pixels,), to RGB, uint8 (pixels·3,); return 1 if all are opaque."""
    opaque = np.uint32(0xFF000000)
    for i in range(rgba.size):
        word = rgba[i]
        opaque = np.uint32(opaque & word)
        rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2] = _channels(word)
    return int(opaque == 0xFF000000)


@kernel("uint8[:] uint32[:] uint8[:]")
def look_up(indices: Pixels, colours: Words, rgb: Pixels) -> int:
    """Copy the colour, uint32 (256,), of each index, uint8 (pixels,); otherwise as `drop_alpha`."""
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
    """Composite RGBA over a colour, with the integer arithmetic of Pillow's `alpha_composite`.

    Args:
        rgba: uint8 (height, width, 4).
        background: red, green and blue.
        rgb: uint8 (height, width, 3), the colours of `rgba`; pixels that are not opaque are
            replaced.
    """
    composite(rgba, *background, rgb)


@kernel("uint8[:,:,:] int int int uint8[:,:,:]")
def composite(rgba: Pixels, red: int, green: int, blue: int, rgb: Pixels) -> int:
    """Composite as `flatten` does."""
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
