"""Windows bitmaps of up to 8 bits a pixel, and what no reader makes of the others.

Pillow reads the runs of 4-bit bitmaps wrong, and takes some short palettes for greys.
"""

import struct
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ppcli.errors import ErrorCode, ImageError

Pixels = NDArray[np.uint8]

_FILE_HEADER = 14
_CORE_HEADER = 12  # of OS/2: short sizes, and palettes of three bytes an entry
_RAW, _RLE8, _RLE4, _BITFIELDS = 0, 1, 2, 3
_SHORT_HEADERS = range(13, 40)  # of OS/2 2 without its last fields
_OS2_HEADER = 64  # its compressions are others
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
    """Why the pixels of a bitmap have no reader here, if they have none."""
    header = _header(file)
    if header.size in _SHORT_HEADERS:
        return _refused(f"its OS/2 header of {header.size} bytes")
    if header.bits not in _DEPTHS:
        return None  # damage rather than a kind
    if header.size == _OS2_HEADER and header.compression not in (_RAW, _RLE8, _RLE4):
        return _refused("its OS/2 compression")
    if header.compression > _BITFIELDS:
        return _refused(f"its compression {header.compression}")
    if header.compression == _BITFIELDS:
        return _refused("its layout of bit fields")
    return None


def impossible_size(file: BinaryIO) -> str | None:
    """What is wrong with the width of a bitmap, if it is one: it has a sign, and takes no minus."""
    header = _header(file)
    if header.size in _SIGNED_HEADERS and header.width < 0:
        return f"its width is {header.width:,}"
    return None


def _refused(what: str) -> ImageError:
    return ImageError(
        ErrorCode.UNSUPPORTED_MODE, f"{what} is not read here; save it as PNG, or without that"
    )


def decode_indexed(image: Image.Image, file: BinaryIO) -> Image.Image | None:
    """The picture of a bitmap with a palette; None for one without.

    Args:
        image: the bitmap, as Pillow has opened it.
        file: the same, to be read from.

    Raises:
        ImageError: `corrupt`, where there is no palette.
        EOFError: when the file ends before its pixels do.
    """
    header = _header(file)
    if header.bits > 8:
        return None
    file.seek(header.palette_at)
    listed = file.read(header.entries * header.entry_bytes)[: 256 * header.entry_bytes]
    count = len(listed) // header.entry_bytes
    colours = _GREYS.copy()  # Pillow's for an index beyond the palette
    entries = np.frombuffer(listed, dtype=np.uint8, count=count * header.entry_bytes)
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


def _header(file: BinaryIO) -> _Header:
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
    elif base + size < pixels_at < after_palette:  # a palette that leaves its last entries out
        entries = (pixels_at - base - size) // entry_bytes
    elif pixels_at == base + size:  # the offset of those who forget the palette
        pixels_at = after_palette
    return _Header(
        size, width, height, bits, compression, base + size, entry_bytes, entries, pixels_at
    )


def _unpacked(file: BinaryIO, width: int, height: int, bits: int) -> Pixels:
    """Indices, uint8 (height, width), of rows that end at four bytes."""
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
    """Run-length encoded indices, as rows from the first to the last that is stored.

    A run ends at the end of its row; what is skipped has index 0.

    Args:
        data: what follows the palette.
        width: of the picture.
        height: of the picture.
        halves: whether a byte holds two pixels (RLE4) or one (RLE8).

    Returns:
        uint8 (height, width).

    Raises:
        EOFError: when the data ends before the picture does.
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
        shown = max(0, min(count, width - x))
        start = y * width + x
        indices[start : start + shown] = run[:shown]
        x += count
    return np.frombuffer(indices, dtype=np.uint8).reshape(height, width)
