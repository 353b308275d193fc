"""Reads the directory of a zip archive entry by entry, whatever number of members it has."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from ppcli.errors import ErrorCode
from ppcli.files import OpenFile
from ppcli.inputs.containers.member_files import ContainerError, read_exactly

_END, _END_SIGNATURE = struct.Struct("<4s4H2LH"), b"PK\5\6"
_END_64, _END_64_SIGNATURE = struct.Struct("<4sQ2H2L4Q"), b"PK\6\6"
_LOCATOR, _LOCATOR_SIGNATURE = struct.Struct("<4sLQL"), b"PK\6\7"
_ENTRY, _ENTRY_SIGNATURE = struct.Struct("<4s6H3L5H2L"), b"PK\1\2"
_LOCAL, LOCAL_SIGNATURE = struct.Struct("<4s5H3L2H"), b"PK\3\4"
LOCAL_BYTES = _LOCAL.size
_LONGEST_COMMENT = 0xFFFF
_ALL_ONES_16, _ALL_ONES_32 = 0xFFFF, 0xFFFFFFFF
_ZIP64_EXTRA = 1
_UTF_8, _SIZES_FOLLOW = 0x800, 0x8
_DEFLATE = 8
_DESCRIPTORS = (12, 16, 20, 24)  # with or without a signature, of small or large archives
_BLOCK = 1 << 16


class ZipEntry(NamedTuple):
    """A member of a zip archive, as the directory describes it.

    Attributes:
        name: as `zipfile` decodes it; bytes that are not UTF-8 are surrogates.
        offset: of its local header in the file.
        compressed: bytes in the archive.
        size: bytes of the member.
        method: number of the compression method.
        crc: CRC-32 of the member.
        flags: of the member.
    """

    name: str
    offset: int
    compressed: int
    size: int
    method: int
    crc: int
    flags: int


class _End(NamedTuple):
    """Where the directory is.

    Attributes:
        place: its first byte in the file.
        size: in bytes.
        prepended: bytes before the archive.
    """

    place: int
    size: int
    prepended: int


def zip_entries(file: OpenFile) -> Iterator[ZipEntry]:
    """Yield the entries of the directory, in its order.

    Without a directory, as in a file that is cut off, those members are yielded whose local headers
    can be followed from the start.

    Raises:
        ContainerError: the archive is damaged, after the entries that could be read; it is no
            zip archive; or it is one of several volumes.
    """
    end = _find_end(file)
    if end is not None:
        yield from _directory(file, end)
        return
    found = 0
    for entry in _local_entries(file):
        yield entry
        found += 1
    if not found:
        file.seek(0)
        start = file.read(len(LOCAL_SIGNATURE))
        if not start:
            raise ContainerError(ErrorCode.EMPTY, "the file is empty")
        if start == LOCAL_SIGNATURE:
            raise ContainerError(ErrorCode.TRUNCATED, "the archive is cut off in its first member")
        raise ContainerError(ErrorCode.CORRUPT, "it is not a zip archive, or only the end of one")
    raise ContainerError(
        ErrorCode.TRUNCATED,
        f"the archive has no directory, as if it was cut off; members after {found:,} may be lost",
    )


def _find_end(file: OpenFile) -> _End | None:
    """Return where the directory is; None if there is no record of it."""
    length = file.seek(0, 2)
    begin = max(0, length - _LONGEST_COMMENT - _END.size)
    tail = read_exactly(file, begin, length - begin)
    at = tail.rfind(_END_SIGNATURE, 0, max(0, len(tail) - _END.size + len(_END_SIGNATURE)))
    if at < 0:
        return None
    _, disk, first_disk, here, total, size, offset, _ = _END.unpack_from(tail, at)
    place = begin + at
    if 0 < disk < _ALL_ONES_16 or 0 < first_disk < _ALL_ONES_16 or here != total:
        raise _volumes()
    end_64 = _find_end_64(file, place)
    if end_64 is not None:
        place, size, offset = end_64
    begins = place - size
    if begins < 0 or begins < offset:
        raise ContainerError(ErrorCode.CORRUPT, "the directory of the archive is damaged")
    return _End(begins, size, begins - offset)


def _find_end_64(file: OpenFile, end: int) -> tuple[int, int, int] | None:
    """Return the place of the record for large archives, size and offset of the directory."""
    if end < _LOCATOR.size:
        return None
    locator = _LOCATOR.unpack(read_exactly(file, end - _LOCATOR.size, _LOCATOR.size))
    if locator[0] != _LOCATOR_SIGNATURE:
        return None
    if locator[3] > 1:
        raise _volumes()
    for place in (end - _LOCATOR.size - _END_64.size, locator[2]):
        if 0 <= place <= end - _END_64.size:
            record = _END_64.unpack(read_exactly(file, place, _END_64.size))
            if record[0] == _END_64_SIGNATURE:
                return place, record[8], record[9]
    raise ContainerError(ErrorCode.CORRUPT, "the directory of the archive is damaged")


def _volumes() -> ContainerError:
    return ContainerError(
        ErrorCode.UNSUPPORTED_FORMAT,
        "the archive is split into several volumes; join them into one file",
    )


def _directory(file: OpenFile, end: _End) -> Iterator[ZipEntry]:
    place, stop, number = end.place, end.place + end.size, 0
    while place < stop:
        file.seek(place)
        head = file.read(_ENTRY.size)
        if len(head) < _ENTRY.size or not head.startswith(_ENTRY_SIGNATURE):
            raise ContainerError(
                ErrorCode.CORRUPT,
                f"the directory of the archive is damaged after {number:,} entries",
            )
        fields = _ENTRY.unpack(head)
        flags, method = fields[3], fields[4]
        crc, compressed, size, name, extra, comment = fields[7:13]
        more = file.read(name + extra)
        numbers = _large(more[name:], (size, compressed, fields[16]))
        if numbers is None or len(more) < name + extra:
            raise ContainerError(
                ErrorCode.CORRUPT,
                f"the directory of the archive is damaged after {number:,} entries",
            )
        size, compressed, offset = numbers
        text = _text(more[:name], flags)
        yield ZipEntry(text, offset + end.prepended, compressed, size, method, crc, flags)
        place += _ENTRY.size + name + extra + comment
        number += 1


def _large(extra: bytes, numbers: tuple[int, int, int]) -> tuple[int, int, int] | None:
    """Return size, compressed size and offset, of which large ones are in the extra field.

    It is None if one is missing there.
    """
    if _ALL_ONES_32 not in numbers:
        return numbers
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, place)
        if kind == _ZIP64_EXTRA:
            found = iter(
                struct.unpack_from(
                    f"<{min(length, len(extra) - place - 4) // 8}Q", extra, place + 4
                )
            )
            size, compressed, offset = (
                next(found, None) if number == _ALL_ONES_32 else number for number in numbers
            )
            if size is None or compressed is None or offset is None:
                return None
            return size, compressed, offset
        place += 4 + length
    return numbers


def _text(raw: bytes, flags: int) -> str:
    return raw.decode("utf-8", "surrogateescape") if flags & _UTF_8 else raw.decode("cp437")


def _local_entries(file: OpenFile) -> Iterator[ZipEntry]:
    """Follow the local headers from the start of the file, as far as they are whole."""
    length, place = file.seek(0, 2), 0
    while place + _LOCAL.size <= length:
        fields = _LOCAL.unpack(read_exactly(file, place, _LOCAL.size))
        signature, _, flags, method, _, _, crc, compressed, size, name, extra = fields
        begin = place + _LOCAL.size + name + extra
        if signature != LOCAL_SIGNATURE or begin > length:
            return
        more = read_exactly(file, place + _LOCAL.size, name + extra)
        size, compressed, _ = _large(more[name:], (size, compressed, 0)) or (size, compressed, 0)
        end = begin + compressed
        if flags & _SIZES_FOLLOW and not compressed:
            found = _end_of_deflated(file, begin) if method == _DEFLATE else None
            if found is None:
                return
            end, size, crc = found
            compressed = end - begin
            end += _descriptor_bytes(
                read_exactly(file, end, min(_DESCRIPTORS[-1] + 2, length - end))
            )
        if end > length:
            return
        yield ZipEntry(_text(more[:name], flags), place, compressed, size, method, crc, flags)
        place = end


def _descriptor_bytes(following: bytes) -> int:
    """Return how many bytes repeat the sizes of a member after its data; their number varies."""
    likely = (size for size in _DESCRIPTORS if following[size : size + 2] == b"PK")
    return next(likely, _DESCRIPTORS[0])


def _end_of_deflated(file: OpenFile, begin: int) -> tuple[int, int, int] | None:
    """Return the end of compressed data of unknown length, its decompressed size and its CRC-32.

    It is None if the data ends early or is damaged.
    """
    decompressor, size, crc = zlib.decompressobj(-zlib.MAX_WBITS), 0, 0
    file.seek(begin)
    read = 0
    try:
        while not decompressor.eof:
            block = decompressor.unconsumed_tail
            if not block:
                block = file.read(_BLOCK)
                read += len(block)
                if not block:
                    return None
            data = decompressor.decompress(block, 16 * _BLOCK)
            size += len(data)
            crc = zlib.crc32(data, crc)
    except zlib.error:
        return None
    return begin + read - len(decompressor.unused_data), size, crc
