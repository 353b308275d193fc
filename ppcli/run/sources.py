"""Image files that stay open from one task of a process to the next."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ppcli.imaging.decode import ImageSource

_Key = tuple[str, int, int, int, int]


@dataclass(slots=True)
class Loan:
    """An open image file for the length of one task.

    Attributes:
        source: the file.
        more_to_come: set when later tasks will want other pages of it.
    """

    source: ImageSource
    more_to_come: bool = False


class _Kept:
    """The file of several pages that this process worked on last."""

    def __init__(self) -> None:
        self._file: tuple[_Key, ImageSource] | None = None

    def take(self, key: _Key) -> ImageSource | None:
        """The open file, if it is this one; another one is closed."""
        if self._file is None:
            return None
        (kept, source), self._file = self._file, None
        if kept == key:
            return source
        source.close()
        return None

    def keep(self, key: _Key, source: ImageSource) -> None:
        self._file = (key, source)


_kept = _Kept()


@contextmanager
def image_source(path: str, max_image_pixels: int) -> Iterator[Loan]:
    """An open image file, kept open for the next task when there is more to come.

    To find the pages of a file takes time that grows with their number, and a file comes in
    many tasks. After an error nothing stays open, since the decoder may be in any state.

    Raises:
        ImageError: as `ImageSource`.
    """
    key = _key(path, max_image_pixels)
    loan = Loan(_kept.take(key) or ImageSource(path, max_image_pixels))
    try:
        yield loan
    except BaseException:
        loan.source.close()
        raise
    if loan.more_to_come and not loan.source.failed:
        _kept.keep(key, loan.source)
    else:
        loan.source.close()


def _key(path: str, max_image_pixels: int) -> _Key:
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # to open it will tell more
        return (path, max_image_pixels, 0, 0, 0)
    return (path, max_image_pixels, status.st_ino, status.st_size, status.st_mtime_ns)
