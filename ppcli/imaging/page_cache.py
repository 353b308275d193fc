"""Keeps an image file open between the tasks of a process that read its pages."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from ppcli.files import FileState, InputFile
from ppcli.imaging.page_source import PageSource, source_of
from ppcli.imaging.reading_options import ReadingOptions


class _Key(NamedTuple):
    file: InputFile
    reading: ReadingOptions


@dataclass(slots=True)
class Loan:
    """An open image file, lent to one task.

    Attributes:
        source: its pages.
        state: of the file when it was opened.
        more_to_come: set by a task if later tasks will read other pages.
    """

    source: PageSource
    state: FileState
    more_to_come: bool = False


class _Kept:
    """The file that the last task of this process left open."""

    def __init__(self) -> None:
        self._file: tuple[_Key, PageSource, FileState] | None = None

    def take(self, key: _Key) -> tuple[PageSource, FileState] | None:
        """Return the open file if `key` names it and it has not changed; close any other."""
        if self._file is None:
            return None
        (kept, source, state), self._file = self._file, None
        if kept == key and key.file.state() == state:
            return source, state
        source.close()
        return None

    def keep(self, key: _Key, source: PageSource, state: FileState) -> None:
        self._file = key, source, state

    def close(self) -> None:
        if self._file is not None:
            self._file[1].close()
            self._file = None


_kept = _Kept()


def close_kept_source() -> None:
    """Close the file that was kept open for a task that will not come."""
    _kept.close()


@contextmanager
def page_source(file: InputFile, reading: ReadingOptions) -> Iterator[Loan]:
    """Open an image file, or take the one that the last task kept open.

    Finding the pages of a file takes time proportional to their number, and a long file is read
    in many tasks. After an error the file is closed, because its decoder may be in any state.

    Raises:
        ImageError: if the file cannot be read or is in no supported format.
    """
    key = _Key(file, reading)
    source, state = _kept.take(key) or _open(key)
    loan = Loan(source, state)
    try:
        yield loan
    except BaseException:
        source.close()
        raise
    if loan.more_to_come and not source.failed:
        _kept.keep(key, source, state)
    else:
        source.close()


def _open(key: _Key) -> tuple[PageSource, FileState]:
    opened = key.file.open()
    return source_of(opened, key.file.name, key.reading), opened.state
