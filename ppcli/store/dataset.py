"""A dataset folder: claimed, recovered, resumed, and written shard by shard."""

import logging
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial

from filelock import FileLock, Timeout

from ppcli.errors import DamagedError, OutputError, StoppedError, UsageError, bounded
from ppcli.inputs.refs import Input
from ppcli.store.atomic import as_output_error
from ppcli.store.formats import ROWS_PER_SHARD, Config
from ppcli.store.manifest import ManifestWriter, shard_path
from ppcli.store.previous_run import (
    PreviousInput,
    PreviousShard,
    difference_to,
    intact_rows,
    renamed,
    with_inputs,
)
from ppcli.store.reader import read_patch_rows, read_rows
from ppcli.store.recovery import LOCK, prepare_folder, require_own_folder, settle_replacement
from ppcli.store.rows import PATCHES, MainRow, PatchRow
from ppcli.store.shard_writer import NEW_SUFFIX, ShardWriter

logger = logging.getLogger("pixelprune")

BYTES_PER_SHARD = 1 << 30
_LITTLE_SPACE = 2 << 30


@contextmanager
def dataset_output(
    root: str,
    config: Config,
    *,
    overwrite: bool = False,
    resume: bool = True,
    rows_per_shard: int = ROWS_PER_SHARD,
    at_end: Callable[["DatasetWriter"], None] = lambda _: None,
) -> Iterator["DatasetWriter"]:
    """A dataset folder to write to, under its lock.

    Args:
        root: the folder.
        config: the options that the rows depend on.
        overwrite: whether an earlier dataset in it is removed.
        resume: whether one is gone on with.
        rows_per_shard: a shard ends with the input that brings so many.
        at_end: what is done with the finished dataset, still under its lock.

    Raises:
        OutputError: when the folder holds something else, belongs to another configuration, is
            written to by another run, or cannot be written.
    """
    with locked_dataset(root):
        manifest = prepare_folder(root, config, overwrite, resume)
        with closing(ManifestWriter(root, manifest)) as ledger:
            dataset = DatasetWriter(root, ledger, rows_per_shard)
            with dataset:
                yield dataset
            at_end(dataset)


@contextmanager
def locked_dataset(root: str) -> Iterator[None]:
    """Keep other runs from a dataset folder, which is made where there is none.

    Raises:
        OutputError: when it holds something else, another run has it, or it cannot be written.
    """
    require_own_folder(root)
    with as_output_error(root):
        os.makedirs(root, exist_ok=True)
        lock = FileLock(os.path.join(root, LOCK), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise OutputError(f"another run is writing to {root}; wait for it to end") from None
    try:
        yield
    finally:
        lock.release()


class DatasetWriter:
    """The sink of a run that writes a dataset folder."""

    def __init__(self, root: str, ledger: ManifestWriter, rows_per_shard: int) -> None:
        self._root = root
        self._ledger = ledger
        self._manifest = ledger.manifest
        self._rows_per_shard = rows_per_shard
        self._writer: ShardWriter | None = None
        self._space_warned = self._renaming_told = False

    def previous_shards(self, refs: Iterator[Input]) -> Iterator[PreviousShard]:
        """Take from `refs` the inputs that an earlier run finished, and say what it found.

        More may follow them, also where the earlier run came to its end.

        Raises:
            OutputError: when the inputs are not the same.
        """
        for number in range(len(self._manifest.shards)):
            yield self._earlier_shard(number, refs)

    def _earlier_shard(self, number: int, refs: Iterator[Input]) -> PreviousShard:
        try:
            rows = intact_rows(self._root, number, self._manifest)
        except DamagedError as error:
            raise OutputError(
                f"{error}; pixelprune verify tells more, --overwrite starts anew"
            ) from error
        shard = self._manifest.shards[number]
        inputs = with_inputs(rows, refs, self._manifest.config)
        if difference := difference_to(shard, inputs):
            raise OutputError(
                f"{self._root} belongs to other inputs: those of shard {number} have changed "
                f"({difference}); use --overwrite or another folder"
            )
        self._tell_renamed(inputs)
        return PreviousShard(
            inputs,
            shard.patch_bytes,
            partial(self._patches, number),
            partial(self._replacing, number),
        )

    def _tell_renamed(self, inputs: list[PreviousInput]) -> None:
        """Say once that paths are spelled otherwise: rows keep those that they were made with."""
        if not self._renaming_told and (names := next(filter(None, map(renamed, inputs)), None)):
            self._renaming_told = True
            logger.warning(
                "%s goes on with inputs that are named otherwise, as %s where it was %s: their "
                "ids, sizes and times are the same; rows that are there keep their paths",
                self._root,
                *map(bounded, names),
            )

    def rows(self) -> Iterator[MainRow]:
        """All rows of the finished shards, in order; a few at a time in memory.

        Raises:
            DamagedError: when a file is not readable or a checksum is wrong.
        """
        kind = self._manifest.main_kind
        for number in range(len(self._manifest.shards)):
            yield from read_rows(shard_path(self._root, kind, number), kind)

    def _patches(self, number: int) -> Generator[PatchRow]:
        if self._manifest.has_patches:
            yield from read_patch_rows(shard_path(self._root, PATCHES, number))

    @contextmanager
    def _replacing(self, number: int) -> Iterator[ShardWriter]:
        """Write a finished shard anew.

        The manifest is what decides: before it names the new files the old ones count, after it
        resuming completes the change.
        """
        writer = ShardWriter(self._root, number, self._manifest)
        try:
            yield writer
            writer.finish()
            writer.put_in_place(NEW_SUFFIX)
            self._ledger.put(number, writer.shard)
            with as_output_error(self._root):
                settle_replacement(self._root, number, writer.shard)
        finally:
            writer.discard()

    def add(self, row: MainRow, patches: PatchRow | None) -> None:
        """Take one row, and the patch set of its page when there is one."""
        if self._writer is None:
            if self._manifest.finished:  # it ended before these inputs were there
                self._ledger.settle(finished=False)
            self._warn_of_little_space()
            self._writer = ShardWriter(self._root, len(self._manifest.shards), self._manifest)
        self._writer.add(row, patches)

    def end_of_input(self, one: Input) -> None:
        """Close the shard when it is large enough; shards end between inputs."""
        if self._writer is not None:
            self._writer.end_of_input(one)
            shard = self._writer.shard
            if shard.rows >= self._rows_per_shard or shard.patch_bytes >= BYTES_PER_SHARD:
                self._end_shard()

    def _end_shard(self) -> None:
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        try:
            writer.finish()
            writer.put_in_place()
        finally:
            writer.discard()
        self._ledger.put(len(self._manifest.shards), writer.shard)

    def _warn_of_little_space(self) -> None:
        with suppress(OSError):
            free = shutil.disk_usage(self._root).free
            if free < _LITTLE_SPACE and not self._space_warned:
                self._space_warned = True
                logger.warning(
                    "only %s MB are left where %s lies", f"{free // 10**6:,}", self._root
                )

    def __enter__(self) -> "DatasetWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        whole = self._writer is None or not self._writer.within_input
        if kind is None or (whole and issubclass(kind, StoppedError | DamagedError | UsageError)):
            self._end_shard()
            self._ledger.settle(finished=kind is None or self._manifest.finished)
        elif self._writer is not None:
            self._writer.discard()
