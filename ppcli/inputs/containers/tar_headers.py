"""Reads the headers of a tar archive one by one, and tells its end from damage."""

import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, Protocol

from ppcli.errors import ErrorCode, ImageError, bounded
from ppcli.inputs.containers.member_files import ContainerError

_LARGEST_HEADER = 1 << 20  # of names and PAX records


class TarEntry(NamedTuple):
    """A member of a tar archive that is a file, or a link.

    Attributes:
        name: exactly as stored; bytes that are not UTF-8 are surrogates.
        offset: of its first byte in the archive, after decompression.
        size: in bytes.
        is_link: it is a link, a device or something unknown, not a file.
        is_sparse: it is stored without its empty parts.
    """

    name: str
    offset: int
    size: int
    is_link: bool
    is_sparse: bool


class ReadFrom(Protocol):
    """A stream that can be read and moved forward."""

    def read(self, size: int, /) -> bytes:
        """Return up to so many bytes."""

    def seek(self, offset: int, /) -> int:
        """Move forward."""

    def tell(self) -> int:
        """Return the position."""


def tar_entries(file: "ReadFrom | BinaryIO") -> Iterator[TarEntry]:
    """Yield the files and links of an archive, in order. Folders are left out.

    Between two entries the file may be read forward to the end of the first one's data.

    Raises:
        ContainerError: the archive is damaged, after the entries that could be read, or it is no
            tar archive.
        ImageError: it cannot be read.
    """
    headers, number = _Headers(file), 0
    while (info := headers.following(number)) is not None:
        number += 1
        if info.isdir():
            continue
        yield TarEntry(info.name, info.offset_data, info.size, not info.isreg(), info.issparse())


class _Headers(tarfile.TarFile):
    """Parses headers with the standard library, but ends only at an end mark."""

    def __init__(self, file: "ReadFrom | BinaryIO") -> None:
        self._file = file
        super().__init__(fileobj=_Limited(file), encoding="utf-8", errors="surrogateescape")  # type: ignore[arg-type]

    def next(self) -> None:
        """Read nothing when the file is opened."""

    def following(self, number: int) -> tarfile.TarInfo | None:
        """Return the next header; None at the end mark.

        Args:
            number: of headers before it.
        """
        begin = self.offset
        try:
            if self._file.tell() != begin:
                self._file.seek(begin)
        except (OverflowError, ValueError, OSError):
            raise ContainerError(
                ErrorCode.TRUNCATED, "the archive is cut off in a member"
            ) from None
        try:
            info = self.tarinfo.fromtarfile(self)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            return None
        except ImageError:
            raise
        except tarfile.EmptyHeaderError:  # type: ignore[attr-defined]
            if not number:
                raise ContainerError(ErrorCode.EMPTY, "the file is empty") from None
            raise ContainerError(
                ErrorCode.TRUNCATED,
                f"the archive is cut off: it has no end mark after {number:,} entries",
            ) from None
        except Exception as error:
            raise _damage(error, number) from None
        if self.offset <= begin:
            raise _damage(ValueError("a size is negative"), number)
        return info


def _damage(error: Exception, number: int) -> ContainerError:
    if isinstance(error, tarfile.TruncatedHeaderError) and number:  # type: ignore[attr-defined]
        return ContainerError(
            ErrorCode.TRUNCATED, f"the archive is cut off in a header after {number:,} entries"
        )
    reason = bounded(str(error) or type(error).__name__)
    if not number:
        return ContainerError(ErrorCode.CORRUPT, f"it is not a tar archive ({reason})")
    return ContainerError(
        ErrorCode.CORRUPT, f"the archive is damaged after {number:,} entries ({reason})"
    )


class _Limited:
    """A file whose headers may not be of any size."""

    def __init__(self, file: "ReadFrom | BinaryIO") -> None:
        self._file = file
        self.tell, self.seek = file.tell, file.seek
        self.mode = "rb"

    def read(self, size: int) -> bytes:
        if size > _LARGEST_HEADER:
            raise ValueError("a header is too large")
        return self._file.read(size)
