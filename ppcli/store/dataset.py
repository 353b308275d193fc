"""A dataset folder: claimed, recovered, resumed, and written shard by shard."""

import json
import logging
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise

from filelock import FileLock, Timeout

from ppcli.errors import DamagedError, OutputError, StoppedError, UsageError
from ppcli.inputs.refs import Input
from ppcli.store.atomic import TEMPORARY_SUFFIX, digest_of, writing
from ppcli.store.choices import ROWS_PER_SHARD, Config
from ppcli.store.manifest import MANIFEST, FileRecord, Manifest, Shard, shard_path
from ppcli.store.reader import read_patch_rows, read_rows, shard_record
from ppcli.store.rows import ERROR, PATCHES, MainRow, PatchRow
from ppcli.store.shards import NEW_SUFFIX, InputsDigest, ShardWriter
from ppcli.store.whole import PageCheck

logger = logging.getLogger("pixelprune")

LOCK = ".lock"
BYTES_PER_SHARD = 1 << 30
_LITTLE_SPACE = 2 << 30
_LONGEST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class EarlierInput:
    """An input that an earlier run finished, with its rows.

    Attributes:
        ref: the input.
        rows: in order.
        missing: what they lack of all that its file gives, in words; empty when nothing.
    """

    ref: Input
    rows: list[MainRow]
    missing: str = ""

    @property
    def failed(self) -> bool:
        """Whether one of its rows is an error."""
        return any(row.status == ERROR for row in self.rows)


@dataclass(frozen=True, slots=True)
class EarlierShard:
    """A shard that an earlier run finished.

    Attributes:
        inputs: with their rows, in order.
        patch_bytes: of its masks and compressed tiles.
        patches: reads its patch sets, in order.
        replacement: opens what takes all its rows anew.
    """

    inputs: list[EarlierInput]
    patch_bytes: int
    patches: Callable[[], Generator[PatchRow]]
    replacement: Callable[[], AbstractContextManager[ShardWriter]]


@contextmanager
def dataset_output(
    root: str,
    config: Config,
    *,
    overwrite: bool = False,
    resume: bool = True,
    rows_per_shard: int = ROWS_PER_SHARD,
) -> Iterator["Dataset"]:
    """A dataset folder to write to, under its lock.

    Raises:
        OutputError: when the folder holds something else, belongs to another configuration, is
            written to by another run, or cannot be written.
    """
    _refuse_foreign(root)
    with writing(root):
        os.makedirs(root, exist_ok=True)
        lock = FileLock(os.path.join(root, LOCK), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise OutputError(f"another run is writing to {root}; wait for it to end") from None
    try:
        manifest = _claim(root, config, overwrite, resume)
        dataset = Dataset(root, manifest, rows_per_shard)
        with dataset:
            yield dataset
    finally:
        lock.release()


def _refuse_foreign(root: str) -> None:
    try:
        found = os.listdir(root)
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"{root} cannot be used as a folder: {error.strerror}") from error
    ours = [name for name in found if name == LOCK or name.endswith(TEMPORARY_SUFFIX)]
    if len(found) > len(ours) and MANIFEST not in found:
        raise OutputError(f"{root} holds other things than a dataset; use another folder")


def _claim(root: str, config: Config, overwrite: bool, resume: bool) -> Manifest:
    """The manifest to go on from; the folder is as that manifest says."""
    manifest = _earlier_manifest(root)
    if manifest is not None and overwrite:
        _remove(root, manifest)
        manifest = None
    if manifest is None:
        manifest = Manifest(config)
        manifest.write(root)
    _refuse_other_configuration(root, manifest, config)
    if manifest.shards and not resume:
        raise OutputError(f"{root} holds an earlier run; use --overwrite or another folder")
    with writing(root):
        for kind in manifest.kinds:
            os.makedirs(os.path.join(root, kind), exist_ok=True)
        _recover(root, manifest)
    return manifest


def _earlier_manifest(root: str) -> Manifest | None:
    try:
        return Manifest.read(root)
    except FileNotFoundError:
        return None
    except DamagedError as error:
        raise OutputError(f"{error}; move {root} away or use another folder") from error


def _refuse_other_configuration(root: str, manifest: Manifest, config: Config) -> None:
    differing = [
        f"{name}: {_shown(manifest.config, name)} there and {_shown(config, name)} here"
        for name in sorted({*manifest.config, *config})
        if manifest.config.get(name) != config.get(name)
    ]
    if differing:
        raise OutputError(
            f"{root} was made with another configuration ({', '.join(differing)}); "
            "use --overwrite or another folder"
        )


def _shown(config: Config, name: str) -> str:
    text = json.dumps(config[name]) if name in config else "nothing"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _remove(root: str, manifest: Manifest) -> None:
    """Remove the shards that a manifest names, its unfinished one included, the last one first.

    The manifest stays until another takes its place: a run that is killed in between leaves
    what `--overwrite` can go on removing.
    """
    with writing(root):
        for number in reversed(range(len(manifest.shards) + 1)):
            _remove_shard(root, number, manifest)
        for kind in manifest.kinds:
            with suppress(OSError):
                os.rmdir(os.path.join(root, kind))


def _remove_shard(root: str, number: int, manifest: Manifest) -> None:
    for kind in reversed(manifest.kinds):  # the main rows first: without them there is no shard
        for suffix in ("", NEW_SUFFIX):
            with suppress(FileNotFoundError):
                os.unlink(shard_path(root, kind, number) + suffix)


def _recover(root: str, manifest: Manifest) -> None:
    """Bring the files of a killed run into the state that its manifest speaks of."""
    for folder in (root, *(os.path.join(root, kind) for kind in manifest.kinds)):
        for name in os.listdir(folder):
            if name.endswith(TEMPORARY_SUFFIX):
                os.unlink(os.path.join(folder, name))
    for number, shard in enumerate(manifest.shards):
        _settle_replacement(root, number, shard)
    number = len(manifest.shards)
    if adopted := _shard_beyond_manifest(root, number, manifest):
        manifest.shards.append(adopted)
        manifest.write(root)
    else:
        _remove_shard(root, number, manifest)


def _settle_replacement(root: str, number: int, shard: Shard) -> None:
    """Finish a replacement that the manifest records already; drop one that it does not."""
    for kind, record in shard.files.items():
        path = shard_path(root, kind, number)
        if os.path.exists(path + NEW_SUFFIX):
            if FileRecord(*digest_of(path + NEW_SUFFIX)) == record:
                os.replace(path + NEW_SUFFIX, path)
            else:
                os.unlink(path + NEW_SUFFIX)


def _shard_beyond_manifest(root: str, number: int, manifest: Manifest) -> Shard | None:
    """A shard that was put in place just before the run was killed, if it is whole."""
    path = shard_path(root, manifest.main_kind, number)
    if not os.path.exists(path):
        return None
    try:
        shard = shard_record(path, manifest.config)
        if manifest.has_patches:
            found = FileRecord(*digest_of(shard_path(root, PATCHES, number)))
            if shard.files.get(PATCHES) != found:
                return None
    except (DamagedError, FileNotFoundError):
        return None
    shard.files[manifest.main_kind] = FileRecord(*digest_of(path))
    return shard


class Dataset:
    """The sink of a run that writes a dataset folder."""

    def __init__(self, root: str, manifest: Manifest, rows_per_shard: int) -> None:
        self._root = root
        self._manifest = manifest
        self._rows_per_shard = rows_per_shard
        self._writer: ShardWriter | None = None
        self._space_warned = False

    def earlier(self, refs: Iterator[Input]) -> Iterator[EarlierShard]:
        """Take from `refs` the inputs that an earlier run finished, and say what it found.

        Raises:
            OutputError: when the inputs are not the same.
        """
        for number, shard in enumerate(self._manifest.shards):
            yield self._earlier_shard(number, shard, refs)
        if self._manifest.finished and (more := next(refs, None)):
            raise OutputError(
                f"{self._root} holds a finished run without {more.image_id}; "
                "use --overwrite or another folder"
            )

    def _earlier_shard(self, number: int, shard: Shard, refs: Iterator[Input]) -> EarlierShard:
        try:
            kind = self._manifest.main_kind
            rows = list(read_rows(shard_path(self._root, kind, number), kind))
        except DamagedError as error:
            raise OutputError(
                f"{error}; pixelprune verify tells more, --overwrite starts anew"
            ) from error
        groups: list[list[MainRow]] = []
        for before, row in pairwise([None, *rows]):
            if row.begins_input(before):
                groups.append([])
            groups[-1].append(row)
        taken = list(islice(refs, shard.inputs))
        digest, check = InputsDigest(), PageCheck(self._manifest.config)
        inputs = []
        for ref, group in zip(taken, groups, strict=False):
            for row in group:
                check.add(row)
            inputs.append(EarlierInput(ref, group, check.missing()))
            digest.add(ref, inputs[-1].failed)
        if not len(taken) == len(groups) == shard.inputs:
            raise OutputError(
                self._inputs_differ(number, f"{len(taken):,} of its {shard.inputs:,} are there")
            )
        if digest.hexdigest() != shard.inputs_digest:
            raise OutputError(self._inputs_differ(number, _first_difference(inputs)))
        return EarlierShard(
            inputs,
            shard.patch_bytes,
            partial(self._patches, number),
            partial(self._replacing, number),
        )

    def _inputs_differ(self, number: int, what: str) -> str:
        return (
            f"{self._root} belongs to other inputs: those of shard {number} have changed ({what}); "
            "use --overwrite or another folder"
        )

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
            self._manifest.shards[number] = writer.shard
            self._manifest.write(self._root)
            with writing(self._root):
                _settle_replacement(self._root, number, writer.shard)
        finally:
            writer.discard()

    def add(self, row: MainRow, patches: PatchRow | None) -> None:
        """Take one row, and the patch set of its page when there is one."""
        if self._writer is None:
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
        self._manifest.shards.append(writer.shard)
        self._manifest.write(self._root)

    def _warn_of_little_space(self) -> None:
        with suppress(OSError):
            free = shutil.disk_usage(self._root).free
            if free < _LITTLE_SPACE and not self._space_warned:
                self._space_warned = True
                logger.warning(
                    "only %s MB are left where %s lies", f"{free // 10**6:,}", self._root
                )

    def __enter__(self) -> "Dataset":
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        whole = self._writer is None or not self._writer.within_input
        if kind is None or (whole and issubclass(kind, StoppedError | DamagedError | UsageError)):
            self._end_shard()
        elif self._writer is not None:
            self._writer.discard()
        if kind is None and not self._manifest.finished:
            self._manifest.finished = True
            self._manifest.write(self._root)


def _first_difference(inputs: list[EarlierInput]) -> str:
    for one in inputs:
        if difference := one.ref.difference(one.rows[0], one.failed):
            return difference
    return "a file was written to since"
