"""What an earlier run finished, seen to be as it was written and to be of the same inputs."""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import islice, pairwise

from ppcli.errors import DamagedError
from ppcli.files import FileState, LocalFile
from ppcli.inputs.refs import ImageRef, Input
from ppcli.store.completeness import PageCheck
from ppcli.store.formats import Config
from ppcli.store.manifest import Manifest, Shard, shard_path
from ppcli.store.reader import open_parquet, read_rows, shard_record
from ppcli.store.rows import ERROR, OK, PATCHES, MainRow, PatchRow, StatsRow
from ppcli.store.shard_writer import InputsDigest, ShardWriter


@dataclass(frozen=True, slots=True)
class PreviousInput:
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
class PreviousShard:
    """A shard that an earlier run finished.

    Attributes:
        inputs: with their rows, in order.
        patch_bytes: of its masks and compressed tiles.
        patches: reads its patch sets, in order.
        replacement: opens what takes all its rows anew.
    """

    inputs: list[PreviousInput]
    patch_bytes: int
    patches: Callable[[], Generator[PatchRow]]
    replacement: Callable[[], AbstractContextManager[ShardWriter]]


def intact_rows(root: str, number: int, manifest: Manifest) -> list[MainRow]:
    """The rows of a shard whose files are those that were put in place.

    Of the patch sets the size and the names count, and whatever is read has its checksums: to
    read them all would take as long as to write them.

    Raises:
        DamagedError: when a file is another, or is missing.
    """
    shard, kind = manifest.shards[number], manifest.main_kind
    path = shard_path(root, kind, number)
    if change := shard.files[kind].change(path):
        raise DamagedError(f"{path} {change}")
    rows: list[MainRow] = list(read_rows(path, kind, manifest.config))
    failed = sum(row.status == ERROR for row in rows)
    counts = shard_record(path, manifest.config).counts
    if counts != shard.counts or (len(rows), failed) != (shard.rows, shard.failed):
        raise DamagedError(f"{path} counts otherwise than the manifest")
    if manifest.has_patches:
        _check_patches(shard_path(root, PATCHES, number), shard, rows, manifest.config)
    return rows


def _check_patches(path: str, shard: Shard, rows: list[MainRow], config: Config) -> None:
    try:
        same = os.path.getsize(path) == shard.files[PATCHES].size
    except FileNotFoundError:
        raise DamagedError(f"{path} is missing") from None
    except OSError as error:
        raise DamagedError(f"{path} cannot be read ({error.strerror})") from None
    if same:
        with open_parquet(path, PATCHES, config) as file:
            names = file.read(columns=["image_id"])["image_id"].to_pylist()
        same = names == [row.image_id for row in rows if row.status == OK]
    if not same:
        raise DamagedError(f"{path} is not as it was written")


def with_inputs(rows: list[MainRow], refs: Iterator[Input], config: Config) -> list[PreviousInput]:
    """The inputs that gave some rows, taken from `refs`; fewer when those end before."""
    groups: list[list[MainRow]] = []
    for before, row in pairwise([None, *rows]):
        assert row is not None
        if row.begins_input(before):
            groups.append([])
        groups[-1].append(row)
    check = PageCheck(config)
    inputs = []
    for ref, group in zip(islice(refs, len(groups)), groups, strict=False):
        for row in group:
            check.add(row)
        inputs.append(PreviousInput(ref, group, check.missing()))
    return inputs


def difference_to(shard: Shard, inputs: list[PreviousInput]) -> str:
    """Words for how these inputs are not those of a shard; empty when they are."""
    if len(inputs) != shard.inputs:
        return f"{len(inputs):,} of its {shard.inputs:,} are there"
    for with_paths in (False, True):  # until 0.1.0 paths counted
        digest = InputsDigest(with_paths)
        for one in inputs:
            digest.add(_as_named_before(one) if with_paths else one.ref, one.failed)
        if digest.hexdigest() == shard.inputs_digest:
            return ""
    differences = (one.ref.difference(one.rows[0], one.failed) for one in inputs)
    return next(filter(None, differences), "a file was written to since")


def _as_named_before(one: PreviousInput) -> Input:
    if names := renamed(one):
        assert isinstance(one.ref, ImageRef)
        state = one.ref.file.state() or FileState(-1, -1)
        return replace(one.ref, file=LocalFile(names[1]), state=state)
    return one.ref


def renamed(one: PreviousInput) -> tuple[str, str] | None:
    """The path of an input now and before, where they are not the same."""
    ref, row = one.ref, one.rows[0]
    if isinstance(ref, ImageRef) and isinstance(row, StatsRow) and ref.shown_path != row.path:
        return ref.shown_path, row.path
    return None
