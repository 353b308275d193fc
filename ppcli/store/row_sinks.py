"""Interfaces of row sinks and writers, and the sink for standard output."""

import io
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from ppcli.errors import OutputError
from ppcli.inputs.refs import Input
from ppcli.store.completeness import PageCheck, require_complete
from ppcli.store.formats import ANSWER_COLUMN, Config, Format, Kept
from ppcli.store.manifest import main_kind
from ppcli.store.rows import MainRow, PatchRow, column_names
from ppcli.store.text_writers import CsvWriter, JsonLinesWriter, OpenAiBatchWriter

if TYPE_CHECKING:  # Arrow loads slowly, and JSON lines do not need it
    import pyarrow as pa

    from ppcli.store.dataset_changes import Changes
    from ppcli.store.previous_run import PreviousShard


class RowReceiver(Protocol):
    """Receives rows, input by input."""

    def add(self, row: MainRow, patches: PatchRow | None, kept: Kept | None = None) -> None:
        """Add one row with its kept columns, and the patch set of its page if it has one."""

    def end_of_input(self, one: Input) -> None:
        """Note that all rows of this input have been added."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Inputs to work on before the next finished shard.

    Attributes:
        inputs: how many.
    """

    inputs: int


class RowSink(RowReceiver, Protocol):
    """The output of a run."""

    def previous_shards(self, refs: Iterator[Input]) -> "Iterator[PreviousShard | Gap]":
        """Take the inputs of finished shards from `refs`, and yield these shards.

        The inputs of a gap are left in `refs` until it is yielded.
        """

    def changes(self) -> "AbstractContextManager[Changes | None]":
        """Return what sorts the inputs of a run that updates the output; None for other runs."""


class RowWriter(Protocol):
    """Writes rows in one format."""

    def add(self, row: MainRow, kept: Kept | None = None) -> object:
        """Write the next row with its kept columns."""


class StreamSink:
    """Sink of a stream of rows, without patch sets."""

    def __init__(self, writer: RowWriter, config: Config) -> None:
        self._writer = writer
        self._check = PageCheck(config)

    def add(self, row: MainRow, patches: PatchRow | None, kept: Kept | None = None) -> None:
        """Write the row."""
        self._check.add(row)
        self._writer.add(row, kept)

    def end_of_input(self, one: Input) -> None:
        """Check that no page is missing.

        Raises:
            PixelpruneError: a page is missing.
        """
        require_complete(self._check.missing(), one.image_id)

    def previous_shards(self, refs: Iterator[Input]) -> "Iterator[PreviousShard | Gap]":
        """Return no shards: a stream cannot be resumed."""
        return iter(())

    def changes(self) -> "AbstractContextManager[Changes | None]":
        """Return None: a stream cannot be updated."""
        return nullcontext()


@contextmanager
def stream_output(
    stream: BinaryIO, row_format: Format, config: Config, kept: "pa.Schema | None" = None
) -> Iterator[RowSink]:
    """Open a sink that writes rows to a stream without seeking, such as a pipe.

    Args:
        stream: open for writing.
        row_format: of the rows.
        config: options that the rows depend on.
        kept: columns that travel with the rows; None for none.

    Raises:
        OutputError: the stream cannot be written.
        BrokenPipeError: its reader has closed it.
    """
    counting = cast(BinaryIO, _CountingStream(stream))
    with row_writer(counting, row_format, config, kept) as writer:
        yield StreamSink(writer, config)
    counting.flush()


def row_writer(
    file: BinaryIO, row_format: Format, config: Config, kept: "pa.Schema | None" = None
) -> AbstractContextManager[RowWriter]:
    """Return a writer of rows to an open file; leaving its context ends the file."""
    own = column_names(main_kind(config), config)
    if row_format is Format.JSONL:
        return JsonLinesWriter(file, own, config.get(ANSWER_COLUMN), kept)
    if row_format is Format.CSV:
        return CsvWriter(file, own, config.get(ANSWER_COLUMN), kept)
    if row_format is Format.OPENAI:
        model = config["model"]
        return OpenAiBatchWriter(file, model if isinstance(model, str) else model["source"])

    from ppcli.store.kept_columns import NO_COLUMNS
    from ppcli.store.schema import FileMetadata
    from ppcli.store.table_writers import ArrowStreamWriter, ParquetRowWriter

    metadata = FileMetadata(main_kind(config), config, kept=NO_COLUMNS if kept is None else kept)
    if row_format is Format.ARROW:
        return ArrowStreamWriter(file, metadata)
    return ParquetRowWriter(file, metadata)


class _CountingStream(io.RawIOBase):
    """Counts the position, which Arrow needs and a pipe does not have."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        with _stream_errors():
            self._stream.write(data)
        size = memoryview(data).nbytes
        self._written += size
        return size

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        if not self._stream.closed:
            with _stream_errors():
                self._stream.flush()


@contextmanager
def _stream_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output cannot be written: {error.strerror}") from error
