"""Files and folders on this machine, as places of datasets."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from filelock import FileLock, Timeout

from ppcli.errors import OutputError
from ppcli.store.atomic import TEMPORARY_SUFFIX, PendingFile, file_digest, sync_folder
from ppcli.store.journal import JournalFile, read_own_file
from ppcli.store.places.place import JOURNAL, LOCK, NewFile, Place


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """A path, which need not exist.

    Attributes:
        path: the path, as `os.fsdecode` returns it.
        shown: what people read instead of the path of a copy; empty for the path.
    """

    path: str
    shown: str = field(default="", compare=False)

    @property
    def is_far(self) -> bool:
        """No."""
        return False

    def __str__(self) -> str:
        return self.shown or self.path

    def __fspath__(self) -> str:
        return self.path

    def __truediv__(self, name: str) -> "LocalPlace":
        return LocalPlace(os.path.join(self.path, name))

    def __add__(self, suffix: str) -> "LocalPlace":
        return LocalPlace(self.path + suffix)

    def address(self) -> str:
        """Return the absolute path."""
        return os.path.abspath(self.path)

    def is_file(self) -> bool:
        """Return whether there is a regular file."""
        return os.path.isfile(self.path)

    def is_folder(self) -> bool:
        """Return whether there is a folder."""
        return os.path.isdir(self.path)

    def names(self) -> list[str]:
        """Return the names of the files and folders in this folder."""
        return os.listdir(self.path)

    def size(self) -> int:
        """Return the size of the file in bytes."""
        return os.path.getsize(self.path)

    def digest(self) -> tuple[int, str]:
        """Return size and XXH3-128 (hexadecimal) of the file."""
        return file_digest(self.path)

    def read(self) -> bytes:
        """Read the whole file; see `Place.read`."""
        return read_own_file(self.path)

    def open(self) -> Any:  # noqa: ANN401  # Arrow has no types
        """Open the file for Arrow, by the bytes of its name, which need not be UTF-8."""
        import pyarrow as pa

        return pa.OSFile(os.fsencode(self.path))

    @contextmanager
    def near(self) -> Iterator[Place]:
        """Return the place itself."""
        yield self

    def new_file(self) -> NewFile:
        """Start to write the file, under a temporary name."""
        return PendingFile(self.path)

    def delete(self) -> None:
        """Delete the file."""
        os.unlink(self.path)

    def replace(self, target: Place) -> None:
        """Rename the file to that of the target."""
        assert isinstance(target, LocalPlace)
        os.replace(self.path, target.path)
        sync_folder(os.path.dirname(target.path))

    def delete_temporary(self) -> None:
        """Delete the temporary files of killed runs in this folder."""
        with suppress(FileNotFoundError):
            for name in self.names():
                if name.endswith(TEMPORARY_SUFFIX):
                    (self / name).delete()

    def make_folder(self) -> None:
        """Make the folder, and those above it."""
        os.makedirs(self.path, exist_ok=True)

    def remove_folder(self) -> None:
        """Remove the folder if it is empty."""
        os.rmdir(self.path)

    @contextmanager
    def lock(self) -> Iterator[Place]:
        """Hold the lock file in this folder; the system releases it when the process dies."""
        lock = FileLock(os.path.join(self.path, LOCK), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise OutputError(f"another run is writing to {self}; wait until it ends") from None
        try:
            yield self
        finally:
            lock.release()

    def journal(self) -> JournalFile:
        """Return the journal of this dataset folder."""
        return JournalFile(os.path.join(self.path, JOURNAL))

    def free_space(self) -> int | None:
        """Return the free space of the disk in bytes."""
        with suppress(OSError):
            return shutil.disk_usage(self.path).free
        return None
