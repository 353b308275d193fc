"""What `-o` names."""

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ppcli.cli.options import STDOUT
from ppcli.errors import OutputError
from ppcli.store.formats import Format
from ppcli.store.output_paths import RowFileType, partial_folder, resume_hint, row_file_type

if TYPE_CHECKING:
    from ppcli.store.formats import Config
    from ppcli.store.row_sinks import RowSink


@dataclass(frozen=True, slots=True)
class Target:
    """An output that `check_output` has seen, and what may be done to it."""

    output: str
    row_format: Format | None
    overwrite: bool
    resume: bool
    rows_per_shard: int

    @property
    def is_stdout(self) -> bool:
        """Whether rows go to standard output."""
        return self.output == STDOUT

    @property
    def is_folder(self) -> bool:
        """Whether rows go to a dataset."""
        return not self.is_stdout and row_file_type(self.output) is None

    @property
    def advice(self) -> str:
        """What to know after a run that was stopped."""
        if self.is_stdout:
            return "the rows so far are written"
        if self.is_folder:
            return resume_hint(self.overwrite)
        kept = partial_folder(self.output)
        if not os.path.isdir(kept):
            return f"{self.output} is not written"
        return f"the rows so far are kept in {kept}, and {resume_hint(self.overwrite)}"

    @contextmanager
    def open(self, config: "Config") -> "Iterator[RowSink]":
        """Open it for the rows of a run.

        Raises:
            OutputError: when it cannot be written, or may not be.
        """
        from ppcli.cli.terminal import data_on_stdout
        from ppcli.store.row_sinks import stream_output

        with ExitStack() as stack:
            sink: AbstractContextManager[RowSink]
            stream = stack.enter_context(data_on_stdout())
            if self.is_stdout:
                if sys.stdout is None:
                    raise OutputError("standard output is closed, and -o - names it")
                sink = stream_output(stream, self.row_format or Format.JSONL, config)
            else:
                sink = self._on_disk(config)
            yield stack.enter_context(sink)

    def _on_disk(self, config: "Config") -> "AbstractContextManager[RowSink]":
        from ppcli.store.dataset import dataset_output  # it brings Arrow along
        from ppcli.store.single_file import file_output

        kind, overwrite, resume = row_file_type(self.output), self.overwrite, self.resume
        rows = self.rows_per_shard
        if kind is None:
            return dataset_output(
                self.output, config, overwrite=overwrite, resume=resume, rows_per_shard=rows
            )
        kind = RowFileType(self.row_format or kind.format, kind.compression)
        return file_output(
            self.output, kind, config, overwrite=overwrite, resume=resume, rows_per_shard=rows
        )
