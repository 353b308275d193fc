"""The place of a file or a folder of a dataset: all that the store does with files.

A place is small and keeps nothing open. `str(place)` is for people: it holds no secrets.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeVar

from ppcli.filesystems.schemes import is_url

if TYPE_CHECKING:
    from ppcli.store.journal import JournalContent

LOCK = ".lock"
JOURNAL = "manifest.journal"
Content = dict[str, Any]
ManifestT = TypeVar("ManifestT")


class NewFile(Protocol):
    """A file that is being written. It has no name before `put_in_place`.

    Raises:
        OutputError: from every method but `discard`; the cause is the error of the system.
    """

    @property
    def file(self) -> BinaryIO:
        """The file to write to, from start to end."""

    @property
    def size(self) -> int:
        """Bytes written so far."""

    def hexdigest(self) -> str:
        """XXH3-128 of the bytes written so far."""

    def finish(self) -> None:
        """Sync all bytes to the disk of this machine; nothing may be written afterwards."""

    def put_in_place(self) -> None:
        """Give the finished file its name, durably."""

    def discard(self) -> None:
        """Delete what was written, unless it was put in place."""


class JournalWriter(Protocol):
    """Appends lines to a journal."""

    @property
    def is_empty(self) -> bool:
        """Whether no line was appended."""

    def append(self, content: Content) -> None:
        """Append a line durably.

        Raises:
            OutputError: the line cannot be written.
        """

    def close(self) -> None:
        """Release what is open."""


class DatasetJournal(Protocol):
    """The changes of a dataset since its manifest was written: lines chained by digests."""

    def begin(self, base: str) -> JournalWriter:
        """Return a writer of the lines that continue the manifest with the digest `base`."""

    def read_with(
        self, read_manifest: Callable[[], tuple[ManifestT, str]]
    ) -> tuple[ManifestT, str, "JournalContent"]:
        """Read the manifest and the lines, in the order that a running process does not disturb.

        Args:
            read_manifest: returns the manifest and its digest.

        Returns:
            The manifest, its digest and the lines.

        Raises:
            FileNotFoundError, NotADirectoryError: there is no manifest.
            DamagedError: one of the two was changed.
        """

    def is_torn(self) -> bool:
        """Whether the last line is incomplete.

        Raises:
            DamagedError: another line was changed.
        """

    def exists(self) -> bool:
        """Whether there is a line, of this manifest or an earlier one."""

    def delete(self) -> None:
        """Delete all lines.

        Raises:
            OutputError: they cannot be deleted.
        """


class Place(Protocol):
    """Where a file or a folder of a dataset is, or could be.

    Methods that look or change something raise `OSError` when the system or the store reports an
    error, `FileNotFoundError` when nothing is there.
    """

    @property
    def is_far(self) -> bool:
        """Whether each look takes a request to another machine."""

    def __truediv__(self, name: str) -> "Place":
        """Return the place of this name in this folder."""

    def __add__(self, suffix: str) -> "Place":
        """Return the place beside this one whose name has the suffix appended."""

    def address(self) -> str:
        """Return the path or URL, which `place_of` takes, for other processes; it may be secret."""

    def is_file(self) -> bool:
        """Return whether there is a file."""

    def is_folder(self) -> bool:
        """Return whether there is a folder."""

    def names(self) -> list[str]:
        """Return the names of the files and folders in this folder."""

    def size(self) -> int:
        """Return the size of the file in bytes."""

    def digest(self) -> tuple[int, str]:
        """Return size and XXH3-128 (hexadecimal) of the file."""

    def read(self) -> bytes:
        """Read the whole file.

        Raises:
            FileNotFoundError, NotADirectoryError: there is none.
            DamagedError: it cannot be read, or is not a regular file.
        """

    def open(self) -> Any:  # noqa: ANN401  # Arrow has no types
        """Open the file for Arrow, which reads any part of it."""

    def near(self) -> "AbstractContextManager[Place]":
        """Return the file on this machine: itself, or a copy that lasts as long as the context.

        It is for files that are read several times.
        """

    def new_file(self) -> NewFile:
        """Start to write the file.

        Raises:
            OutputError: it cannot be written.
        """

    def delete(self) -> None:
        """Delete the file."""

    def replace(self, target: "Place") -> None:
        """Put the file in place of another one of the same folder, which need not exist, durably.

        Raises:
            FileNotFoundError: there is no such file.
        """

    def delete_temporary(self) -> None:
        """Delete what killed runs left in this folder under temporary names."""

    def make_folder(self) -> None:
        """Make the folder, and those above it, where folders are made."""

    def remove_folder(self) -> None:
        """Remove the folder if it is empty, where folders are made."""

    def lock(self) -> "AbstractContextManager[Place]":
        """Hold the lock of this dataset folder, as long as the context.

        The context gives the folder to write to: its methods raise `OutputError` as soon as the
        lock is lost.

        Raises:
            OutputError: another run holds the lock.
        """

    def journal(self) -> DatasetJournal:
        """Return the journal of this dataset folder."""

    def free_space(self) -> int | None:
        """Return how many bytes can be written here; None where that is unknown."""


def place_of(at: "str | Place") -> Place:
    """Return the place of a path or a URL; a place is returned as it is."""
    if not isinstance(at, str):
        return at
    if is_url(at):
        from ppcli.store.places.object_place import ObjectPlace

        scheme, separator, path = at.partition("://")
        return ObjectPlace(scheme + separator + path.rstrip("/"))
    from ppcli.store.places.local_place import LocalPlace

    return LocalPlace(at)
