"""Members of zip archives, as input files: each is decompressed by itself, within limits."""

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from ppcli.errors import ErrorCode, ImageError
from ppcli.files import FileState, InputFile, OpenFile
from ppcli.inputs.ahead import taken
from ppcli.inputs.containers.member_files import (
    check_member_size,
    finished,
    opened_bytes,
    read_range,
    start_range,
)
from ppcli.inputs.containers.zip_directory import LOCAL_BYTES, LOCAL_SIGNATURE, ZipEntry

_STORED, _DEFLATE, _BZIP2, _LZMA, _AES = 0, 8, 12, 14, 99
_ENCRYPTED = 0x1 | 0x40
_LARGEST_DICTIONARY = 1 << 28
_USUAL_EXTRA = 128
_METHODS = {
    1: "Shrink",
    6: "Implode",
    9: "Deflate64",
    93: "Zstandard",
    95: "XZ",
    97: "WavPack",
    98: "PPMd",
}


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A member of a zip archive.

    Attributes:
        container: handle of the archive.
        name: path of the archive and name of the member.
        entry: where it is, and how it is compressed.
        container_state: state of the archive when its members were listed.
    """

    container: InputFile
    name: str
    entry: ZipEntry
    container_state: FileState
    local_path: None = field(default=None, init=False)

    @property
    def is_far(self) -> bool:
        """Whether the archive is on another machine."""
        return self.container.is_far

    @property
    def listed(self) -> FileState:
        """The state of the member."""
        return self.state()

    def open(self) -> OpenFile:
        """Decompress the member and open its bytes.

        Raises:
            ImageError: it is damaged, encrypted, too large, or compressed in an unsupported way;
                or the archive cannot be read or has changed.
        """
        if (reading := taken(self)) is not None:
            raw = finished(reading, self.container)
        else:
            raw = self._read(_likely_bytes(self.entry))
        needed = _needed_bytes(raw, self.entry)
        if needed > len(raw):
            raw = self._read(needed)
        return opened_bytes(unpacked(raw, self.entry), self.state())

    def start(self) -> "Future[bytes]":
        """Begin to read the member, in the background."""
        likely = _likely_bytes(self.entry)
        return start_range(self.container, self.container_state, self.entry.offset, likely, True)

    def _read(self, size: int) -> bytes:
        check_member_size(self.entry.size)
        return read_range(self.container, self.container_state, self.entry.offset, size, True)

    def state(self) -> FileState:
        """Return the size of the member, and its checksum: both stay when others are added."""
        return FileState(self.entry.size, self.entry.crc)


def _likely_bytes(entry: ZipEntry) -> int:
    """Return how many bytes a member takes with its header, whose length is not known before."""
    return LOCAL_BYTES + 4 * len(entry.name) + _USUAL_EXTRA + entry.compressed


def _needed_bytes(raw: bytes, entry: ZipEntry) -> int:
    """Return how many bytes a member takes with its header.

    Raises:
        ImageError: it has no header.
    """
    if not raw.startswith(LOCAL_SIGNATURE) or len(raw) < LOCAL_BYTES:
        raise ImageError(ErrorCode.CORRUPT, "the member is damaged: it has no header")
    return _begin(raw) + entry.compressed


def _begin(raw: bytes) -> int:
    name, extra = struct.unpack_from("<2H", raw, LOCAL_BYTES - 4)
    return LOCAL_BYTES + int(name) + int(extra)


def unpacked(raw: bytes, entry: ZipEntry) -> bytes:
    """Return the bytes of a member.

    Args:
        raw: those in the archive, from its header on.
        entry: its entry in the directory.

    Raises:
        ImageError: see `ZipMember.open`.
    """
    begin = _begin(raw)
    data = raw[begin : begin + entry.compressed]
    if len(data) < entry.compressed:
        raise ImageError(ErrorCode.TRUNCATED, "its container ends before it")
    try:
        content = _decompressor(entry.method, data)(entry.size + 1)
    except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError) as error:
        raise ImageError(ErrorCode.CORRUPT, f"the member is damaged: {error}") from None
    if len(content) > entry.size:
        raise ImageError(
            ErrorCode.CORRUPT, f"the member is larger than its header says ({entry.size:,} bytes)"
        )
    if len(content) < entry.size:
        raise ImageError(
            ErrorCode.TRUNCATED,
            f"the member has {len(content):,} bytes instead of {entry.size:,}",
        )
    if zlib.crc32(content) != entry.crc:
        raise ImageError(ErrorCode.CORRUPT, "the member is damaged: its checksum is wrong")
    return content


def first_bytes(archive: OpenFile, entry: ZipEntry, number: int) -> bytes:
    """Return the first bytes of a member, fewer if it is short or cannot be decompressed.

    Raises:
        ImageError: the archive cannot be read.
    """
    try:
        refuse_unreadable(entry)
        archive.seek(entry.offset)
    except (ImageError, OSError, OverflowError, ValueError):
        return b""
    raw = archive.read(_likely_bytes(entry) - entry.compressed + min(entry.compressed, 2 * number))
    try:
        _needed_bytes(raw, entry)
        data = raw[_begin(raw) :]
        return _decompressor(entry.method, data)(number)[:number]
    except (ImageError, zlib.error, OSError, lzma.LZMAError, EOFError, ValueError):
        return b""


def refuse_unreadable(entry: ZipEntry) -> None:
    """Refuse members that cannot be decompressed.

    Raises:
        ImageError: the member is encrypted, or compressed with an unsupported method.
    """
    if entry.flags & _ENCRYPTED or entry.method == _AES:
        raise ImageError(ErrorCode.ENCRYPTED, "the member is encrypted")
    if entry.method not in (_STORED, _DEFLATE, _BZIP2, _LZMA):
        method = _METHODS.get(entry.method, f"number {entry.method}")
        raise ImageError(
            ErrorCode.UNSUPPORTED_FORMAT,
            f"the member is compressed with the method {method}, which is not supported; "
            "pack it again with Deflate",
        )


def _decompressor(method: int, data: bytes) -> Callable[[int], bytes]:
    """Return a function that returns at most so many decompressed bytes."""
    if method == _DEFLATE:
        return lambda most: zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, most)
    if method == _BZIP2:
        return lambda most: bz2.BZ2Decompressor().decompress(data, most)
    if method == _LZMA:
        return lambda most: _lzma(data, most)
    return lambda most: data[:most] if len(data) > most else data


def _lzma(data: bytes, most: int) -> bytes:
    """Decompress LZMA in the form that zip archives have: with its settings before it."""
    if len(data) < 9:
        raise EOFError("its header is cut off")
    length, packed, dictionary = struct.unpack_from("<HBL", data, 2)
    if length != 5 or packed >= 9 * 5 * 5 or dictionary > _LARGEST_DICTIONARY:
        raise ValueError("its LZMA settings are invalid")
    settings = {
        "id": lzma.FILTER_LZMA1,
        "lc": packed % 9,
        "lp": packed // 9 % 5,
        "pb": packed // 45,
        "dict_size": dictionary,
    }
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[settings]).decompress(data[9:], most)
