"""Detects truncated files, if their format declares a length or has an end mark."""

import os
import struct
from collections.abc import Callable
from typing import BinaryIO

_RIFF_HEADER = 8
_PIXELS = frozenset({b"mdat", b"jp2c"})  # boxes with pixel data
_MOVIE_BOXES = frozenset(
    {
        *(b"ftyp", b"styp", b"moov", b"moof", b"mfra", b"mdat", b"wide", b"free", b"skip"),
        *(b"pnot", b"sidx", b"ssix", b"prft", b"uuid", b"meta", b"emsg", b"udta", b"PICT"),
    }
)
_EBML, _SEGMENT, _MOST_ELEMENTS = b"\x1aE\xdf\xa3", b"\x18S\x80g", 3


def is_whole(kind: str | None, file: BinaryIO) -> bool | None:
    """Return whether a file has all its bytes; None if that is unknown.

    Args:
        kind: name of the format, as Pillow spells it.
        file: the file; its position changes.
    """
    tell = _TELL.get(kind or "")
    if tell is None:
        return None
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    try:
        return tell(file, size)
    except (struct.error, IndexError):
        return False


def _riff(file: BinaryIO, size: int) -> bool:
    (length,) = struct.unpack_from("<I", file.read(_RIFF_HEADER), 4)
    return bool(_RIFF_HEADER + length <= size)


def _boxes(file: BinaryIO, size: int) -> bool | None:
    """Check ISO base media files and JPEG 2000: a sequence of boxes that declare their length."""
    at, with_pixels = 0, False
    while at < size:
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        with_pixels = with_pixels or kind in _PIXELS
        if length == 0:  # extends to the end of the file
            return None
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
        if length < 8:
            return None
        at += length
    return at == size and with_pixels


def _movie(file: BinaryIO, size: int) -> bool | None:
    """Check a QuickTime or MP4 file, to whose boxes some cameras append other data."""
    at, with_index = 0, False
    while at < size:
        file.seek(at)
        head = file.read(16)
        length, kind = struct.unpack_from(">I4s", head)
        if kind not in _MOVIE_BOXES:
            return True if with_index else None
        with_index = with_index or kind == b"moov"
        if length == 1:
            (length,) = struct.unpack_from(">Q", head, 8)
        if length < 8:  # extends to the end of the file
            return None
        at += length
    return at == size and with_index


def _matroska(file: BinaryIO, size: int) -> bool | None:
    """Check the length of the segment, which is unknown in recordings that were not closed."""
    at = 0
    for _ in range(_MOST_ELEMENTS):
        file.seek(at)
        head = file.read(12)
        is_segment = head.startswith(_SEGMENT)
        if not is_segment and not head.startswith(_EBML):
            return None
        width = 9 - head[4].bit_length()
        length = int.from_bytes(head[4 : 4 + width], "big") & ((1 << 7 * width) - 1)
        if is_segment:
            return None if length == (1 << 7 * width) - 1 else at + 4 + width + length <= size
        at += 4 + width + length
    return None


def _jpeg_2000(file: BinaryIO, size: int) -> bool | None:
    if file.read(1) != b"\xff":
        return _boxes(file, size)
    return bool(_ends_with(b"\xff\xd9")(file, size))


def _ends_with(mark: bytes) -> Callable[[BinaryIO, int], bool | None]:
    """Return a check for a mark at the end, which other bytes may follow."""

    def whole(file: BinaryIO, size: int) -> bool | None:
        file.seek(max(0, size - len(mark)))
        return file.read() == mark or None

    return whole


def _bitmap(file: BinaryIO, size: int) -> bool | None:
    """Check the length in the header, which some writers leave at 0."""
    (length,) = struct.unpack_from("<I", file.read(6), 2)
    return bool(length <= size) if length else None


def _icons(file: BinaryIO, size: int) -> bool:
    (count,) = struct.unpack_from("<H", file.read(6), 4)
    entries = struct.iter_unpack("<8xII", file.read(16 * count))
    return all(start + length <= size for length, start in entries)


def _mac_icons(file: BinaryIO, size: int) -> bool:
    (length,) = struct.unpack_from(">I", file.read(8), 4)
    return bool(length <= size)


_TELL: dict[str, Callable[[BinaryIO, int], bool | None]] = {
    "WEBP": _riff,
    "AVIF": _boxes,
    "JPEG2000": _jpeg_2000,
    "BMP": _bitmap,
    "ICO": _icons,
    "CUR": _icons,
    "ICNS": _mac_icons,
    "PNG": _ends_with(b"\0\0\0\0IEND\xaeB`\x82"),
    "MP4": _movie,
    "MOV": _movie,
    "MKV": _matroska,
    "AVI": _riff,
    "GIF": _ends_with(b";"),
    "JPEG": _ends_with(b"\xff\xd9"),
}
