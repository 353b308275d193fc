"""Cuts rows into shards: what the writers of a whole dataset and of a piece of it share."""

from abc import ABC, abstractmethod

from ppcli.errors import DamagedError, ServerError, StoppedError, UsageError
from ppcli.filesystems.store_faults import StoreError
from ppcli.inputs.refs import Input, ends_sequence
from ppcli.store.formats import Kept
from ppcli.store.rows import MainRow, PatchRow
from ppcli.store.shard_writer import ShardWriter
from ppcli.store.shards import Shard

BYTES_PER_SHARD = 1 << 30
# These end a run in an orderly way, so that the shard in hand is kept.
_KEEPING = StoppedError | DamagedError | UsageError | ServerError | StoreError


class ShardSeries(ABC):
    """Writes rows to one shard after another.

    Args of the constructor:
        rows_per_shard: a shard ends with the input that fills this many rows.
    """

    def __init__(self, rows_per_shard: int) -> None:
        self._rows_per_shard = rows_per_shard
        self._writer: ShardWriter | None = None
        self._within_sequence = False

    @abstractmethod
    def _open_shard(self) -> ShardWriter:
        """Begin the next shard."""

    @abstractmethod
    def _note_shard(self, shard: Shard) -> None:
        """Note a shard whose files have their names."""

    def add(self, row: MainRow, patches: PatchRow | None, kept: Kept | None = None) -> None:
        """Add one row with its kept columns, and the patch set of its page if it has one."""
        if self._writer is None:
            self._writer = self._open_shard()
        self._writer.add(row, patches, kept)

    def end_of_input(self, one: Input) -> None:
        """End the shard if it is full; shards end between inputs, and between sequences."""
        if self._writer is not None:
            self._writer.end_of_input(one)
            shard = self._writer.shard
            size = max(shard.patch_bytes, self._writer.kept_bytes)
            is_full = shard.rows >= self._rows_per_shard or size >= BYTES_PER_SHARD
            self._within_sequence = not ends_sequence(one)
            if is_full and not self._within_sequence:
                self._end_shard()

    def _end_shard(self) -> None:
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        with writer.completed():
            pass
        self._note_shard(writer.shard)

    def _end(self, kind: type[BaseException] | None) -> bool:
        """End the shard in hand, or discard it because of an error.

        Args:
            kind: of the error; None for none.

        Returns:
            Whether it was kept.
        """
        complete = self._writer is None or not (self._writer.within_input or self._within_sequence)
        if kind is None or (complete and issubclass(kind, _KEEPING)):
            self._end_shard()
            return True
        if self._writer is not None:
            self._writer.discard()
        return False
