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
        size: of the file in bytes.
        more_to_come: set by a task if later tasks will read other pages.
    """

    source: PageSource
    state: FileState
    size: int
    more_to_come: bool = False


class _Opened(NamedTuple):
    source: PageSource
    state: FileState
    size: int


class _Kept:
    """The file that the last task of this process left open."""

    def __init__(self) -> None:
        self._file: tuple[_Key, _Opened] | None = None

    def take(self, key: _Key) -> _Opened | None:
        """Return the open file if `key` names it and it has not changed; close any other."""
        if self._file is None:
            return None
        (kept, opened), self._file = self._file, None
        if kept == key and key.file.state() == opened.state:
            return opened
        opened.source.close()
        return None

    def keep(self, key: _Key, opened: _Opened) -> None:
        self._file = key, opened

    def close(self) -> None:
        if self._file is not None:
            self._file[1].source.close()
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
    opened = _kept.take(key) or _open(key)
    source = opened.source
    loan = Loan(*opened)
    try:
        yield loan
    except BaseException:
        source.close()
        raise
    if loan.more_to_come and not source.failed:
        _kept.keep(key, opened)
    else:
        source.close()


def _open(key: _Key) -> _Opened:
    file = key.file.open()
    return _Opened(source_of(file, key.file.name, key.reading), file.state, file.size)
