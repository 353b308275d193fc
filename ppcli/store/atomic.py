"""Files that exist whole or not at all. All writing to disk goes through here."""

import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, cast

import xxhash

from ppcli.errors import OutputError

TEMPORARY_SUFFIX = ".pixelprune-tmp"


class _DigestingFile(io.BufferedWriter):
    """Hashes what is written, in order; Parquet and text writers never seek.

    Raises:
        OutputError: from `write`, naming the file that is to be.
    """

    def __init__(self, raw: io.FileIO, path: str) -> None:
        super().__init__(raw)
        self.size = 0
        self._path = path
        self._hash = xxhash.xxh3_128()

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        view = memoryview(data).cast("B")
        self._hash.update(view)
        self.size += view.nbytes
        with as_output_error(self._path):
            return super().write(view)

    def flush(self) -> None:
        with as_output_error(self._path):
            super().flush()

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


class PendingFile:
    """A file that is written under a temporary name until it is put in place.

    Args of the constructor:
        path: of the file that is to be.
        folder: where it is until then, of the same disk; by default where it is to be.

    Raises:
        OutputError: from every method, when the system refuses, with the cause.
    """

    def __init__(self, path: str, folder: str | None = None) -> None:
        self.path = path
        folder = os.path.dirname(path) if folder is None else folder
        self._temporary = os.path.join(folder, f".{secrets.token_hex(8)}{TEMPORARY_SUFFIX}")
        with as_output_error(path):
            self._file = _DigestingFile(io.FileIO(self._temporary, "xb"), path)

    @property
    def file(self) -> BinaryIO:
        """What to write to."""
        return cast(BinaryIO, self._file)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._file.size

    def hexdigest(self) -> str:
        """XXH3-128 of the bytes written so far."""
        return self._file.hexdigest()

    def finish(self) -> None:
        """Bring all bytes to the disk; the file keeps its temporary name."""
        with as_output_error(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def put_in_place(self, path: str | None = None, replace: bool = True) -> None:
        """Give the finished file its name, replacing what had it or refusing to."""
        target = path or self.path
        with as_output_error(self.path):
            if replace or not _claimed(self._temporary, target):
                os.replace(self._temporary, target)
            sync_folder(os.path.dirname(self.path))

    def discard(self) -> None:
        """Remove the temporary file, if it is still there."""
        with suppress(OSError):
            self._file.raw.close()
        with suppress(OSError):
            os.unlink(self._temporary)


def _claimed(temporary: str, target: str) -> bool:
    """Give the file a second name that must be free; false where there are no second names."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise OutputError(f"{target} has come into being meanwhile; it is left alone") from None
    except OSError:
        return False
    os.unlink(temporary)
    return True


@contextmanager
def atomic_file(path: str, replace: bool = True) -> Iterator[BinaryIO]:
    """Write a file under a temporary name in its folder; put it in place when all went well.

    The bytes are on disk before the name is (fsync, then rename). When the block raises, the
    temporary file is removed and what stood under the name before stays.

    Args:
        path: of the file that is to be.
        replace: whether it may take the place of another.

    Raises:
        OutputError: when the file cannot be written, with the cause.
    """
    pending = PendingFile(path)
    try:
        yield pending.file
        pending.finish()
        pending.put_in_place(replace=replace)
    finally:
        pending.discard()


@contextmanager
def as_output_error(path: str) -> Iterator[None]:
    """Turn what the system says of a write into an `OutputError` that names the file."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def file_digest(path: str) -> tuple[int, str]:
    """Size and XXH3-128 of a file.

    Raises:
        OSError: when it cannot be read.
    """
    state, size = xxhash.xxh3_128(), 0
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
            size += len(block)
    return size, state.hexdigest()


def sync_folder(folder: str) -> None:
    """Make renames in a folder durable, where the system knows how."""
    if os.name != "posix":
        return
    handle = os.open(folder or ".", os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
