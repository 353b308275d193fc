"""Reads files of other machines before their turn comes, several at a time and within limits."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent import futures
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from ppcli.files import InputFile
from ppcli.filesystems.patience import LONGEST_READ_SECONDS

_MOST_FILES = 16
_MOST_BYTES = 48 << 20  # of files that were read and not used yet, as far as their size is known
_USUAL_BYTES = 1 << 20


@runtime_checkable
class StartsAhead(Protocol):
    """A file whose reading can begin before it is opened."""

    def start(self) -> "Future[Any]":
        """Begin to read the file, in the background."""


class ReadAhead:
    """The files of one task.

    Attributes:
        is_open: whether further files may be started; those that were started are still used.
    """

    def __init__(self, files: Iterable[InputFile]) -> None:
        self.is_open = True
        self._waiting = deque(files)
        self._started: dict[InputFile, tuple[Future[Any], int]] = {}
        self._bytes = 0

    def go_on(self) -> None:
        """Start as many files as the limits allow."""
        while self.is_open and self._waiting and self._has_room(self._waiting[0]):
            file = self._waiting.popleft()
            if isinstance(file, StartsAhead) and file not in self._started:
                size = _size_of(file)
                self._started[file] = file.start(), size
                self._bytes += size

    def _has_room(self, file: InputFile) -> bool:
        if not self._started:
            return True
        is_small = self._bytes + _size_of(file) <= _MOST_BYTES
        return is_small and len(self._started) < _MOST_FILES

    def take(self, file: InputFile) -> "Future[Any] | None":
        """Hand out the reading of a file, once, and start others in its place."""
        reading, size = self._started.pop(file, (None, 0))
        self._bytes -= size
        self.go_on()
        return reading

    def has_begun(self, files: Iterable[InputFile]) -> bool:
        """Return whether all of some files are being read, or were read already."""
        return all(file in self._started for file in files)

    def wait(self, files: Iterable[InputFile]) -> float:
        """Wait until those files that are being read are there; return the seconds."""
        before = time.perf_counter()
        readings = [self._started[file][0] for file in files if file in self._started]
        futures.wait(readings, LONGEST_READ_SECONDS)
        return time.perf_counter() - before

    def close(self) -> None:
        """Give up what was not used."""
        for reading, _ in self._started.values():
            reading.cancel()
        self._started.clear()


_current: ReadAhead | None = None


def _size_of(file: object) -> int:
    listed = getattr(file, "listed", None)
    return _USUAL_BYTES if listed is None else max(0, listed.size)


@contextmanager
def reading_ahead(files: Iterable[InputFile]) -> Iterator[ReadAhead]:
    """Read files ahead in this process while the block opens them in this order."""
    global _current  # noqa: PLW0603  # a process has one task at a time
    before, _current = _current, ReadAhead(files)
    try:
        _current.go_on()
        yield _current
    finally:
        _current.close()
        _current = before


def taken(file: InputFile) -> "Future[Any] | None":
    """Return the reading of a file that began ahead, once; None if it did not."""
    return None if _current is None else _current.take(file)
