"""Where tasks on other machines put the shards that they make.

A task does not know the numbers of its shards, and does not hold the lock of the dataset. So it
gives the files names of their own, `KIND/TOKEN.staged`. The process that holds the lock gives them
their final names.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Self

import pyarrow as pa

from ppcli.filesystems.store_faults import StoreError
from ppcli.inputs.refs import Input
from ppcli.store.dataset_changes import ShardChanges
from ppcli.store.finished_shards import FinishedShard
from ppcli.store.formats import Config
from ppcli.store.manifest import Manifest
from ppcli.store.places.place import place_of
from ppcli.store.previous_run import PreviousInput, PreviousShard, changed_path
from ppcli.store.shard_series import ShardSeries
from ppcli.store.shard_writer import ShardWriter
from ppcli.store.shards import REPLACES, Shard, StagedShard, new_token, staged_name


@dataclass(frozen=True, slots=True)
class StagingArea:
    """A dataset folder for tasks that write shards to it. It is small and can be pickled.

    Attributes:
        root: path or URL of the folder.
        config: options that the rows depend on.
        kept: columns that travel with the rows.
        rows_per_shard: a shard ends with the input that fills this many rows.
        if_changed: advice if the inputs of a finished shard are not the same.
    """

    root: str
    config: Config
    kept: pa.Schema
    rows_per_shard: int
    if_changed: str

    def writer(self, first: int) -> "StagingWriter":
        """Return a receiver of rows.

        Args:
            first: number of the first input among all inputs of the dataset, from 0.
        """
        return StagingWriter(self, first)

    def previous_shard(
        self, number: int, record: Shard, refs: Iterator[Input]
    ) -> "StagedReplacement":
        """Return a finished shard whose inputs are compared with those of this run.

        Args:
            number: number of the shard.
            record: its record.
            refs: its inputs.

        Raises:
            OutputError: a file of the dataset or an input has changed.
        """
        shard = self._finished(number, record)
        return StagedReplacement(self, shard, shard.same_inputs(refs, self.if_changed))

    def updated_shard(self, changes: ShardChanges, record: Shard) -> "StagedReplacement":
        """Return a finished shard with what happens to its inputs.

        Args:
            changes: of its inputs.
            record: its record.

        Raises:
            OutputError: a file of the dataset has changed.
        """
        shard = self._finished(changes.number, record)
        return StagedReplacement(self, shard, changes.of(shard.rows()))

    def _finished(self, number: int, record: Shard) -> FinishedShard:
        return FinishedShard(place_of(self.root), number, record, self.config, self.kept)

    def open_shard(self, token: str) -> ShardWriter:
        """Begin a staged shard."""
        root, manifest = place_of(self.root), Manifest(self.config)
        return ShardWriter(root, staged_name(token), manifest, self.kept)

    def delete(self, token: str) -> None:
        """Delete the files of a staged shard that nobody knows yet, as far as this is possible."""
        for kind in Manifest(self.config).kinds:
            with suppress(OSError, StoreError):
                (place_of(self.root) / kind / staged_name(token)).delete()


class StagingWriter(ShardSeries):
    """Writes the rows of some inputs to staged shards.

    Leaving the context ends the last shard. If an error other than those that end a run in an
    orderly way leaves it, or one within an input, all its shards are deleted.

    Attributes:
        staged: the shards so far.

    Args of the constructor:
        area: where to write.
        first: number of the first input.
    """

    def __init__(self, area: StagingArea, first: int) -> None:
        super().__init__(area.rows_per_shard)
        self.staged: list[StagedShard] = []
        self._area, self._first = area, first
        self._token = ""

    def _open_shard(self) -> ShardWriter:
        self._token = new_token()
        return self._area.open_shard(self._token)

    def _note_shard(self, shard: Shard) -> None:
        self.staged.append(StagedShard(self._first, self._token, shard))
        self._first += shard.inputs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        kept = False
        try:
            kept = self._end(kind)
        finally:
            if not kept:
                self._delete_all()

    def _delete_all(self) -> None:
        for token in {self._token, *(one.token for one in self.staged)} - {""}:
            self._area.delete(token)
        self.staged.clear()


class StagedReplacement:
    """A finished shard that a run goes on with, and that it may replace by a staged one.

    Attributes:
        shard: for the run.
        staged: replaces the shard; None while there is none.
        moved: the current and the previous path of an input if they differ.

    Args of the constructor:
        area: where to write.
        finished: the shard.
        inputs: its inputs.
    """

    def __init__(
        self, area: StagingArea, finished: FinishedShard, inputs: list[PreviousInput]
    ) -> None:
        self.staged: StagedShard | None = None
        self.moved = next(filter(None, map(changed_path, inputs)), None)
        self.shard: PreviousShard = finished.previous(inputs, self._replacing)
        self._area = area

    @contextmanager
    def _replacing(self) -> Iterator[ShardWriter]:
        token = new_token()
        try:
            with self._area.open_shard(token).completed() as writer:
                yield writer
            self.staged = StagedShard(REPLACES, token, writer.shard)
        finally:
            if self.staged is None:
                self._area.delete(token)
