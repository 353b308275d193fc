"""Files that are compressed as a whole. Equal rows give equal bytes: no name in it, no time."""

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

import pyarrow as pa

from ppcli.store.output_paths import Compression

_GZIP_LEVEL = 6


@contextmanager
def compressed_file(file: BinaryIO, compression: Compression | None) -> Iterator[BinaryIO]:
    """What takes the bytes of a file, and writes them compressed.

    Args:
        file: open for writing; it stays open.
        compression: None writes the bytes as they are.
    """
    if compression is None:
        yield file
        return
    below = _through(file)
    if compression is Compression.GZIP:
        out = cast(BinaryIO, gzip.GzipFile("", "wb", _GZIP_LEVEL, below, mtime=0))
    else:
        out = pa.CompressedOutputStream(pa.PythonFile(below, "w"), compression.value)
    try:
        yield _through(out)
    except BaseException:
        below.close()  # nothing more is wanted of it, its end included
        raise
    out.close()


class _Through(io.RawIOBase):
    """Writes to a file that it neither flushes nor closes: rows flushed singly hardly shrink."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        if not self.closed:
            self._file.write(data)
        return memoryview(data).nbytes


def _through(file: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, _Through(file))
