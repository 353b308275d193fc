"""Rows as an Arrow stream."""

from types import TracebackType
from typing import BinaryIO

import pyarrow as pa

from ppcli.store.rows import MainRow
from ppcli.store.schema import SCHEMAS, FileMetadata, table_of

_ROWS_PER_BATCH = 64


class ArrowStream:
    """The Arrow IPC stream format."""

    def __init__(self, file: BinaryIO, metadata: FileMetadata) -> None:
        self._schema = metadata.attach(SCHEMAS[metadata.kind])
        self._rows: list[MainRow] = []
        self._writer = pa.ipc.new_stream(file, self._schema)

    def add(self, row: MainRow) -> None:
        """Append one row; batches are written as they fill."""
        self._rows.append(row)
        if len(self._rows) == _ROWS_PER_BATCH:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(table_of(self._rows, self._schema))
        self._rows.clear()

    def __enter__(self) -> "ArrowStream":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            if self._rows:
                self._flush()
            self._writer.close()
