"""Decodes the merged image of a Photoshop file.

Pillow inverts 1-bit images, and takes any fourth channel for transparency.
"""

import struct
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ppcli.errors import ErrorCode, ImageError

Pixels = NDArray[np.uint8]

_BITMAP, _INDEXED = 0, 2
# supported colour modes and their number of channels
_CHANNELS = {_BITMAP: 1, 1: 1, _INDEXED: 1, 3: 3, 4: 4, 8: 1}
_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
_COLOUR_MODES = {7: "multichannel", 9: "CIE Lab"}
_RAW, _PACKBITS = 0, 1
_LAYERS = frozenset({b"Layr", b"Lr16", b"Lr32"})
_MERGED_TRANSPARENCY = frozenset({b"Mtrn", b"Mt16", b"Mt32"})


class _Header(NamedTuple):
    version: int
    channels: int
    height: int
    width: int
    bits: int
    mode: int


def unsupported(file: BinaryIO) -> ImageError | None:
    """Return the error for a kind of Photoshop file that is not supported, or None."""
    header = _read_header(file)
    if header.version == 2:
        return ImageError(
            ErrorCode.UNSUPPORTED_FORMAT,
            "PSB, Photoshop's format for large images, is not supported; save it as PNG",
        )
    kind = _COLOUR_MODES.get(header.mode)
    if header.bits in (16, 32):
        kind = f"{header.bits} bits per channel"
    return None if kind is None else _unsupported_mode(kind)


def _unsupported_mode(feature: str) -> ImageError:
    return ImageError(
        ErrorCode.UNSUPPORTED_MODE,
        f"Photoshop files with {feature} are not supported; save it as RGB with 8 bits per channel",
    )


def decode_merged(image: Image.Image, file: BinaryIO) -> Image.Image:
    """Decode the merged image, with its alpha channel if the file declares one.

    Args:
        image: not used.
        file: the file.

    Raises:
        ImageError: `unsupported_mode`, or `corrupt` for too few channels.
        EOFError: the file ends before its pixels do.
    """
    error = unsupported(file)
    if error is not None:
        raise error
    header = _read_header(file)
    count = _CHANNELS[header.mode]
    palette = file.read(_u32(file))
    file.seek(_u32(file), 1)
    transparent = _has_merged_transparency(file)
    with_alpha = transparent and header.channels > count and header.mode != _BITMAP
    planes = _planes(file, header, count + with_alpha)
    if header.mode == _BITMAP:
        return Image.fromarray(planes[0])
    if header.mode == _INDEXED:
        colours = np.frombuffer(palette[:768].ljust(768, b"\0"), dtype=np.uint8)
        return Image.fromarray(colours.reshape(3, 256).T[planes[0]])
    if header.mode == 4:  # CMYK is stored inverted
        planes[:4] = [255 - plane for plane in planes[:4]]
    merged = Image.merge(_MODES[count], [Image.fromarray(plane) for plane in planes[:count]])
    if with_alpha:
        merged = merged.convert("RGB")
        merged.putalpha(Image.fromarray(planes[count]))
    return merged


def _read_header(file: BinaryIO) -> _Header:
    file.seek(0)
    return _Header._make(struct.unpack(">4xH6xHIIHH", file.read(26)))


def _u32(file: BinaryIO) -> int:
    data = file.read(4)
    if len(data) < 4:
        raise EOFError
    return int.from_bytes(data, "big")


def _has_merged_transparency(file: BinaryIO) -> bool:
    """Return whether the first extra channel is the alpha channel of the merged image.

    It is if the number of layers is negative. The file is at the section of layers, and is left
    at its end.
    """
    end = _u32(file)
    end += file.tell()
    transparent = False
    if end > file.tell():
        size = _u32(file)
        transparent = _is_negative(file) if size else _transparency_block(file, end)
    file.seek(end)
    return transparent


def _transparency_block(file: BinaryIO, end: int) -> bool:
    """Return whether the tagged blocks after an empty list of layers declare transparency."""
    if file.tell() < end:
        file.seek(_u32(file), 1)
    while file.tell() + 12 <= end:
        _, key, size = struct.unpack(">4s4sI", file.read(12))
        if key in _MERGED_TRANSPARENCY:
            return True
        if key in _LAYERS:
            return _is_negative(file)
        file.seek(size + -size % 4, 1)
    return False


def _is_negative(file: BinaryIO) -> bool:
    return file.read(2) >= b"\x80"


def _planes(file: BinaryIO, header: _Header, count: int) -> list[Pixels]:
    """Decode the first channels of the merged image, uint8 (height, width) each."""
    if header.channels < count:
        raise ImageError(
            ErrorCode.CORRUPT, f"the file has {header.channels} of {count} channels of its mode"
        )
    row_bytes = (header.width * header.bits + 7) // 8
    compression = int.from_bytes(_exactly(file, 2), "big")
    sizes = [row_bytes * header.height] * count
    if compression == _PACKBITS:
        counts = np.frombuffer(_exactly(file, 2 * header.channels * header.height), dtype=">u2")
        sizes = counts.reshape(header.channels, -1).sum(axis=1, dtype=np.int64).tolist()[:count]
    elif compression != _RAW:
        raise _unsupported_mode("a deflated merged image")
    planes = []
    for size in sizes:
        data = _exactly(file, size)
        shape = (row_bytes, header.height)
        decoder = "packbits" if compression == _PACKBITS else "raw"
        plane = np.array(Image.frombytes("L", shape, data, decoder, "L"))
        if header.bits == 1:  # 1 is black
            plane = np.unpackbits(plane, axis=1)[:, : header.width]
            plane = (1 - plane) * np.uint8(255)
        planes.append(plane)
    return planes


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return data
