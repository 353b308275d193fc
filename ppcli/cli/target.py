"""What `-o` names."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ppcli.cli.options import STDOUT
from ppcli.errors import OutputError
from ppcli.store.choices import Format

if TYPE_CHECKING:
    from ppcli.store.choices import Config
    from ppcli.store.outputs import RowSink


@dataclass(frozen=True, slots=True)
class Target:
    """An output, and what may be done to it.

    Raises:
        UsageError: for a name that no output can have, or a format that is not for it.
    """

    output: str
    row_format: Format | None
    overwrite: bool
    resume: bool
    rows_per_shard: int

    def __post_init__(self) -> None:
        self._single_file  # noqa: B018 it refuses what no output can be

    @property
    def is_stdout(self) -> bool:
        """Whether rows go to standard output."""
        return self.output == STDOUT

    @property
    def is_folder(self) -> bool:
        """Whether rows go to a dataset."""
        return not self.is_stdout and self._single_file is None

    @property
    def _single_file(self) -> Format | None:
        """The format that a name of a single file tells."""
        if self.is_stdout:
            return None
        from ppcli.store.outputs import single_file_format  # it brings Arrow along

        return single_file_format(self.output)

    @property
    def advice(self) -> str:
        """What to know after a run that was stopped."""
        if self.is_folder:
            return "the same command goes on from here"
        return "the rows so far are written" if self.is_stdout else f"{self.output} is not written"

    @contextmanager
    def open(self, config: "Config") -> "Iterator[RowSink]":
        """Open it for the rows of a run.

        Raises:
            OutputError: when it cannot be written, or may not be.
        """
        from ppcli.cli.terminal import data_on_stdout
        from ppcli.store.outputs import file_output, stream_output

        with ExitStack() as stack:
            sink: AbstractContextManager[RowSink]
            stream = stack.enter_context(data_on_stdout())
            if self.is_stdout:
                if sys.stdout is None:
                    raise OutputError("standard output is closed, and -o - names it")
                sink = stream_output(stream, self.row_format or Format.JSONL, config)
            elif (named := self._single_file) is not None:
                sink = file_output(self.output, self.row_format or named, config, self.overwrite)
            else:
                from ppcli.store.dataset import dataset_output

                sink = dataset_output(
                    self.output,
                    config,
                    overwrite=self.overwrite,
                    resume=self.resume,
                    rows_per_shard=self.rows_per_shard,
                )
            yield stack.enter_context(sink)
