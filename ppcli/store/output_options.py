"""Options that say where rows are written. Imports little, since `--help` needs them."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, ClassVar

from ppcli.errors import OutputError, UsageError
from ppcli.options import Option, Options, listed
from ppcli.store.formats import ROWS_PER_SHARD, Format, TableFormat
from ppcli.store.output_paths import RowFileType, is_same_file, row_file_type
from ppcli.store.rows import ANSWER, AnswerRow
from ppcli.store.update_policy import UpdatePolicy

if TYPE_CHECKING:
    import pyarrow as pa

    from ppcli.store.formats import Config
    from ppcli.store.row_sinks import RowSink

STDOUT = "-"
_IF_CHANGED = "use --update to work on what is new or changed, or --overwrite to start again"

Overwrite = Annotated[bool, Option("Replace an existing output.")]


@dataclass(frozen=True, slots=True)
class OutputOptions(Options):
    """Where rows are written, and what happens to an output that exists.

    Attributes:
        output: a folder, or its URL; a `.parquet`, `.jsonl` or `.csv` file, the last two also with
            `.gz` or `.zst` appended; or `-` for standard output.
        row_format: of standard output; None for JSON lines.
        overwrite: replace an existing output.
        resume: continue an unfinished dataset.
        retry_failed: process the failed inputs of an existing dataset again.
        rows_per_shard: rows in one file of a dataset.

    Raises:
        UsageError: `output` names nothing that rows can be written to, or has a format of its own.
    """

    panel: ClassVar = "Output"

    output: Annotated[
        str,
        Option(
            "Folder or its URL; .parquet, .jsonl(.gz) or .csv(.gz) file; or - for standard output.",
            flags=("--output", "-o"),
            metavar="OUT",
        ),
    ]
    row_format: Annotated[
        Format | None,
        Option(
            f"Format of standard output: {listed(TableFormat)}. Default: jsonl.",
            flags=("--format",),
            metavar="FORMAT",
            choices=TableFormat,
        ),
    ] = None
    overwrite: Overwrite = False
    resume: Annotated[bool, Option("Continue an unfinished dataset.")] = True
    retry_failed: Annotated[
        bool, Option("Process the failed inputs of an existing dataset again.")
    ] = False
    rows_per_shard: Annotated[
        int, Option("Rows in each file of a dataset.", metavar="N", min=1)
    ] = ROWS_PER_SHARD

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        if not self.output:
            raise UsageError("-o is empty; name a folder, a file, or - for standard output")
        kind = None if self.is_stdout else row_file_type(self.output)
        openai_file = self.row_format is Format.OPENAI and kind and kind.format is Format.JSONL
        if self.row_format is not None and not self.is_stdout and not openai_file:
            raise UsageError(
                "--format is for standard output (-o -); a file's name sets its format"
            )

    @property
    def is_stdout(self) -> bool:
        """Whether rows go to standard output."""
        return self.output == STDOUT

    @property
    def is_folder(self) -> bool:
        """Whether rows go to a dataset."""
        return not self.is_stdout and row_file_type(self.output) is None

    def check_not_read(self, *paths: str | None) -> None:
        """Refuse to replace files that the run reads.

        Raises:
            UsageError: the output is one of the paths.
        """
        for path in paths:
            if path is not None and is_same_file(path, self.output):
                raise UsageError(f"-o is {self.output}, which the run reads; use another name")

    @contextmanager
    def open(
        self, config: "Config", stream: BinaryIO | None, kept: "pa.Schema | None" = None
    ) -> "Iterator[RowSink]":
        """Open the output for the rows of a run.

        Args:
            config: everything that the rows depend on.
            stream: standard output; None if it is closed.
            kept: columns that travel with the rows; None for none.

        Raises:
            OutputError: the output cannot be written, or belongs to another configuration.
        """
        with self._sink(config, stream, kept) as sink:
            yield sink

    def _sink(
        self, config: "Config", stream: BinaryIO | None, kept: "pa.Schema | None"
    ) -> "AbstractContextManager[RowSink]":
        kind, rows = None if self.is_stdout else row_file_type(self.output), self.rows_per_shard
        if self.is_stdout:
            from ppcli.store.row_sinks import stream_output

            if stream is None:
                raise OutputError("-o is -, and standard output is closed")
            return stream_output(stream, self.row_format or Format.JSONL, config, kept)
        from ppcli.store.kept_columns import NO_COLUMNS  # which imports Arrow

        columns = NO_COLUMNS if kept is None else kept
        if kind is None:
            from ppcli.store.dataset import dataset_output

            return dataset_output(
                self.output,
                config,
                kept=columns,
                overwrite=self.overwrite,
                resume=self.resume,
                rows_per_shard=rows,
                **self._of_dataset(),
            )
        from ppcli.store.single_file import file_output

        return file_output(
            self.output,
            RowFileType(self.row_format or kind.format, kind.compression),
            config,
            kept=columns,
            overwrite=self.overwrite,
            resume=self.resume,
            rows_per_shard=rows,
        )

    def check_limit(self, limit: int | None) -> None:
        """Refuse a limit of the number of inputs that contradicts the options.

        Raises:
            UsageError: it does.
        """

    def _of_dataset(self) -> dict[str, Any]:
        """Return more arguments for the output to a folder."""
        return {}


@dataclass(frozen=True, slots=True)
class GrowingOutputOptions(OutputOptions):
    """The same for datasets that follow inputs which change.

    Attributes:
        update: work on the inputs that are new or have changed since the last run.
        drop_missing: with `update`, drop the rows of inputs that are no longer there.

    Raises:
        UsageError: the options contradict one another.
    """

    update: Annotated[
        bool, Option("Work on inputs that are new or have changed since the last run.")
    ] = False
    drop_missing: Annotated[
        bool, Option("With --update, drop the rows of inputs that are no longer there.")
    ] = False

    def __post_init__(self) -> None:
        OutputOptions.__post_init__(self)
        if self.drop_missing and not self.update:
            raise UsageError("--drop-missing needs --update")
        if not self.update:
            return
        if not self.is_folder:
            raise UsageError(f"--update needs a folder; -o is {self.output}")
        if self.overwrite:
            raise UsageError("--overwrite starts again, --update goes on; leave one of them out")
        if not self.resume:
            raise UsageError(
                "--no-resume refuses an earlier run, --update goes on with it; "
                "leave one of them out"
            )

    def check_limit(self, limit: int | None) -> None:
        """Refuse to drop rows of inputs that only a limit leaves out.

        Raises:
            UsageError: there is a limit.
        """
        if self.drop_missing and limit is not None:
            raise UsageError(
                "--limit leaves inputs out, whose rows --drop-missing would drop; "
                "leave one of them out"
            )

    def _of_dataset(self) -> dict[str, Any]:
        policy = UpdatePolicy(self.drop_missing, self.retry_failed) if self.update else None
        return {"update": policy, "if_changed": _IF_CHANGED}


@dataclass(frozen=True, slots=True)
class AnswerOutputOptions(GrowingOutputOptions):
    """The same for answers, which have one more format.

    Attributes:
        row_format: of standard output; `openai` also of `.jsonl` files.
        answer_column: name of the column `answer` in files.

    Raises:
        UsageError: `answer_column` is the name of another column, or the format has no columns.
    """

    row_format: Annotated[
        Format | None,
        Option(
            f"Format of standard output: {listed(Format)}; openai also for .jsonl files. "
            "Default: jsonl.",
            flags=("--format",),
            metavar="FORMAT",
        ),
    ] = None
    answer_column: Annotated[
        str, Option("Name of the column with the answers.", metavar="NAME")
    ] = ANSWER

    def __post_init__(self) -> None:
        GrowingOutputOptions.__post_init__(self)
        name = self.answer_column
        if name == ANSWER:
            return
        if self.row_format is Format.OPENAI:
            raise UsageError("--format openai has no columns; leave --answer-column out")
        if not name or name in {one.name for one in fields(AnswerRow)}:
            kind = "the name of another column" if name else "empty"
            raise UsageError(f"--answer-column is {name!r}, which is {kind}")
