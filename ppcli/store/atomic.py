"""Atomic files: written under a temporary name, synced, then renamed. All writes use them."""

import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, cast

import xxhash

from ppcli.errors import OutputError
from ppcli.store.places.place import NewFile

TEMPORARY_SUFFIX = ".pixelprune-tmp"


class HashingFile(io.BufferedWriter):
    """Hashes the bytes as they are written; Parquet and text writers never seek.

    Raises:
        OutputError: from `write` and `flush`, naming the final file.

    Args of the constructor:
        raw: the file.
        path: what messages name.
    """

    def __init__(self, raw: io.FileIO, path: object) -> None:
        super().__init__(raw)
        self.size = 0
        self._path = path
        self._hash = xxhash.xxh3_128()

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        """Write bytes, and hash them."""
        view = memoryview(data).cast("B")
        self._hash.update(view)
        self.size += view.nbytes
        with as_output_error(self._path):
            return super().write(view)

    def flush(self) -> None:
        """Give all bytes to the system."""
        with as_output_error(self._path):
            super().flush()

    def hexdigest(self) -> str:
        """Return the XXH3-128 of the bytes written so far."""
        return self._hash.hexdigest()


class PendingFile:
    """A file with a temporary name until `put_in_place`.

    Args of the constructor:
        path: final path.
        folder: folder of the temporary file, on the same disk; by default that of `path`.
        replace: replace an existing file instead of raising `OutputError`.

    Raises:
        OutputError: from every method, when the system reports an error, which is the cause.
    """

    def __init__(self, path: str, folder: str | None = None, replace: bool = True) -> None:
        self.path = path
        self._replace = replace
        folder = os.path.dirname(path) if folder is None else folder
        self._temporary = os.path.join(folder, f".{secrets.token_hex(8)}{TEMPORARY_SUFFIX}")
        with as_output_error(path):
            self._file = HashingFile(io.FileIO(self._temporary, "xb"), path)

    @property
    def file(self) -> BinaryIO:
        """The file to write to."""
        return cast(BinaryIO, self._file)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._file.size

    def hexdigest(self) -> str:
        """XXH3-128 of the bytes written so far."""
        return self._file.hexdigest()

    def finish(self) -> None:
        """Sync all bytes to the disk; the file keeps its temporary name."""
        with as_output_error(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def put_in_place(self) -> None:
        """Rename the finished file to its final path."""
        with as_output_error(self.path):
            if self._replace or not _link_new(self._temporary, self.path):
                os.replace(self._temporary, self.path)
            sync_folder(os.path.dirname(self.path))

    def discard(self) -> None:
        """Delete the temporary file if it still exists."""
        with suppress(OSError):
            self._file.raw.close()
        with suppress(OSError):
            os.unlink(self._temporary)


def _link_new(temporary: str, target: str) -> bool:
    """Rename by a hard link, which fails if `target` exists; return False without hard links."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise OutputError(f"{target} was created during the run; it was not replaced") from None
    except OSError:
        return False
    os.unlink(temporary)
    return True


@contextmanager
def atomic_file(path: str, replace: bool = True) -> Iterator[BinaryIO]:
    """Write a file on this machine atomically; see `whole_file`.

    Args:
        path: path of the file.
        replace: replace an existing file instead of raising `OutputError`.

    Raises:
        OutputError: the file cannot be written; the system's error is the cause.
    """
    with whole_file(PendingFile(path, replace=replace)) as file:
        yield file


@contextmanager
def whole_file(pending: NewFile) -> Iterator[BinaryIO]:
    """Write a new file from start to end, and put it in place.

    All bytes are durable before the file gets its name. If the block raises, they are deleted and
    an existing file stays as it was.

    Raises:
        OutputError: the file cannot be written; the system's error is the cause.
    """
    try:
        yield pending.file
        pending.finish()
        pending.put_in_place()
    finally:
        pending.discard()


@contextmanager
def as_output_error(path: object) -> Iterator[None]:
    """Convert an `OSError` of a write into an `OutputError` that names the file."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def file_digest(path: str) -> tuple[int, str]:
    """Return size and XXH3-128 (hexadecimal) of a file.

    Raises:
        OSError: the file cannot be read.
    """
    state, size = xxhash.xxh3_128(), 0
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
            size += len(block)
    return size, state.hexdigest()


def sync_folder(folder: str) -> None:
    """Make renames in a folder durable, where the system supports it."""
    if os.name != "posix":
        return
    handle = os.open(folder or ".", os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
