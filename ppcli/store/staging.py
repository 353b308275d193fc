"""Where tasks on other machines put the shards that they make.

A task does not know the numbers of its shards, and does not hold the lock of the dataset. So it
gives the files names of their own, `KIND/TOKEN.staged`. The process that holds the lock gives them
their final names.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import pyarrow as pa

from ppcli.filesystems.store_faults import StoreError
from ppcli.store.formats import Config
from ppcli.store.manifest import Manifest
from ppcli.store.places.place import Place, place_of
from ppcli.store.shard_series import ShardSeries
from ppcli.store.shard_writer import ShardWriter
from ppcli.store.shards import Shard, StagedShard, new_token, staged_name


@dataclass(frozen=True, slots=True)
class StagingArea:
    """A dataset folder for tasks that write shards to it. It is small and can be pickled.

    Attributes:
        root: path or URL of the folder.
        config: options that the rows depend on.
        kept: columns that travel with the rows.
        rows_per_shard: a shard ends with the input that fills this many rows.
    """

    root: str
    config: Config
    kept: pa.Schema
    rows_per_shard: int

    def writer(self, first: int) -> "StagingWriter":
        """Return a receiver of rows.

        Args:
            first: number of the first input among all inputs of the dataset, from 0.
        """
        return StagingWriter(self, first)


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
        self._root, self._kept = place_of(area.root), area.kept
        self._manifest = Manifest(area.config)
        self._first = first
        self._token = ""

    def _open_shard(self) -> ShardWriter:
        self._token = new_token()
        return ShardWriter(self._root, staged_name(self._token), self._manifest, self._kept)

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
            delete_staged(self._root, token, self._manifest)
        self.staged.clear()


def delete_staged(root: Place, token: str, manifest: Manifest) -> None:
    """Delete the files of a staged shard that nobody knows yet, as far as this is possible."""
    for kind in manifest.kinds:
        with suppress(OSError, StoreError):
            (root / kind / staged_name(token)).delete()
