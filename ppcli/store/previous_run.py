"""Reads the finished shards of a previous run and checks that files and inputs are the same."""

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import islice, pairwise

from ppcli.errors import DamagedError
from ppcli.files import FileState, LocalFile
from ppcli.inputs.refs import ImageRef, Input, fingerprint_column
from ppcli.store.completeness import PageCheck
from ppcli.store.formats import Config, Kept
from ppcli.store.manifest import main_kind
from ppcli.store.places.place import Place
from ppcli.store.reader import read_image_ids, read_rows, shard_record
from ppcli.store.rows import ERROR, OK, PATCHES, MainRow, PatchRow, StatsRow
from ppcli.store.shard_writer import InputsDigest, ShardWriter
from ppcli.store.shards import Shard, shard_path


@dataclass(frozen=True, slots=True)
class RowsOfInput:
    """The rows of one input, in order.

    Attributes:
        rows: at least one.
        missing: describes missing pages; empty if the rows are complete.
    """

    rows: list[MainRow]
    missing: str = ""


@dataclass(frozen=True, slots=True)
class PreviousInput:
    """An input that a previous run finished, with its rows.

    Attributes:
        ref: the input.
        rows: its rows in order.
        missing: describes missing pages; empty if the rows are complete.
        is_changed: its content has changed since, so that its rows are to be replaced.
        is_given: `ref` is from the inputs of this run, so that it can be worked on again.
        is_dropped: its rows are to be dropped.
    """

    ref: Input
    rows: list[MainRow]
    missing: str = ""
    is_changed: bool = False
    is_given: bool = True
    is_dropped: bool = False

    @property
    def failed(self) -> bool:
        """Whether it has an error row."""
        return any(row.status == ERROR for row in self.rows)

    @property
    def fingerprint(self) -> str | None:
        """The column `fingerprint` of its rows, which versions up to 0.1.0 did not write."""
        return getattr(self.rows[0], "fingerprint", None)

    @property
    def is_same(self) -> bool:
        """Whether the input is the one of the rows; a failed one may have been repaired."""
        if self.failed:
            return self.ref.name == self.rows[0].input_name
        return self.fingerprint == fingerprint_column(self.ref, failed=False)


@dataclass(frozen=True, slots=True)
class PreviousShard:
    """A shard that a previous run finished.

    Attributes:
        inputs: its inputs in order, with their rows.
        patch_bytes: bytes of its masks and compressed tiles.
        patches: reads its patch sets in order.
        kept: reads the kept columns of its rows in order.
        replacement: opens a writer for all its rows, which replaces the shard.
    """

    inputs: list[PreviousInput]
    patch_bytes: int
    patches: Callable[[], Generator[PatchRow]]
    kept: Callable[[], Generator[Kept | None]]
    replacement: Callable[[], AbstractContextManager[ShardWriter]]


def intact_rows(root: Place, number: int, shard: Shard, config: Config) -> list[MainRow]:
    """Return the rows of a shard after checking its files.

    Of the patch sets only the size and the ids are compared, since reading them would take as
    long as writing them. Their checksums are compared whenever they are read.

    Raises:
        DamagedError: a file is missing or was changed.
    """
    kind = main_kind(config)
    with shard_path(root, kind, number).near() as path:
        if difference := shard.files[kind].difference(path):
            raise DamagedError(f"{path} {difference}")
        rows: list[MainRow] = list(read_rows(path, kind, config))
        counts = shard_record(path, config).counts
    failed = sum(row.status == ERROR for row in rows)
    if counts != shard.counts or (len(rows), failed) != (shard.rows, shard.failed):
        raise DamagedError(f"the counts in {path} differ from those in the manifest")
    if PATCHES in shard.files:
        _check_patches(shard_path(root, PATCHES, number), shard, rows, config)
    return rows


def _check_patches(path: Place, shard: Shard, rows: list[MainRow], config: Config) -> None:
    try:
        same = path.size() == shard.files[PATCHES].size
    except FileNotFoundError:
        raise DamagedError(f"{path} is missing") from None
    except OSError as error:
        raise DamagedError(f"{path} cannot be read ({error.strerror or error})") from None
    if same:
        same = read_image_ids(path, PATCHES, config) == [
            row.image_id for row in rows if row.status == OK
        ]
    if not same:
        raise DamagedError(f"{path} was changed after it was written")


def by_input(rows: list[MainRow], config: Config) -> list[RowsOfInput]:
    """Group rows by input."""
    groups: list[list[MainRow]] = []
    for before, row in pairwise([None, *rows]):
        assert row is not None
        if row.begins_input(before):
            groups.append([])
        groups[-1].append(row)
    check = PageCheck(config)
    found = []
    for group in groups:
        for row in group:
            check.add(row)
        found.append(RowsOfInput(group, check.missing()))
    return found


def with_inputs(groups: list[RowsOfInput], refs: Iterator[Input]) -> list[PreviousInput]:
    """Pair the rows of inputs with the next inputs of `refs`, which may be fewer."""
    pairs = zip(islice(refs, len(groups)), groups, strict=False)
    return [PreviousInput(ref, one.rows, one.missing) for ref, one in pairs]


def difference_to(shard: Shard, inputs: list[PreviousInput]) -> str:
    """Describe how inputs differ from those of a shard; an empty text if they do not."""
    if len(inputs) != shard.inputs:
        return f"only {len(inputs):,} of {shard.inputs:,} inputs are left"
    if any(one.fingerprint for one in inputs):
        if all(one.is_same for one in inputs):
            return ""
    elif _fits(shard, inputs, with_paths=False) or _fits(shard, inputs, with_paths=True):
        return ""
    differences = (one.ref.difference(one.rows[0], one.failed) for one in inputs)
    return next(filter(None, differences), "a file was modified")


def _fits(shard: Shard, inputs: list[PreviousInput], with_paths: bool) -> bool:
    """Compare the digest of a shard, which included paths up to version 0.1.0."""
    digest = InputsDigest(with_paths)
    for one in inputs:
        digest.add(_with_previous_path(one) if with_paths else one.ref, one.failed)
    return digest.hexdigest() == shard.inputs_digest


def _with_previous_path(one: PreviousInput) -> Input:
    if names := changed_path(one):
        assert isinstance(one.ref, ImageRef)
        state = one.ref.file.state() or FileState(-1, -1)
        return replace(one.ref, file=LocalFile(names[1]), state=state)
    return one.ref


def changed_path(one: PreviousInput) -> tuple[str, str] | None:
    """Return the current and the previous path of an input if they differ."""
    ref, row = one.ref, one.rows[0]
    if isinstance(ref, ImageRef) and isinstance(row, StatsRow) and ref.shown_path != row.path:
        return ref.shown_path, row.path
    return None
