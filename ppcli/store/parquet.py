"""Parquet files with checksums, and row groups sized in bytes."""

from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ppcli.errors import OutputError
from ppcli.store.rows import PATCHES
from ppcli.store.schema import SCHEMAS, FileMetadata, table_of

ROW_GROUP_BYTES = 16 << 20
_ROW_BYTES = 1000  # about what one row takes in memory, apart from its tiles


class ParquetRows:
    """Writes rows of one class to an open binary file, a row group whenever enough are there.

    Use as a context manager: leaving it without an error writes the footer.
    """

    def __init__(
        self,
        file: BinaryIO,
        schema: pa.Schema,
        size_of: Callable[[Any], int],
        compression: dict[str, str],
    ) -> None:
        self._schema = schema
        self._size_of = size_of
        self._rows: list[Any] = []
        self._bytes = 0
        opaque = {name for name, codec in compression.items() if codec == "none"}
        self._writer = pq.ParquetWriter(
            file,
            schema,
            compression=compression,
            use_dictionary=[n for n in schema.names if pa.types.is_string(schema.field(n).type)],
            write_statistics=[name for name in schema.names if name not in opaque],
            write_page_checksum=True,
        )

    def add(self, row: Any) -> None:  # noqa: ANN401
        """Append one row."""
        self._rows.append(row)
        self._bytes += self._size_of(row)
        if self._bytes >= ROW_GROUP_BYTES:
            self._flush()

    def annotate(self, key: str, value: str) -> None:
        """Add to the file's metadata what is known only now."""
        self._writer.add_key_value_metadata({key: value})

    def close(self) -> None:
        """Write what is left and the footer."""
        self._flush()
        self._writer.close()

    def abandon(self) -> None:
        """Let go of a file that nobody wants any more, while it still takes the footer."""
        with suppress(OSError, ValueError, OutputError, pa.ArrowException):
            self._writer.close()
        self._writer.is_open = False  # or it tries again when it is collected

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(table_of(self._rows, self._schema))
            self._rows.clear()
            self._bytes = 0

    def __enter__(self) -> "ParquetRows":
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


def parquet_rows(file: BinaryIO, metadata: FileMetadata) -> ParquetRows:
    """A Parquet file for rows of the kind that its metadata names."""
    schema = metadata.attach(SCHEMAS[metadata.kind])
    codecs = dict.fromkeys(schema.names, "zstd")
    if metadata.kind == PATCHES:
        codecs["tiles"] = "none"  # they are compressed already
    return ParquetRows(file, schema, _size_in_memory, codecs)


def _size_in_memory(row: Any) -> int:  # noqa: ANN401
    return _ROW_BYTES + getattr(row, "nbytes", 0)
