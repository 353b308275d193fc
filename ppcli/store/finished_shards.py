"""The finished shards of a dataset: compared with their inputs, and made ready to go on with."""

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import repeat

import pyarrow as pa

from ppcli.errors import DamagedError, OutputError
from ppcli.inputs.refs import Input
from ppcli.store.formats import Config, Kept
from ppcli.store.manifest import Manifest, main_kind
from ppcli.store.places.place import Place
from ppcli.store.previous_run import (
    PreviousInput,
    PreviousShard,
    RowsOfInput,
    by_input,
    difference_to,
    intact_rows,
    with_inputs,
)
from ppcli.store.reader import read_patch_rows, read_rows_with_kept
from ppcli.store.rows import PATCHES, PatchRow
from ppcli.store.shard_writer import ShardWriter
from ppcli.store.shards import Shard, shard_path


@dataclass(frozen=True, slots=True)
class FinishedShard:
    """A finished shard, for the process that writes the dataset or a task on another machine.

    Attributes:
        root: the dataset folder.
        number: number of the shard.
        record: its record.
        config: configuration of the dataset.
        kept: columns that travel with the rows.
    """

    root: Place
    number: int
    record: Shard
    config: Config
    kept: pa.Schema

    def rows(self) -> list[RowsOfInput]:
        """Read its rows, input by input.

        Raises:
            OutputError: its files are damaged.
        """
        with damage_refused():
            rows = intact_rows(self.root, self.number, self.record, self.config)
        return by_input(rows, self.config)

    def same_inputs(self, refs: Iterator[Input], if_changed: str) -> list[PreviousInput]:
        """Take its inputs from `refs`.

        Args:
            refs: its inputs, then others.
            if_changed: advice if the inputs are not the same.

        Raises:
            OutputError: its files are damaged, or an input has changed.
        """
        inputs = with_inputs(self.rows(), refs)
        if difference := difference_to(self.record, inputs):
            raise other_inputs(self.root, self.number, difference, if_changed)
        return inputs

    def previous(
        self,
        inputs: list[PreviousInput],
        replacement: Callable[[], AbstractContextManager[ShardWriter]],
    ) -> PreviousShard:
        """Return the shard for a run that goes on with it.

        Args:
            inputs: its inputs.
            replacement: opens a writer for all its rows, which replaces the shard.
        """
        patch_bytes = self.record.patch_bytes
        return PreviousShard(inputs, patch_bytes, self._patches, self._kept_columns, replacement)

    def _patches(self) -> Generator[PatchRow]:
        if Manifest(self.config).has_patches:
            yield from read_patch_rows(shard_path(self.root, PATCHES, self.number))

    def _kept_columns(self) -> Generator[Kept | None]:
        if not len(self.kept):
            yield from repeat(None)
        kind = main_kind(self.config)
        for _, kept in read_rows_with_kept(shard_path(self.root, kind, self.number), kind):
            yield kept


def other_inputs(root: Place, number: int, difference: str, if_changed: str) -> OutputError:
    """Return the error for a dataset that is continued with other inputs.

    Args:
        root: the dataset folder.
        number: of the shard whose inputs differ.
        difference: how they differ.
        if_changed: what to do.
    """
    return OutputError(
        f"{root} was made from other inputs: those of shard {number} have changed "
        f"({difference}); {if_changed}"
    )


@contextmanager
def damage_refused() -> Iterator[None]:
    """Convert the error of a damaged file into one of the output.

    Raises:
        OutputError: a file is damaged.
    """
    try:
        yield
    except DamagedError as error:
        raise OutputError(
            f"{error}; run pixelprune verify for details, or use --overwrite to start again"
        ) from error
