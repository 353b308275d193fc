"""Objects in a store, as places of datasets.

An object appears whole: it is made on this machine and uploaded. There are no folders, and nothing
is renamed: an object is copied inside the store, and then the old one is deleted.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

from ppcli.files import FileState
from ppcli.filesystems.changes import copy, remove
from ppcli.filesystems.objects import entries_of, find, read_part, start_reading, state_at, wait_for
from ppcli.filesystems.pieces import digest_of, pieces_of
from ppcli.filesystems.schemes import without_secrets
from ppcli.store.atomic import as_output_error
from ppcli.store.places.far_faults import as_far_output
from ppcli.store.places.far_file import FarFile
from ppcli.store.places.local_place import LocalPlace
from ppcli.store.places.object_journal import ObjectJournal
from ppcli.store.places.object_lock import ObjectLock
from ppcli.store.places.place import JOURNAL, LOCK, NewFile, Place
from ppcli.store.places.spooled_file import SPOOL, SpooledFile

_SMALL_BYTES = 1 << 20  # a smaller object is read with one request


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """A URL, where an object or a folder of objects need not exist.

    Attributes:
        url: the URL.
        held: the lock that the run holds; None if it only reads.
    """

    url: str = field(repr=False)
    held: ObjectLock | None = field(default=None, compare=False, repr=False)

    @property
    def is_far(self) -> bool:
        """Yes."""
        return True

    def __str__(self) -> str:
        return without_secrets(self.url)

    def __truediv__(self, name: str) -> "ObjectPlace":
        return replace(self, url=f"{self.url.rstrip('/')}/{name}")

    def __add__(self, suffix: str) -> "ObjectPlace":
        return replace(self, url=self.url.rstrip("/") + suffix)

    def address(self) -> str:
        """Return the URL."""
        return self.url

    def is_file(self) -> bool:
        """Return whether there is an object."""
        with self.faults():
            return state_at(self.url) is not None

    def is_folder(self) -> bool:
        """Return whether there are objects below the URL, or an empty bucket."""
        with self.faults():
            found = find(self.url)
            return found is not None and found.state is None

    def names(self) -> list[str]:
        """Return the names of the objects and folders in this folder, if there is one."""
        with suppress(FileNotFoundError), self.faults():
            return [one.name for one in entries_of(self.url)]
        return []

    def size(self) -> int:
        """Return the size of the object in bytes."""
        return self._state().size

    def digest(self) -> tuple[int, str]:
        """Return size and XXH3-128 (hexadecimal) of the object, all of which is read."""
        state = self._state()
        with self.faults():
            return state.size, digest_of(self.url, state)

    def read(self) -> bytes:
        """Read the whole object."""
        with self.faults():
            got = wait_for(start_reading(self.url, None), self.url)
        return b"".join(self._pieces(got.state)) if got.content is None else got.content

    def open(self) -> Any:  # noqa: ANN401  # Arrow has no types
        """Open the object for Arrow, which reads those parts that it needs."""
        import pyarrow as pa

        state = self._state()
        if state.size <= _SMALL_BYTES:
            return pa.BufferReader(b"".join(self._pieces(state)))
        return pa.PythonFile(FarFile(partial(self._part, state), state.size), mode="r")

    @contextmanager
    def near(self) -> Iterator[Place]:
        """Return a copy in the temporary folder; the place itself if there is no object."""
        try:
            state = self._state()
        except FileNotFoundError:
            yield self
            return
        with as_output_error(SPOOL):
            folder = TemporaryDirectory(prefix="pixelprune-")
        with folder:
            path = os.path.join(folder.name, "copy")
            with as_output_error(SPOOL), open(path, "wb") as file:
                for piece in self._pieces(state):
                    file.write(piece)
            yield LocalPlace(path, str(self))

    def new_file(self) -> NewFile:
        """Start to write the object, into a temporary file of this machine."""
        return SpooledFile(self.url, self.check)

    def delete(self) -> None:
        """Delete the object."""
        self.check()
        with self.faults():
            remove([self.url])

    def replace(self, target: Place) -> None:
        """Copy the object over the target, then delete it."""
        assert isinstance(target, ObjectPlace)
        self.check()
        with self.faults():
            copy(self.url, target.url)
            remove([self.url])

    def delete_temporary(self) -> None:
        """Do nothing: an upload that was not completed is not visible."""

    def make_folder(self) -> None:
        """Do nothing: there are no folders."""

    def remove_folder(self) -> None:
        """Do nothing: there are no folders."""

    @contextmanager
    def lock(self) -> Iterator[Place]:
        """Hold the lock of this dataset, as long as the context.

        Yields:
            The place, with which the run can change the dataset as long as the lock is held.
        """
        with ObjectLock((self / LOCK).url, self.url) as held:
            yield replace(self, held=held)

    def journal(self) -> ObjectJournal:
        """Return the journal of this dataset."""
        return ObjectJournal(self / JOURNAL)

    def free_space(self) -> int | None:
        """Return None: a store has no end that it tells."""
        return None

    def check(self) -> None:
        """Check that no other run has taken the dataset over.

        Raises:
            OutputError: one has, or the store does not tell.
        """
        if self.held is not None:
            with self.faults():
                self.held.check()

    def faults(self) -> AbstractContextManager[None]:
        """Return a context that converts errors of the store into those of this place.

        Raises:
            FileNotFoundError: there is no object.
            OutputError: another error, if this run holds the lock.
        """
        return as_far_output(self.url, self.held is not None)

    def _state(self) -> FileState:
        with self.faults():
            state = state_at(self.url)
        if state is None:
            raise FileNotFoundError(str(self))
        return state

    def _part(self, state: FileState, start: int, end: int) -> bytes:
        with self.faults():
            return read_part(self.url, state, start, end)

    def _pieces(self, state: FileState) -> Iterator[bytes]:
        with self.faults():
            yield from pieces_of(self.url, state)
