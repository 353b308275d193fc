"""One file of rows. Until a run comes to its end they are kept in a dataset folder beside it."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ppcli.errors import DamagedError, OutputError
from ppcli.store.atomic import PendingFile, as_output_error, atomic_file, file_digest
from ppcli.store.compression import compressed_file
from ppcli.store.dataset import DatasetWriter, dataset_output, locked_dataset
from ppcli.store.formats import ROWS_PER_SHARD, Config
from ppcli.store.manifest import Manifest, shard_path
from ppcli.store.output_paths import RowFileType, partial_folder
from ppcli.store.recovery import LOCK, NOTE, remove_dataset
from ppcli.store.row_sinks import RowSink, row_writer

_REPLACES, _BECOMES = "replaces", "becomes"

State = tuple[int, str]  # size and digest of a file


@contextmanager
def file_output(
    target: str,
    kind: RowFileType,
    config: Config,
    *,
    overwrite: bool = False,
    resume: bool = True,
    rows_per_shard: int = ROWS_PER_SHARD,
) -> Iterator[RowSink]:
    """One file of rows, in place only when a run has come to its end.

    Args:
        target: the file.
        kind: what it is to be.
        config: the options that the rows depend on.
        overwrite: whether it may take the place of another, and earlier rows are dropped.
        resume: whether the rows of an unfinished run are gone on with.
        rows_per_shard: how many of them are brought to the disk together, at the most.

    Raises:
        OutputError: when the file exists and may not be replaced, or cannot be written; when
            unfinished rows belong to another configuration, or another run is at them.
    """
    partial = _Partial(target)
    replaced = partial.begin(overwrite)
    try:
        with dataset_output(
            partial.folder,
            config,
            overwrite=overwrite,
            resume=resume,
            rows_per_shard=rows_per_shard,
            at_end=lambda dataset: partial.end(dataset, kind, config, replaced),
        ) as dataset:
            partial.note(_REPLACES, replaced)
            yield dataset
    finally:
        partial.clear()


class _Partial:
    """The folder beside a file that is to be, with a note of what may happen to that file."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.folder = partial_folder(target)
        self._note = os.path.join(self.folder, NOTE)

    def begin(self, overwrite: bool) -> State | None:
        """See what stands under the name, and may be replaced; None when nothing does."""
        if os.path.lexists(self.target) and not os.path.isfile(self.target):
            raise OutputError(f"{self.target} is there, and is no file; use another name")
        self.clear()
        found = _state_of(self.target)
        if found is not None and not overwrite and found != self._noted().get(_REPLACES):
            advice = "use --overwrite or another name"
            if os.path.exists(self.folder):
                advice += f", or move it away to go on with the rows in {self.folder}"
            raise OutputError(f"{self.target} exists; {advice}")
        return found

    def note(self, name: str, state: State | None) -> None:
        """Write down a state of the file, for a run that goes on."""
        noted = self._noted()
        if noted.get(name, ()) != state:
            with atomic_file(self._note) as file:
                file.write(json.dumps(noted | {name: state}).encode())

    def end(
        self, dataset: DatasetWriter, kind: RowFileType, config: Config, replaced: State | None
    ) -> None:
        """Write the file from the rows of all shards, and put it in place."""
        pending = PendingFile(self.target, self.folder)
        try:
            with (
                compressed_file(pending.file, kind.compression) as file,
                row_writer(file, kind.format, config) as writer,
            ):
                for row in dataset.rows():
                    writer.add(row)
            pending.finish()
            self.note(_BECOMES, (pending.size, pending.hexdigest()))
            if _state_of(self.target) not in (None, replaced):
                raise OutputError(f"{self.target} has changed meanwhile; it is left alone")
            pending.put_in_place(replace=replaced is not None)
        except OutputError as error:
            raise OutputError(f"{error}; all rows are kept in {self.folder}") from error
        finally:
            pending.discard()

    def clear(self) -> None:
        """Remove the folder where nothing needs it: the file is in place, or it has no rows."""
        with suppress(OutputError, DamagedError, OSError):
            if not self._is_needless():
                return
            with locked_dataset(self.folder):
                if self._is_needless():
                    remove_dataset(self.folder)
                    with suppress(FileNotFoundError):
                        os.unlink(self._note)
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(self.folder, LOCK))
            os.rmdir(self.folder)

    def _is_needless(self) -> bool:
        becomes = self._noted().get(_BECOMES)
        if becomes is not None and becomes == _state_of(self.target):
            return True
        try:
            manifest = Manifest.read(self.folder)
        except FileNotFoundError:  # its removal was cut off
            return os.path.isdir(self.folder)
        first = shard_path(self.folder, manifest.main_kind, 0)
        return not manifest.shards and not os.path.exists(first)  # it may be whole, and counts then

    def _noted(self) -> dict[str, State | None]:
        try:
            with open(self._note, "rb") as file:
                noted: dict[str, Any] = json.load(file)
            return {name: state and (state[0], state[1]) for name, state in noted.items()}
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            return {}


def _state_of(path: str) -> State | None:
    with as_output_error(path):
        try:
            return file_digest(path)
        except FileNotFoundError:
            return None
