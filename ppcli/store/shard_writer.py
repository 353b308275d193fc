"""Writes one shard: the files that cover the same inputs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import pyarrow as pa
import xxhash

from ppcli.inputs.refs import Input
from ppcli.store.completeness import PageCheck, require_complete
from ppcli.store.formats import Kept
from ppcli.store.kept_columns import NO_COLUMNS
from ppcli.store.manifest import Manifest
from ppcli.store.places.place import NewFile, Place
from ppcli.store.rows import ERROR, PATCHES, MainRow, PatchRow
from ppcli.store.schema import FileMetadata
from ppcli.store.shards import SHARD_KEY, FileRecord, Shard
from ppcli.store.table_writers import ParquetRowWriter

NEW_SUFFIX = ".new"


class InputsDigest:
    """XXH3-128 of the fingerprints of a shard's inputs.

    Args of the constructor:
        with_paths: include the paths of files, as version 0.1.0 did.
    """

    def __init__(self, with_paths: bool = False) -> None:
        self._with_paths = with_paths
        self._state = xxhash.xxh3_128()

    def add(self, one: Input, failed: bool) -> None:
        """Add one input."""
        self._state.update(one.fingerprint(failed, self._with_paths) + b"\n")

    def hexdigest(self) -> str:
        """Return the digest of the inputs so far."""
        return self._state.hexdigest()


class ShardWriter:
    """Writes the files of one shard, then puts them in place in order.

    Args of the constructor:
        root: the dataset folder.
        name: name of its files, in the folders of their kinds.
        manifest: of the dataset.
        kept: columns that travel with the rows.
    """

    def __init__(
        self,
        root: Place,
        name: str,
        manifest: Manifest,
        kept: pa.Schema = NO_COLUMNS,
    ) -> None:
        self.shard = Shard()
        self.kept_bytes = 0
        self._main_kind = manifest.main_kind
        self._inputs = InputsDigest()
        self._check = PageCheck(manifest.config)
        self._input_failed = False
        self.within_input = False  # rows of an unfinished input have been added
        self._pending: dict[str, NewFile] = {}
        self._rows: dict[str, ParquetRowWriter] = {}
        try:
            for kind in manifest.kinds:
                pending = (root / kind / name).new_file()
                self._pending[kind] = pending
                columns = kept if kind == self._main_kind else NO_COLUMNS
                metadata = FileMetadata(kind, manifest.config, kept=columns)
                self._rows[kind] = ParquetRowWriter(pending.file, metadata)
        except BaseException:
            self.discard()
            raise

    def add(self, row: MainRow, patches: PatchRow | None, kept: Kept | None = None) -> None:
        """Add one row with its kept columns, and the patch set of its page if it has one."""
        self.within_input = True
        self._check.add(row)
        failed = row.status == ERROR
        self.kept_bytes += self._rows[self._main_kind].add(row, kept)
        self.shard.rows += 1
        self.shard.failed += failed
        self._input_failed |= failed
        if patches is not None:
            self._rows[PATCHES].add(patches)
            self.shard.patch_sets += 1
            self.shard.patch_bytes += patches.nbytes

    def end_of_input(self, one: Input) -> None:
        """Note that all rows of this input have been added.

        Raises:
            PixelpruneError: pages of its file are missing.
        """
        require_complete(self._check.missing(), one.image_id)
        self._inputs.add(one, self._input_failed)
        self._input_failed = self.within_input = False
        self.shard.inputs += 1

    @contextmanager
    def completed(self) -> Iterator[Self]:
        """Finish the files at the end of the block and give them their names; or delete them."""
        try:
            yield self
            self.finish()
            self.put_in_place()
        finally:
            self.discard()

    def finish(self) -> None:
        """Make all files durable on this machine, and fill in the record of the shard."""
        self.shard.inputs_digest = self._inputs.hexdigest()
        for (
            kind,
            rows,
        ) in self._rows.items():  # main rows last: their metadata has the digest of the patches
            if kind == self._main_kind:
                rows.annotate(SHARD_KEY, json.dumps(self.shard.content, sort_keys=True))
            rows.close()
            pending = self._pending[kind]
            pending.finish()
            self.shard.files[kind] = FileRecord(pending.size, pending.hexdigest())

    def put_in_place(self) -> None:
        """Give the finished files their names: patches first, main rows second."""
        for pending in self._pending.values():
            pending.put_in_place()

    def discard(self) -> None:
        """Delete files that have not been put in place."""
        for rows in self._rows.values():
            rows.abandon()
        for pending in self._pending.values():
            pending.discard()
