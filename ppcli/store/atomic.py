"""Files that exist whole or not at all. All writing to disk goes through here."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import BinaryIO, cast

import xxhash

from ppcli.errors import OutputError

TEMPORARY_SUFFIX = ".pixelprune-tmp"
_counter = count()


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
        with writing(self._path):
            return super().write(view)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


class PendingFile:
    """A file that is written under a temporary name until it is put in place.

    Raises:
        OutputError: from every method, when the system refuses, with the cause.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._temporary = os.path.join(
            os.path.dirname(path), f".{os.getpid()}-{next(_counter)}{TEMPORARY_SUFFIX}"
        )
        with writing(path):
            self._file = _DigestingFile(io.FileIO(self._temporary, "wb"), path)

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
        with writing(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def put_in_place(self, path: str | None = None) -> None:
        """Give the finished file its name, replacing what had it."""
        with writing(self.path):
            os.replace(self._temporary, path or self.path)
            _sync_folder(os.path.dirname(self.path))

    def discard(self) -> None:
        """Remove the temporary file, if it is still there."""
        with suppress(OSError):
            self._file.raw.close()
        with suppress(OSError):
            os.unlink(self._temporary)


@contextmanager
def atomic_file(path: str) -> Iterator[BinaryIO]:
    """Write a file under a temporary name in its folder; put it in place when all went well.

    The bytes are on disk before the name is (fsync, then rename). When the block raises, the
    temporary file is removed and what stood under the name before stays.

    Raises:
        OutputError: when the file cannot be written, with the cause.
    """
    pending = PendingFile(path)
    try:
        yield pending.file
        pending.finish()
        pending.put_in_place()
    finally:
        pending.discard()


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Turn what the system says of a write into an `OutputError` that names the file."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def digest_of(path: str) -> tuple[int, str]:
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


def _sync_folder(folder: str) -> None:
    """Make renames in a folder durable, where the system knows how."""
    if os.name != "posix":
        return
    handle = os.open(folder or ".", os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
