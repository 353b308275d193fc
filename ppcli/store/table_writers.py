"""Writers of the two Arrow formats: an IPC stream, and Parquet with page checksums."""

from abc import ABC, abstractmethod
from contextlib import suppress
from types import TracebackType
from typing import Any, BinaryIO, Self

import pyarrow as pa
import pyarrow.parquet as pq

from ppcli.errors import OutputError
from ppcli.store.rows import PATCHES
from ppcli.store.schema import SCHEMAS, FileMetadata, rows_to_table

ROW_GROUP_BYTES = 16 << 20
_ROWS_PER_BATCH = 64  # of a stream, whose reader waits for each batch
_ROW_BYTES = 1000  # rough size of a row in memory, without its tiles


class TableWriter(ABC):
    """Collects rows and writes them as tables; leaving the context without an error ends the file.

    Args of the constructor:
        writer: an Arrow writer with `write_table` and `close`.
        schema: of the rows, with the file's metadata.
    """

    def __init__(self, writer: Any, schema: pa.Schema) -> None:  # noqa: ANN401
        self._writer = writer
        self._schema = schema
        self._rows: list[Any] = []

    @abstractmethod
    def _is_full(self, row: Any) -> bool:  # noqa: ANN401
        """Count `row`, which was just added; return whether the rows so far should be written."""

    def add(self, row: Any) -> None:  # noqa: ANN401
        """Append one row."""
        self._rows.append(row)
        if self._is_full(row):
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(rows_to_table(self._rows, self._schema))
            self._rows.clear()

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
        schema = metadata.attach(SCHEMAS[metadata.kind])
        super().__init__(pa.ipc.new_stream(file, schema), schema)

    def _is_full(self, row: Any) -> bool:  # noqa: ANN401
        return len(self._rows) == _ROWS_PER_BATCH


class ParquetRowWriter(TableWriter):
    """Writes rows to Parquet, with page checksums and row groups of about `ROW_GROUP_BYTES`."""

    def __init__(self, file: BinaryIO, metadata: FileMetadata) -> None:
        schema = metadata.attach(SCHEMAS[metadata.kind])
        codecs = dict.fromkeys(schema.names, "zstd")
        opaque = {"tiles"} if metadata.kind == PATCHES else set()
        codecs |= dict.fromkeys(opaque, "none")  # they are compressed already
        writer = pq.ParquetWriter(
            file,
            schema,
            compression=codecs,
            use_dictionary=[n for n in schema.names if pa.types.is_string(schema.field(n).type)],
            write_statistics=[name for name in schema.names if name not in opaque],
            write_page_checksum=True,
        )
        super().__init__(writer, schema)
        self._bytes = 0

    def _is_full(self, row: Any) -> bool:  # noqa: ANN401
        self._bytes += _ROW_BYTES + getattr(row, "nbytes", 0)
        return self._bytes >= ROW_GROUP_BYTES

    def _flush(self) -> None:
        super()._flush()
        self._bytes = 0

    def annotate(self, key: str, value: str) -> None:
        """Add an entry to the file's metadata."""
        self._writer.add_key_value_metadata({key: value})

    def abandon(self) -> None:
        """Close a file that will be deleted, while it still accepts the footer."""
        with suppress(OSError, ValueError, OutputError, pa.ArrowException):
            self._writer.close()
        self._writer.is_open = False  # otherwise the garbage collector closes it once more
