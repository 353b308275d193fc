"""Writes a single file of rows. Until the run ends, the rows are in a dataset folder beside it."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pyarrow as pa

from ppcli.errors import DamagedError, OutputError
from ppcli.store.atomic import PendingFile, as_output_error, atomic_file, file_digest
from ppcli.store.compression import compressed_file
from ppcli.store.dataset import DatasetWriter, dataset_output, locked_dataset
from ppcli.store.formats import ROWS_PER_SHARD, Config
from ppcli.store.kept_columns import NO_COLUMNS
from ppcli.store.manifest import Manifest
from ppcli.store.output_paths import RowFileType, partial_folder
from ppcli.store.places.place import LOCK, place_of
from ppcli.store.recovery import NOTE, remove_dataset
from ppcli.store.row_sinks import RowSink, row_writer
from ppcli.store.shards import shard_path

_REPLACES, _BECOMES = "replaces", "becomes"

FileState = tuple[int, str]  # size and digest of a file


@contextmanager
def file_output(
    target: str,
    kind: RowFileType,
    config: Config,
    *,
    kept: pa.Schema = NO_COLUMNS,
    overwrite: bool = False,
    resume: bool = True,
    rows_per_shard: int = ROWS_PER_SHARD,
) -> Iterator[RowSink]:
    """Open a sink for the rows of one file, which is put in place when the run ends.

    Args:
        target: path of the file.
        kind: format and compression.
        config: options that the rows depend on.
        kept: columns that travel with the rows.
        overwrite: replace an existing file, and discard rows of an unfinished run.
        resume: continue an unfinished run.
        rows_per_shard: most rows that a crash can lose.

    Raises:
        OutputError: the file exists and may not be replaced, or cannot be written; or the rows of
            an unfinished run have another configuration or are being written by another run.
    """
    partial = _PartialFolder(target)
    replaced = partial.begin(overwrite)
    try:
        with dataset_output(
            partial.folder,
            config,
            kept=kept,
            overwrite=overwrite,
            resume=resume,
            rows_per_shard=rows_per_shard,
            on_end=lambda dataset: partial.end(dataset, kind, config, kept, replaced),
        ) as dataset:
            partial.note(_REPLACES, replaced)
            yield dataset
    finally:
        partial.clear()


class _PartialFolder:
    """The folder beside a file, with a note of what may be replaced and of what was written.

    The note makes two crashes harmless: after one between writing and renaming the file, the same
    command may replace what it was going to replace; after one between renaming the file and
    removing the folder, the folder is known to be obsolete.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.folder = partial_folder(target)
        self._note = os.path.join(self.folder, NOTE)

    def begin(self, overwrite: bool) -> FileState | None:
        """Return the state of the existing file, which may be replaced; None if there is none."""
        if os.path.lexists(self.target) and not os.path.isfile(self.target):
            raise OutputError(f"{self.target} exists and is not a file; use another name")
        self.clear()
        found = _state_of(self.target)
        if found is not None and not overwrite and found != self._noted().get(_REPLACES):
            advice = "use --overwrite or another name"
            if os.path.exists(self.folder):
                advice += f", or move it away to resume with the rows in {self.folder}"
            raise OutputError(f"{self.target} exists; {advice}")
        return found

    def note(self, name: str, state: FileState | None) -> None:
        """Write a state of the file to the note, for a run that resumes."""
        noted = self._noted()
        if noted.get(name, ()) != state:
            with atomic_file(self._note) as file:
                file.write(json.dumps(noted | {name: state}).encode())

    def end(
        self,
        dataset: DatasetWriter,
        kind: RowFileType,
        config: Config,
        kept: pa.Schema,
        replaced: FileState | None,
    ) -> None:
        """Write the file from the rows of all shards, and put it in place."""
        pending = PendingFile(self.target, self.folder, replace=replaced is not None)
        try:
            with (
                compressed_file(pending.file, kind.compression) as file,
                row_writer(file, kind.format, config, kept) as writer,
            ):
                for row, values in dataset.rows():
                    writer.add(row, values)
            pending.finish()
            self.note(_BECOMES, (pending.size, pending.hexdigest()))
            if _state_of(self.target) not in (None, replaced):
                raise OutputError(f"{self.target} was changed during the run; it was not replaced")
            pending.put_in_place()
        except OutputError as error:
            raise OutputError(f"{error}; all rows are kept in {self.folder}") from error
        finally:
            pending.discard()

    def clear(self) -> None:
        """Delete the folder if it is obsolete: the file is in place, or the folder has no rows."""
        with suppress(OutputError, DamagedError, OSError):
            if not self._is_obsolete():
                return
            folder = place_of(self.folder)
            with locked_dataset(folder) as held:
                if self._is_obsolete():
                    remove_dataset(held)
                    with suppress(FileNotFoundError):
                        os.unlink(self._note)
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(self.folder, LOCK))
            os.rmdir(self.folder)

    def _is_obsolete(self) -> bool:
        becomes = self._noted().get(_BECOMES)
        if becomes is not None and becomes == _state_of(self.target):
            return True
        try:
            manifest = Manifest.read(self.folder)
        except FileNotFoundError:  # a crash interrupted its removal
            return os.path.isdir(self.folder)
        first = shard_path(self.folder, manifest.main_kind, 0)
        if manifest.shards or manifest.staged:
            return False
        return not os.path.exists(str(first))  # an unrecorded shard may be complete

    def _noted(self) -> dict[str, FileState | None]:
        try:
            with open(self._note, "rb") as file:
                noted: dict[str, Any] = json.load(file)
            return {name: state and (state[0], state[1]) for name, state in noted.items()}
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            return {}


def _state_of(path: str) -> FileState | None:
    with as_output_error(path):
        try:
            return file_digest(path)
        except FileNotFoundError:
            return None
