"""Writers of the two Arrow formats: an IPC stream, and Parquet with page checksums."""

from abc import ABC, abstractmethod
from contextlib import suppress
from types import TracebackType
from typing import Any, BinaryIO, Self

import pyarrow as pa
import pyarrow.parquet as pq

from ppcli.errors import OutputError
from ppcli.store.formats import Kept
from ppcli.store.rows import PATCHES
from ppcli.store.schema import FileMetadata, RowBuffer

ROW_GROUP_BYTES = 8 << 20
_ROWS_PER_BATCH = 64  # of a stream, whose reader waits for each batch
_ROW_BYTES = 4000  # rough size of a row in memory and while it is written, without its tiles


class TableWriter(ABC):
    """Collects rows and writes them as tables; leaving the context without an error ends the file.

    Args of the constructor:
        writer: an Arrow writer with `write_table` and `close`.
        rows: collects the rows.
    """

    def __init__(self, writer: Any, rows: RowBuffer) -> None:  # noqa: ANN401
        self._writer = writer
        self._rows = rows
        self._bytes = 0  # of the rows that are not written yet

    @abstractmethod
    def _is_full(self, row: Any) -> bool:  # noqa: ANN401
        """Count `row`, which was just added; return whether the rows so far should be written."""

    def add(self, row: Any, kept: Kept | None = None) -> int:  # noqa: ANN401
        """Append one row, and write the rows so far if they are enough.

        Returns:
            The size of its kept columns in bytes.
        """
        size = self._rows.add(row, kept)
        self._bytes += size
        if self._is_full(row):
            self._flush()
        return size

    def _flush(self) -> None:
        if len(self._rows):
            for table in self._rows.take():
                self._writer.write_table(table)
            self._bytes = 0

    def close(self) -> None:
        """Write the remaining rows and the end of the file."""
        self._flush()
        self._writer.close()

    def abandon(self) -> None:
        """Release a file that will not be used. The default leaves it unfinished."""
        self._rows.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()


class ArrowStreamWriter(TableWriter):
    """Writes rows in the Arrow IPC stream format."""

    def __init__(self, file: BinaryIO, metadata: FileMetadata) -> None:
        rows = RowBuffer(metadata)
        super().__init__(pa.ipc.new_stream(file, rows.schema), rows)

    def _is_full(self, row: Any) -> bool:  # noqa: ANN401
        return len(self._rows) == _ROWS_PER_BATCH or self._bytes >= ROW_GROUP_BYTES


def _repeats(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_dictionary(kind))


class ParquetRowWriter(TableWriter):
    """Writes rows to Parquet, with page checksums and row groups of about `ROW_GROUP_BYTES`."""

    def __init__(self, file: BinaryIO, metadata: FileMetadata) -> None:
        rows = RowBuffer(metadata)
        plain = [one.name for one in rows.schema if not pa.types.is_nested(one.type)]
        codecs = {"tiles": "none"} if metadata.kind == PATCHES else {}  # compressed already
        writer = pq.ParquetWriter(
            file,
            rows.schema,
            compression=dict.fromkeys(plain, "zstd") | codecs if codecs else "zstd",
            use_dictionary=[one for one in plain if _repeats(rows.schema.field(one).type)],
            write_statistics=[name for name in plain if name not in codecs],
            write_page_checksum=True,
        )
        super().__init__(writer, rows)

    def _is_full(self, row: Any) -> bool:  # noqa: ANN401
        self._bytes += _ROW_BYTES + getattr(row, "nbytes", 0)
        return self._bytes >= ROW_GROUP_BYTES

    def annotate(self, key: str, value: str) -> None:
        """Add an entry to the file's metadata."""
        self._writer.add_key_value_metadata({key: value})

    def abandon(self) -> None:
        """Close a file that will be deleted, while it still accepts the footer."""
        with suppress(OSError, ValueError, OutputError, pa.ArrowException):
            self._writer.close()
        self._writer.is_open = False  # otherwise the garbage collector closes it once more
