"""Writes a dataset folder shard by shard, and resumes it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial

import pyarrow as pa

from ppcli.errors import OutputError, bounded
from ppcli.filesystems.store_faults import StoreError
from ppcli.inputs.refs import Input
from ppcli.store.atomic import as_output_error
from ppcli.store.dataset_changes import Changes
from ppcli.store.finished_shards import FinishedShard, damage_refused, other_inputs
from ppcli.store.formats import ROWS_PER_SHARD, Config, Kept
from ppcli.store.input_index import InputIndex, known_inputs
from ppcli.store.kept_columns import NO_COLUMNS
from ppcli.store.manifest import ManifestWriter, Recorded
from ppcli.store.places.place import Place, place_of
from ppcli.store.previous_run import PreviousInput, PreviousShard, RowsOfInput, changed_path
from ppcli.store.reader import read_rows_with_kept
from ppcli.store.recovery import (
    complete_replacement,
    delete_unknown,
    prepare_folder,
    rename_staged,
    require_own_folder,
)
from ppcli.store.row_sinks import Gap
from ppcli.store.rows import MainRow
from ppcli.store.shard_series import ShardSeries
from ppcli.store.shard_writer import NEW_SUFFIX, ShardWriter
from ppcli.store.shards import Shard, StagedShard, shard_name, shard_path
from ppcli.store.staging import StagingArea
from ppcli.store.update_policy import UpdatePolicy

logger = logging.getLogger("pixelprune")

IF_CHANGED = "use --overwrite or another folder"
_LOW_DISK_BYTES = 2 << 30


@contextmanager
def dataset_output(
    root: str,
    config: Config,
    *,
    kept: pa.Schema = NO_COLUMNS,
    overwrite: bool = False,
    resume: bool = True,
    rows_per_shard: int = ROWS_PER_SHARD,
    on_end: Callable[["DatasetWriter"], None] = lambda _: None,
    update: UpdatePolicy | None = None,
    if_changed: str = IF_CHANGED,
) -> Iterator["DatasetWriter"]:
    """Open a dataset folder for writing and hold its lock.

    Args:
        root: path or URL of the folder.
        config: options that the rows depend on.
        kept: columns that travel with the rows.
        overwrite: remove an existing dataset first.
        resume: continue an existing dataset.
        rows_per_shard: a shard ends with the input that fills this many rows.
        on_end: called with the finished dataset while the lock is held.
        update: work on new and changed inputs of an existing dataset; None to continue it with
            the same inputs.
        if_changed: advice if the inputs are not the same.

    Raises:
        OutputError: the folder has foreign files, another configuration or another running
            writer, or cannot be written.
    """
    with locked_dataset(place_of(root)) as folder:
        manifest = prepare_folder(folder, config, overwrite, resume)
        with closing(ManifestWriter(folder, manifest)) as manifest_writer:
            dataset = DatasetWriter(
                folder, manifest_writer, rows_per_shard, kept, update, if_changed
            )
            with dataset:
                yield dataset
            on_end(dataset)


@contextmanager
def locked_dataset(root: Place) -> Iterator[Place]:
    """Create a dataset folder if it is missing, and hold its lock.

    Yields:
        The folder to write to.

    Raises:
        OutputError: the folder has foreign files, another run holds the lock, or the folder
            cannot be written.
    """
    try:
        require_own_folder(root)
    except StoreError as error:
        raise OutputError(str(error)) from error
    with ExitStack() as stack:
        with as_output_error(root):
            root.make_folder()
            held = stack.enter_context(root.lock())
        yield held


class DatasetWriter(ShardSeries):
    """Sink of a run that writes a dataset folder."""

    def __init__(
        self,
        root: Place,
        manifest_writer: ManifestWriter,
        rows_per_shard: int,
        kept: pa.Schema = NO_COLUMNS,
        update: UpdatePolicy | None = None,
        if_changed: str = IF_CHANGED,
    ) -> None:
        super().__init__(rows_per_shard)
        self._root = root
        self._update, self._if_changed = update, if_changed
        self._manifest_writer = manifest_writer
        self._manifest = manifest_writer.manifest
        self._kept = kept
        self._inputs = self._manifest.inputs
        self._warned_of_space = self._warned_of_paths = False

    def previous_shards(self, refs: Iterator[Input]) -> Iterator[PreviousShard | Gap]:
        """Take the inputs of the finished shards from `refs`, and yield these shards.

        `refs` may have more inputs, also if the previous run ended. A gap comes before a shard that
        waits for those of the inputs before it: they are the next of `refs`, and are to be worked
        on before the next shard is asked for.

        Raises:
            OutputError: a file of the dataset or an input has changed.
        """
        for number in range(len(self.records)):
            yield self._resumed_shard(number, refs)
        while self.staged:
            waiting = self.staged[0]
            if missing := waiting.first - self._inputs:
                yield Gap(missing)
                self._end_shard()
            if waiting.first != self._inputs:
                raise self.short_gap(missing - waiting.first + self._inputs, missing)
            self._place(waiting)
            yield self._resumed_shard(len(self.records) - 1, refs)

    def short_gap(self, found: int, missing: int) -> OutputError:
        """Return the error of a run that lacks inputs before a shard that waits for them.

        Args:
            found: how many there are.
            missing: how many there were.
        """
        left = f"only {found:,} of the {missing:,} inputs before them are left"
        return other_inputs(self._root, len(self.records), left, self._if_changed)

    def _resumed_shard(self, number: int, refs: Iterator[Input]) -> PreviousShard:
        inputs = self._finished(number).same_inputs(refs, self._if_changed)
        if names := next(filter(None, map(changed_path, inputs)), None):
            self.warn_of_paths(names)
        return self.previous_shard(number, inputs)

    def _finished(self, number: int) -> FinishedShard:
        record, config = self.records[number], self._manifest.config
        return FinishedShard(self._root, number, record, config, self._kept)

    @contextmanager
    def changes(self) -> Iterator[Changes | None]:
        """Return what sorts the inputs of a run that updates the dataset; None for other runs.

        Raises:
            OutputError: a file of the dataset is damaged.
        """
        if self._update is None:
            yield None
            return
        for waiting in list(self.staged):  # inputs before them count as new
            self._place(waiting)
        shards, config = self._manifest.shards, self._manifest.config
        kind = self._manifest.main_kind
        paths = (shard_path(self._root, kind, number) for number in range(len(shards)))
        with damage_refused():
            index = InputIndex(known_inputs(path, config) for path in paths)
        name = str(self._root)
        with closing(Changes(self, name, list(shards), index, self._update)) as changes:
            yield changes

    def rows_of(self, number: int) -> list[RowsOfInput]:
        """Read the rows of a finished shard, input by input.

        Raises:
            OutputError: its files are damaged.
        """
        return self._finished(number).rows()

    def previous_shard(self, number: int, inputs: list[PreviousInput]) -> PreviousShard:
        """Return a finished shard whose inputs are known."""
        return self._finished(number).previous(inputs, partial(self._replacing, number))

    def warn_of_paths(self, names: tuple[str, str]) -> None:
        """Warn once that paths have changed: existing rows keep theirs.

        Args:
            names: the current path of an input, and the previous one.
        """
        if not self._warned_of_paths:
            self._warned_of_paths = True
            logger.warning(
                "resuming %s with inputs under other paths, such as %s instead of %s: their ids, "
                "sizes and times are the same; existing rows keep their paths",
                self._root,
                *map(bounded, names),
            )

    def rows(self) -> Iterator[tuple[MainRow, Kept]]:
        """Iterate over the rows of all finished shards, with few of them in memory.

        Yields:
            Each row with its kept columns.

        Raises:
            DamagedError: a file is unreadable, or a checksum does not match.
        """
        kind = self._manifest.main_kind
        for number in range(len(self._manifest.shards)):
            yield from read_rows_with_kept(shard_path(self._root, kind, number), kind)

    @contextmanager
    def _replacing(self, number: int) -> Iterator[ShardWriter]:
        """Replace a finished shard.

        The journal line decides: before it is written the old files count, after it resuming
        completes the replacement.
        """
        name = shard_name(number) + NEW_SUFFIX
        with ShardWriter(self._root, name, self._manifest, self._kept).completed() as writer:
            yield writer
        self._record(Recorded(number, writer.shard))
        with as_output_error(self._root):
            complete_replacement(self._root, number, writer.shard)

    def begin(self) -> None:
        """Note that the dataset is unfinished, also if a previous run had ended."""
        if self._manifest.finished:
            self._manifest_writer.checkpoint(finished=False)

    def _open_shard(self) -> ShardWriter:
        self.begin()
        self._warn_of_low_space()
        name = shard_name(len(self._manifest.shards))
        return ShardWriter(self._root, name, self._manifest, self._kept)

    def _note_shard(self, shard: Shard) -> None:
        self._record(Recorded(len(self._manifest.shards), shard))

    def _record(self, change: Recorded) -> None:
        before = self._manifest.shards[change.number : change.number + 1]
        self._inputs += change.shard.inputs - sum(one.inputs for one in before)
        self._manifest_writer.record(change)

    @property
    def records(self) -> list[Shard]:
        """The shards in the order of their inputs, without those that wait."""
        return self._manifest.shards

    @property
    def staged(self) -> list[StagedShard]:
        """The shards that wait for those of the inputs before them, in order of their inputs."""
        return self._manifest.staged

    @property
    def inputs_placed(self) -> int:
        """Number of inputs of `records`."""
        return self._inputs

    def area(self) -> StagingArea:
        """Return where tasks on other machines put shards."""
        root, config = self._root.address(), self._manifest.config
        rows = self._rows_per_shard
        return StagingArea(root, config, self._kept, rows, self._if_changed)

    def accept(self, staged: StagedShard) -> None:
        """Take over a shard of a task.

        It gets its number as soon as all inputs before its own have shards, and so does every one
        that has waited for it. Until then the journal keeps it.

        Raises:
            OutputError: the dataset cannot be written.
            ValueError: an input of it has a shard already.
        """
        waiting = (one for one in self.staged if one.first < staged.end and staged.first < one.end)
        if staged.first < self._inputs or next(waiting, None) is not None:
            raise ValueError(f"the inputs from {staged.first} to {staged.end} have a shard already")
        self.begin()
        self._warn_of_low_space()
        if staged.first == self._inputs:
            self._place(staged)
            self._place_contiguous()
        else:
            self._manifest_writer.record(staged)

    def _place_contiguous(self) -> None:
        while self.staged and self.staged[0].first == self._inputs:
            self._place(self.staged[0])

    def _place(self, staged: StagedShard) -> None:
        number = len(self._manifest.shards)
        with as_output_error(self._root):
            rename_staged(self._root, number, staged.token, self._manifest.kinds)
        self._record(Recorded(number, staged.shard, staged.token))

    def replace(self, number: int, staged: StagedShard) -> None:
        """Replace a finished shard by one of a task.

        The journal line decides: before it is written the old files count, after it resuming
        completes the replacement.

        Raises:
            OutputError: the dataset cannot be written.
        """
        self._record(Recorded(number, staged.shard, staged.token))
        with as_output_error(self._root):
            rename_staged(self._root, number, staged.token, self._manifest.kinds)

    def clean(self) -> None:
        """Delete the files that tasks left and that are not of this dataset. No task may run.

        Raises:
            OutputError: a file cannot be deleted.
        """
        with as_output_error(self._root):
            delete_unknown(self._root, self._manifest)

    def _warn_of_low_space(self) -> None:
        free = self._root.free_space()
        if free is not None and free < _LOW_DISK_BYTES and not self._warned_of_space:
            self._warned_of_space = True
            logger.warning("only %s MB of disk space left for %s", f"{free // 10**6:,}", self._root)

    def __enter__(self) -> "DatasetWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        if self._end(kind):
            ended = kind is None and not self.staged
            self._manifest_writer.checkpoint(finished=ended or self._manifest.finished)
