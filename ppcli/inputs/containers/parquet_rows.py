"""Rows of Parquet files, as input files: read in order, some rows at a time."""

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, ClassVar

from ppcli.errors import ErrorCode, ImageError, bounded
from ppcli.files import FileState, InputFile, MissingFile, OpenFile
from ppcli.inputs.containers.attached import Content, SequentialFile
from ppcli.inputs.containers.container_kinds import SEPARATOR
from ppcli.inputs.containers.member_choice import Member, MemberChoice
from ppcli.inputs.containers.member_files import (
    ContainerError,
    FaultyFile,
    check_member_size,
    member_state,
    open_container,
)
from ppcli.inputs.containers.named_files import named_file

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from ppcli.inputs.containers.parquet_columns import ImageColumn

_BATCH_BYTES, _MOST_ROWS = 8 << 20, 256
_BUFFER_BYTES = 1 << 20
_ROWS_PER_BYTE, _ALWAYS_POSSIBLE = 8, 1_000_000
_MOST_DIGITS = 18
_MAGIC = b"PAR1"


@dataclass(frozen=True, slots=True)
class ParquetRow(SequentialFile):
    """The image in a row of a Parquet file.

    Attributes:
        container: handle of the file.
        column: the column that holds the images.
        row: number of the row in the file, from 0.
        container_state: state of the file when its rows were listed.
        kept: names of the columns that are read with the image.
    """

    container: InputFile
    column: "ImageColumn"
    row: int
    container_state: FileState
    kept: tuple[str, ...] = ()
    local_path: None = field(default=None, init=False)
    is_far: ClassVar[bool] = False  # a thread of the run reads it

    @property
    def name(self) -> str:
        """The path of the file and the number of the row."""
        return f"{self.container.name}{SEPARATOR}{self.row}"

    @property
    def series(self) -> object:
        """The file."""
        return self.container, self.container_state, self.column, self.kept

    def reader(self) -> "RowReader":
        """Open the file.

        Raises:
            ImageError: it cannot be opened, or changed since it was listed.
        """
        file = open_parquet_file(self.container, self.container_state)
        return RowReader(self.container, file, self.column, self.kept)

    def state(self) -> FileState:
        """Return a state without a size, and a version that follows from that of the file."""
        return member_state(self.container_state, self.row)


class OpenParquet:
    """An open Parquet file.

    Attributes:
        file: reads it.
        state: its state.
    """

    def __init__(self, file: "pq.ParquetFile", state: FileState) -> None:
        self.file = file
        self.state = state

    def close(self) -> None:
        """Close it."""
        self.file.close(force=True)


def open_parquet_file(container: InputFile, listed: FileState | None = None) -> OpenParquet:
    """Open a Parquet file and read its footer.

    Raises:
        ImageError: it is none, or damaged; see also `open_container`.
    """
    import pyarrow.parquet as pq

    opened = open_container(container, listed)
    try:
        file = pq.ParquetFile(
            opened, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
        )
        rows, size = file.metadata.num_rows, opened.state.size
        if rows > _ALWAYS_POSSIBLE + _ROWS_PER_BYTE * max(0, size):
            raise ValueError(f"{rows:,} rows in {size:,} bytes")
    except Exception as error:
        with opened:
            raise _fault_of(opened, error) from None
    return OpenParquet(file, opened.state)


def _fault_of(opened: OpenFile, error: Exception) -> ImageError:
    if isinstance(error, ImageError):
        return error
    opened.seek(0)
    start = opened.read(len(_MAGIC))
    if not start:
        return ContainerError(ErrorCode.EMPTY, "the file is empty")
    if start != _MAGIC:
        return ContainerError(ErrorCode.CORRUPT, "it is not a Parquet file")
    message = f"the Parquet file is damaged or cut off: {bounded(str(error))}"
    return ContainerError(ErrorCode.CORRUPT, message)


class RowReader:
    """Reads rows in order, a part of one row group at a time.

    Args of the constructor:
        container: handle of the file.
        opened: the open file, which is closed with the reader.
        column: that holds the images.
        kept: columns to read with them.
    """

    def __init__(
        self,
        container: InputFile,
        opened: OpenParquet,
        column: "ImageColumn",
        kept: tuple[str, ...] = (),
    ) -> None:
        self._container, self._opened, self._column, self._kept = container, opened, column, kept
        metadata = opened.file.metadata
        counts = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
        self._ends = list(accumulate(counts))
        self._group = -1
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._batch: pa.RecordBatch | None = None
        self._begin = 0  # row of the file that the batch begins with
        self._fault: ImageError | None = None

    def close(self) -> None:
        """Close the file."""
        self._opened.close()

    def read(self, member: ParquetRow) -> Content:
        """Return the image in a row, and the kept columns.

        Raises:
            ImageError: the file has no such row.
        """
        if not 0 <= member.row < (self._ends[-1] if self._ends else 0):
            raise ImageError(ErrorCode.NOT_FOUND, "its container has no such row")
        group = bisect_right(self._ends, member.row)
        if group != self._group or member.row < self._begin:
            self._start(group)
        try:
            self._move_to(member.row)
        except ImageError as error:
            self._batch, self._fault = None, error
        except Exception as error:
            self._batch = None
            self._fault = ImageError(
                ErrorCode.CORRUPT,
                f"row group {group} of its file is damaged: {bounded(str(error))}",
            )
        if self._fault is not None:
            return Content(error=self._fault)
        return self._content(member.row - self._begin)

    def _start(self, group: int) -> None:
        self._group, self._batch, self._fault = group, None, None
        self._begin = self._ends[group - 1] if group else 0
        names = list(dict.fromkeys([self._column.name, *self._kept]))
        rows = _rows_at_a_time(self._opened.file.metadata.row_group(group), names)
        self._batches = self._opened.file.iter_batches(
            rows, row_groups=[group], columns=names, use_threads=False
        )

    def _move_to(self, row: int) -> None:
        if self._fault is not None:
            raise self._fault
        while self._batch is None or row >= self._begin + self._batch.num_rows:
            self._begin += 0 if self._batch is None else self._batch.num_rows
            self._batch = next(self._batches, None)
            if self._batch is None:
                raise ValueError("it has fewer rows than its metadata says")

    def _content(self, place: int) -> Content:
        assert self._batch is not None
        columns: dict[str, Any] | None = None
        size = 0
        if self._kept:
            columns = {name: _copied(self._batch[name].slice(place, 1)) for name in self._kept}
            size = sum(self._batch[name].slice(place, 1).nbytes for name in self._kept)
        try:
            data, path = self._value(place)
            if data is not None:
                check_member_size(len(data))
        except ImageError as error:
            return Content(error=error, columns=columns, column_bytes=size)
        elsewhere = None if path is None else _beside(self._container, path)
        return Content(data, elsewhere, columns=columns, column_bytes=size)

    def _value(self, place: int) -> tuple[bytes | None, str | None]:
        """Return the bytes or the path in a row.

        Raises:
            ImageError: there is neither.
        """
        assert self._batch is not None
        value = self._batch[self._column.name][place].as_py()
        data, path = value, None
        if isinstance(value, dict):
            data, path = value.get("bytes"), value.get("path")
        elif isinstance(value, str):
            data, path = None, value
        if data is None and not path:
            empty = "the image in this row is null" if value is None else "this row has no image"
            raise ImageError(ErrorCode.EMPTY, empty)
        return (data, None) if data is not None else (None, path)


def _copied(values: "pa.Array") -> Any:  # noqa: ANN401
    """Return the only value of an array as a scalar that does not keep the others in memory."""
    import pyarrow as pa

    return values.take(pa.array([0]))[0]


def _rows_at_a_time(group: "pq.RowGroupMetaData", names: list[str]) -> int:
    """Return how many rows of some columns have about `_BATCH_BYTES`."""
    size = 0
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema.partition(".")[0] in names:
            size += column.total_uncompressed_size
    rows = group.num_rows * _BATCH_BYTES // max(1, size)
    return max(1, min(_MOST_ROWS, int(rows)))


def _beside(container: InputFile, path: str) -> InputFile:
    try:
        return named_file(container, path)
    except ImageError as error:
        return MissingFile(bounded(path), error.message, error.code)


def parquet_rows(container: InputFile, choice: MemberChoice) -> Iterator[Member]:
    """Yield the rows of a file, of which only the number is known unless they name other files.

    Raises:
        ImageError: the file cannot be read, or has no image column.
    """
    with closing(open_parquet_file(container)) as opened:
        column = chosen_column(opened, choice.image_column)
        kept = _kept_of(opened, choice.kept)
        reader = RowReader(container, opened, column, kept)
        for number in range(opened.file.metadata.num_rows):
            row = ParquetRow(container, column, number, opened.state, kept)
            if column.is_text:
                content = reader.read(row)
                error = content.error or ImageError(ErrorCode.EMPTY, "there is no image")
                file = content.elsewhere or FaultyFile(row.name, error, opened.state)
                yield Member(str(number), file, content.columns)
            else:
                yield Member(str(number), row)


def row_named(container: InputFile, row: str, wanted: str | None) -> InputFile:
    """Return the image in a row.

    Args:
        container: handle of the file.
        row: the number of the row, from 0.
        wanted: the column with the images; None to find it.

    Raises:
        ImageError: there is no such row, or the file cannot be read or has no image column.
    """
    with closing(open_parquet_file(container)) as opened:
        column, rows = chosen_column(opened, wanted), opened.file.metadata.num_rows
        if not row.isdecimal() or len(row) > _MOST_DIGITS or int(row) >= rows:
            raise ImageError(
                ErrorCode.NOT_FOUND,
                f"there is no row {bounded(row, 80)}; the {rows:,} rows are counted from 0",
            )
        return ParquetRow(container, column, int(row), opened.state)


def _kept_of(opened: OpenParquet, names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        return ()
    from ppcli.inputs.containers.data_set_schema import kept_of

    return kept_of(opened.file.schema_arrow, names)


def check_image_column(container: InputFile, wanted: str | None) -> None:
    """Check that a file has one column with images, or the one that is wanted.

    Raises:
        NoImagesError: it has not.
        ImageError: the file cannot be read.
    """
    with closing(open_parquet_file(container)) as opened:
        chosen_column(opened, wanted)


def chosen_column(opened: OpenParquet, wanted: str | None) -> "ImageColumn":
    """Return the column with the images; see `image_column`."""
    from ppcli.inputs.containers.parquet_columns import image_column

    return image_column(opened.file, wanted)
