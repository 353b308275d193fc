"""Decodes JPEG 2000 where Pillow's pixels are wrong.

Pillow rounds more than 8 bits, so that white overflows to black. It does not scale fewer than 8
bits, and ignores the order of channels and most colour spaces.
"""

import io
import struct
from collections.abc import Iterator
from importlib import import_module
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ppcli.errors import ErrorCode, ImageError

_CODESTREAM = b"\xff\x4f\xff\x51"
_SIZ_HEADER = ">4xHHIIIIIIIIH"
_TILE_PART = 0xFF90
_CMYK, _SRGB, _GREY, _SYCC = 12, 16, 17, 18
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_SPACE_OF_MODE = {"L": _GREY, "LA": _GREY, "RGB": _SRGB, "RGBA": _SRGB}
_COLOUR, _OPACITY = 0, 1  # channel types
_EIGHT_BITS = 7  # as stored in a palette box


class _Component(NamedTuple):
    bits: int
    signed: bool
    subsampled: bool


class _Header(NamedTuple):
    components: list[_Component]
    boxes: dict[bytes, bytes]  # in the JP2 header; empty for a bare codestream

    @property
    def colour_space(self) -> int | None:
        box = self.boxes.get(b"colr", b"")
        return int.from_bytes(box[3:7], "big") if box[:1] == b"\x01" else None


def decode_jpeg_2000(image: Image.Image, file: BinaryIO) -> Image.Image | None:
    """Decode an image to 8 bits per channel.

    Of more bits, the low ones are dropped. Fewer are scaled to the full range.

    Args:
        image: the file as opened by Pillow.
        file: the file it was opened from.

    Returns:
        The image, or None if Pillow decodes it correctly.

    Raises:
        ImageError: `unsupported_mode`.
        EOFError: the file is truncated, which not every decoder detects.
    """
    file.seek(0)
    data = file.read()
    header = _read_header(data)
    depths = [component.bits for component in header.components]
    palette = header.boxes.get(b"pclr")
    _refuse_colours(header)
    if palette is not None and not _is_plain_palette(palette, image.mode, depths):
        raise _unsupported("this kind of palette")
    _require_tiles(data[data.index(_CODESTREAM) :])
    if set(depths) == {8}:
        return None
    if max(depths) <= 8:
        return _scale_to_8_bits(image, header)
    return _decode_grey(data, header) if len(depths) == 1 else _decode_deep(data, header)


def _read_header(data: bytes) -> _Header:
    boxes: dict[bytes, bytes] = {}
    codestream = 0
    if not data.startswith(_CODESTREAM):
        for kind, start, end in _boxes(data, 0, len(data)):
            if kind == b"jp2h":
                for name, first, last in _boxes(data, start, end):
                    boxes.setdefault(name, data[first:last])
            elif kind == b"jp2c":
                codestream = start
                break
    count = struct.unpack_from(_SIZ_HEADER, data, codestream)[-1]
    sizes = data[codestream + struct.calcsize(_SIZ_HEADER) :][: 3 * count]
    components = [
        _Component((depth & 127) + 1, depth > 127, (right, down) != (1, 1))
        for depth, right, down in struct.iter_unpack("3B", sizes)
    ]
    return _Header(components, boxes)


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and end of the content of each box."""
    while at + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        at = at + max(8, size) if size else end
        yield kind, start, at


def _require_tiles(stream: bytes) -> None:
    """Raise EOFError unless all tiles of a codestream are present and complete."""
    _, _, *sizes, _ = struct.unpack_from(_SIZ_HEADER, stream)
    width, height, _, _, tile_width, tile_height, left, top = sizes
    tiles = -((left - width) // tile_width) * -((top - height) // tile_height)
    seen = set()
    at = len(_CODESTREAM) - 2
    while at + 12 <= len(stream):
        marker, length, tile, part_length = struct.unpack_from(">HHHI", stream, at)
        if marker != _TILE_PART:
            at += 2 + length
            continue
        seen.add(tile)
        if part_length == 0:  # extends to the end
            return
        at += part_length
    if at > len(stream) or len(seen) < tiles:
        raise EOFError


def _refuse_colours(header: _Header) -> None:
    if header.colour_space not in (None, _CMYK, _SRGB, _GREY, _SYCC):
        raise _unsupported(f"colour space {header.colour_space}")
    definitions = header.boxes.get(b"cdef")
    if definitions is None:
        return
    entries = sorted(struct.iter_unpack(">3H", definitions[2:][: len(definitions[2:]) // 6 * 6]))
    colours = [(channel, _COLOUR, channel + 1) for channel in range(len(entries))]
    with_alpha = [*colours[:-1], (len(entries) - 1, _OPACITY, 0)]
    if entries not in (colours, with_alpha):
        raise _unsupported("this order of channels")
    if entries == colours and len(entries) in (2, 4) and header.colour_space != _CMYK:
        raise _unsupported("channels that are neither colour nor opacity")


def _is_plain_palette(box: bytes, mode: str, depths: list[int]) -> bool:
    columns = box[2]
    return (
        mode in ("P", "PA")
        and set(depths) == {8}
        and columns in (3, 4)
        and (set(box[3 : 3 + columns]) == {_EIGHT_BITS})
    )


def _scale_to_8_bits(image: Image.Image, header: _Header) -> Image.Image:
    components = header.components
    if header.colour_space == _SYCC or len(image.getbands()) != len(components):
        raise _unsupported_depths(header)
    image.load()
    table: list[int] = []
    for bits, _, _ in components:  # Pillow shifts them to the top of the byte
        table += [(level >> 8 - bits) * 255 // ((1 << bits) - 1) for level in range(256)]
    return image.point(table)


def _decode_grey(data: bytes, header: _Header) -> Image.Image:
    """Decode one channel of up to 16 bits; Pillow keeps them all for a bare codestream."""
    with Image.open(io.BytesIO(data[data.index(_CODESTREAM) :]), formats=["JPEG2000"]) as levels:
        if levels.mode != "I;16" or header.components[0].bits > 16:
            raise _unsupported_depths(header)
        return Image.fromarray((np.asarray(levels) >> 8).astype(np.uint8))


def _decode_deep(data: bytes, header: _Header) -> Image.Image:
    bits, signed, subsampled = header.components[0]
    mode = _MODES.get(len(header.components), "")
    plain = len(set(header.components)) == 1 and not subsampled and bits <= 16
    if not plain or header.colour_space not in (None, _SPACE_OF_MODE.get(mode)):
        raise _unsupported_depths(header)
    try:
        decode = import_module("imagecodecs").jpeg2k_decode
    except ImportError:
        advice = "install pixelprune[codecs] for its decoder, or "
        raise _unsupported_depths(header, advice) from None
    levels: NDArray[Any] = decode(data[data.index(_CODESTREAM) :])
    if signed:
        levels = levels.astype(np.int32) + (1 << bits - 1)
    return Image.fromarray((levels >> bits - 8).astype(np.uint8), mode)


def _unsupported_depths(header: _Header, advice: str = "") -> ImageError:
    bits = " and ".join(str(bits) for bits in sorted({part.bits for part in header.components}))
    return _unsupported(f"{len(header.components)} channels of {bits} bits", advice)


def _unsupported(feature: str, advice: str = "") -> ImageError:
    return ImageError(
        ErrorCode.UNSUPPORTED_MODE,
        f"JPEG 2000 with {feature} is not supported; {advice}save it as sRGB with 8 bits per "
        "channel",
    )
