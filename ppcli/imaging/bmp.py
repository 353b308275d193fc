"""Decodes Windows bitmaps of up to 8 bits per pixel, and detects unsupported bitmaps.

Pillow decodes 4-bit run-length encoding wrongly, and ignores some short palettes.
"""

import struct
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ppcli.errors import ErrorCode, ImageError

Pixels = NDArray[np.uint8]

_FILE_HEADER = 14
_CORE_HEADER = 12  # OS/2 1: sizes of 16 bits, palette entries of three bytes
_RAW, _RLE8, _RLE4, _BITFIELDS = 0, 1, 2, 3
_SHORT_HEADERS = range(13, 40)  # OS/2 2 without its last fields
_OS2_HEADER = 64  # assigns the compression numbers differently
_SIGNED_HEADERS = (40, 52, 56, _OS2_HEADER, 108, 124)
_DEPTHS = (1, 4, 8, 16, 24, 32)
_GREYS = np.arange(256, dtype=np.uint8).repeat(3).reshape(256, 3)


class _Header(NamedTuple):
    size: int
    width: int
    height: int
    bits: int
    compression: int
    palette_at: int
    entry_bytes: int
    entries: int
    pixels_at: int


def unsupported(file: BinaryIO) -> ImageError | None:
    """Return the error for a kind of bitmap that is not supported, or None.

    Called for bitmaps that Pillow does not open.
    """
    header = _read_header(file)
    if header.size in _SHORT_HEADERS:
        return _unsupported_mode(f"an OS/2 header of {header.size} bytes")
    if header.bits not in _DEPTHS:
        return None  # damage rather than an unsupported kind
    if header.size == _OS2_HEADER and header.compression not in (_RAW, _RLE8, _RLE4):
        return _unsupported_mode("OS/2 compression")
    if header.compression > _BITFIELDS:
        return _unsupported_mode(f"compression {header.compression}")
    if header.compression == _BITFIELDS:
        return _unsupported_mode("this layout of bit fields")
    return None


def impossible_size(file: BinaryIO) -> str | None:
    """Return what is wrong with the width, a signed number that must be positive, or None."""
    header = _read_header(file)
    if header.size in _SIGNED_HEADERS and header.width < 0:
        return f"its width is {header.width:,}"
    return None


def _unsupported_mode(feature: str) -> ImageError:
    return ImageError(
        ErrorCode.UNSUPPORTED_MODE, f"bitmaps with {feature} are not supported; save it as PNG"
    )


def decode_indexed(image: Image.Image, file: BinaryIO) -> Image.Image | None:
    """Decode a bitmap that has a palette.

    Args:
        image: the bitmap, as opened by Pillow.
        file: the file it was opened from.

    Returns:
        A palette image, or None if the bitmap has no palette.

    Raises:
        EOFError: the file ends before its pixels do.
    """
    header = _read_header(file)
    if header.bits > 8:
        return None
    file.seek(header.palette_at)
    palette = file.read(header.entries * header.entry_bytes)[: 256 * header.entry_bytes]
    count = len(palette) // header.entry_bytes
    colours = _GREYS.copy()  # as Pillow, for indices beyond the palette
    entries = np.frombuffer(palette, dtype=np.uint8, count=count * header.entry_bytes)
    colours[:count] = entries.reshape(count, header.entry_bytes)[:, 2::-1]
    file.seek(header.pixels_at)
    width, height = image.size
    if header.compression in (_RLE8, _RLE4):
        indices = decode_runs(file.read(), width, height, header.compression == _RLE4)
    else:
        indices = _unpacked(file, width, height, header.bits)
    if header.height > 0:
        indices = indices[::-1]
    picture = Image.frombytes("P", (width, height), indices.tobytes())
    picture.putpalette(colours.tobytes())
    return picture


def _read_header(file: BinaryIO) -> _Header:
    file.seek(0)
    head = file.read(_FILE_HEADER + 40).ljust(_FILE_HEADER + 40, b"\0")
    base = _FILE_HEADER if head[:2] == b"BM" else 0
    (size,) = struct.unpack_from("<I", head, base)
    if size == _CORE_HEADER:
        width, height, _, bits = struct.unpack_from("<4H", head, base + 4)
        compression = entries = 0
    else:
        width, height, _, bits = struct.unpack_from("<iiHH", head, base + 4)
        compression, _, _, _, entries = struct.unpack_from("<5I", head, base + 16)
    entry_bytes = 3 if size == _CORE_HEADER else 4
    entries = entries or 1 << min(bits, 8)
    pixels_at = struct.unpack_from("<I", head, 10)[0] if base else 0
    after_palette = base + size + entry_bytes * entries
    if not pixels_at:
        pixels_at = after_palette
    elif base + size < pixels_at < after_palette:  # a palette without its last entries
        entries = (pixels_at - base - size) // entry_bytes
    elif pixels_at == base + size:  # written by programs that forget the palette
        pixels_at = after_palette
    return _Header(
        size, width, height, bits, compression, base + size, entry_bytes, entries, pixels_at
    )


def _unpacked(file: BinaryIO, width: int, height: int, bits: int) -> Pixels:
    """Return the indices, uint8 (height, width); rows are padded to four bytes."""
    row_bytes = (width * bits + 31) // 32 * 4
    data = file.read(row_bytes * height)
    if len(data) < row_bytes * (height - 1) + (width * bits + 7) // 8:
        raise EOFError
    packed = np.frombuffer(data.ljust(row_bytes * height, b"\0"), dtype=np.uint8)
    packed = packed.reshape(height, row_bytes)
    if bits == 1:
        packed = np.unpackbits(packed, axis=1)
    elif bits == 4:
        packed = np.dstack([packed >> 4, packed & 15]).reshape(height, -1)
    return packed[:, :width]


def decode_runs(data: bytes, width: int, height: int, halves: bool) -> Pixels:
    """Decode run-length encoded indices.

    A run ends at the end of its row; skipped pixels have index 0.

    Args:
        data: the bytes after the palette.
        width: width of the image.
        height: height of the image.
        halves: whether a byte holds two pixels (RLE4) or one (RLE8).

    Returns:
        uint8 (height, width), rows in the order of the file.

    Raises:
        EOFError: the data ends before the image does.
    """
    indices = bytearray(width * height)
    at = x = y = 0
    while y < height:
        code = data[at : at + 2]
        if len(code) < 2:
            if y == height - 1 and x >= width:
                break
            raise EOFError
        count, value = code
        at += 2
        if count == 0 and value <= 2:
            if value == 1:
                break
            if value == 0:
                x, y = 0, y + 1
            elif len(step := data[at : at + 2]) == 2:
                x, y, at = x + step[0], y + step[1], at + 2
            continue
        if count:
            run = bytes((value >> 4, value & 15)) * 128 if halves else bytes((value,)) * 256
        else:
            count, size = value, (value + 1) // 2 if halves else value
            run = data[at : at + size]
            if len(run) < size:
                raise EOFError
            at += size + size % 2
            run = bytes(part for byte in run for part in divmod(byte, 16)) if halves else run
        visible = max(0, min(count, width - x))
        start = y * width + x
        indices[start : start + visible] = run[:visible]
        x += count
    return np.frombuffer(indices, dtype=np.uint8).reshape(height, width)
