"""Image files that stay open from one task of a process to the next."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ppcli.errors import ErrorCode, ImageError, UsageError
from ppcli.imaging.page_source import PageSource, open_source
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.inputs.names import path_of

_Key = tuple[str, ReadingOptions, int, int, int]


@dataclass(slots=True)
class Loan:
    """An open image file for the length of one task.

    Attributes:
        source: the file.
        more_to_come: set when later tasks will want other pages of it.
    """

    source: PageSource
    more_to_come: bool = False


class _Kept:
    """The file of several pages that this process worked on last."""

    def __init__(self) -> None:
        self._file: tuple[_Key, PageSource] | None = None

    def take(self, key: _Key) -> PageSource | None:
        """The open file, if it is this one; another one is closed."""
        if self._file is None:
            return None
        (kept, source), self._file = self._file, None
        if kept == key:
            return source
        source.close()
        return None

    def keep(self, key: _Key, source: PageSource) -> None:
        self._file = (key, source)

    def close(self) -> None:
        if self._file is not None:
            self._file[1].close()
            self._file = None


_kept = _Kept()


def close_kept_source() -> None:
    """Let go of the file that this process keeps open for a task which will not come."""
    _kept.close()


@contextmanager
def page_source(path: str, reading: ReadingOptions) -> Iterator[Loan]:
    """An open image file, kept open for the next task when there is more to come.

    To find the pages of a file takes time that grows with their number, and a file comes in
    many tasks. After an error nothing stays open, since the decoder may be in any state.

    Raises:
        ImageError: as `open_source`.
    """
    key = _key(path, reading)
    loan = Loan(_kept.take(key) or _opened(path, reading))
    try:
        yield loan
    except BaseException:
        loan.source.close()
        raise
    if loan.more_to_come and not loan.source.failed:
        _kept.keep(key, loan.source)
    else:
        loan.source.close()


def _opened(path: str, reading: ReadingOptions) -> PageSource:
    try:
        path_of(path)
    except UsageError as error:  # a list may hold URLs of other machines
        raise ImageError(ErrorCode.NOT_FOUND, str(error)) from None
    return open_source(path, reading)


def _key(path: str, reading: ReadingOptions) -> _Key:
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # to open it will tell more
        return (path, reading, 0, 0, 0)
    return (path, reading, status.st_ino, status.st_size, status.st_mtime_ns)
