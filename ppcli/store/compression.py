"""Compresses whole files, without name or time in the header: equal rows give equal bytes."""

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
    """Yield a file whose bytes are written to `file` compressed.

    Args:
        file: open for writing; it stays open.
        compression: None writes the bytes uncompressed.
    """
    if compression is None:
        yield file
        return
    below = _without_flush(file)
    if compression is Compression.GZIP:
        out = cast(BinaryIO, gzip.GzipFile("", "wb", _GZIP_LEVEL, below, mtime=0))
    else:
        out = pa.CompressedOutputStream(pa.PythonFile(below, "w"), compression.value)
    try:
        yield _without_flush(out)
    except BaseException:
        below.close()  # discard later writes, including the end of the stream
        raise
    out.close()


class _WithoutFlush(io.RawIOBase):
    """Writes to a file without flushing or closing it: flushing each row would spoil the ratio."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        if not self.closed:
            self._file.write(data)
        return memoryview(data).nbytes


def _without_flush(file: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, _WithoutFlush(file))
