"""Compressed tar archives as streams that go forward only, and give up on bombs."""

import gzip
import zlib
from types import TracebackType
from typing import BinaryIO, cast

from ppcli.errors import ErrorCode, ImageError, bounded
from ppcli.files import FileState, InputFile
from ppcli.inputs.containers.container_kinds import ContainerKind
from ppcli.inputs.containers.member_files import ContainerError, open_container

_BLOCK = 1 << 20
_LARGE, _LARGEST_RATIO = 16 << 30, 200
_PADDING = 16 << 20  # behind the end mark, which is read to compare checksums


class ForwardStream:
    """The decompressed bytes of a compressed tar archive, or those of a plain one.

    Args of the constructor:
        container: handle of the archive.
        kind: its kind.
        listed: see `open_container`.

    Attributes:
        state: state of the archive.
    """

    def __init__(
        self, container: InputFile, kind: ContainerKind, listed: FileState | None = None
    ) -> None:
        self._archive = open_container(container, listed)
        self.state: FileState = self._archive.state
        self._position = 0
        self._raw = _decompressed(self._archive, kind)

    def __enter__(self) -> "ForwardStream":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()

    def tell(self) -> int:
        """Return how many bytes were read or skipped."""
        return self._position

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, fewer only at the end.

        Raises:
            ContainerError: the archive is damaged or cut off, or unpacks to unreasonably much.
        """
        try:
            data = self._raw.read(size)
        except EOFError:
            raise ContainerError(
                ErrorCode.TRUNCATED, f"the archive is cut off {self._where()}"
            ) from None
        except (OSError, ValueError, zlib.error) as error:
            raise self._damage(error) from None
        self._position += len(data)
        self._refuse_bombs()
        return data

    def _damage(self, error: Exception) -> ContainerError:
        reason = bounded(str(error))
        if "runcated" in reason:
            return ContainerError(ErrorCode.TRUNCATED, f"the archive is cut off {self._where()}")
        return ContainerError(
            ErrorCode.CORRUPT, f"the archive is damaged {self._where()}: {reason}"
        )

    def _where(self) -> str:
        return f"after {self._position:,} decompressed bytes"

    def _refuse_bombs(self) -> None:
        if self._position > _LARGE and self._position > _LARGEST_RATIO * self._archive.tell():
            raise ContainerError(
                ErrorCode.TOO_LARGE,
                f"the archive unpacks to more than {_LARGEST_RATIO} times its size; what follows "
                f"the first {_LARGE >> 30} GiB is not read",
            )

    def seek(self, offset: int, /) -> int:
        """Skip bytes up to an offset.

        Raises:
            ContainerError: see `read`; or the stream ends before.
        """
        if offset < self._position:
            raise AssertionError("a stream goes forward only")
        while self._position < offset:
            if not self.read(min(_BLOCK, offset - self._position)):
                raise ContainerError(ErrorCode.TRUNCATED, "the archive is cut off in a member")
        return self._position

    def read_member(self, offset: int, size: int) -> bytes:
        """Return a part of the stream.

        Raises:
            ImageError: it cannot be read.
        """
        self.seek(offset)
        data = self.read(size)
        if len(data) < size:
            raise ImageError(ErrorCode.TRUNCATED, "its container ends before it")
        return data

    def check_end(self) -> None:
        """Read the padding at the end, so that the checksums are compared.

        Raises:
            ContainerError: one is wrong, or the end is missing.
        """
        end = self._position + _PADDING
        while self._position < end and self.read(_BLOCK):
            pass


def _decompressed(archive: BinaryIO, kind: ContainerKind) -> BinaryIO:
    match kind:
        case ContainerKind.TAR_GZIP:
            return cast("BinaryIO", gzip.GzipFile(fileobj=archive))
        case ContainerKind.TAR_ZSTD:
            import pyarrow as pa

            return cast("BinaryIO", pa.CompressedInputStream(pa.PythonFile(archive, "r"), "zstd"))
    return archive
