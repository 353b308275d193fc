"""Where rows go: a dataset folder, one file, or standard output."""

import io
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import BinaryIO, Protocol, cast

from ppcli.errors import OutputError, UsageError
from ppcli.store.atomic import atomic_file
from ppcli.store.choices import Format
from ppcli.store.manifest import MANIFEST, PATCHES, STATS, Manifest, Shard, shard_path
from ppcli.store.parquet import ParquetRows, patches_parquet, stats_parquet
from ppcli.store.rows import PatchRow, StatsRow
from ppcli.store.schema import Config, FileMetadata
from ppcli.store.text import ArrowStream, CsvLines, JsonLines

STDOUT = "-"
ROWS_PER_SHARD = 10_000
PATCH_BYTES_PER_SHARD = 1 << 30


_BY_SUFFIX = {".jsonl": Format.JSONL, ".csv": Format.CSV, ".parquet": Format.PARQUET}
_OTHER_SUFFIXES = frozenset(
    {".json", ".ndjson", ".tsv", ".txt", ".arrow", ".feather", ".xlsx", ".db"}
)


class RowSink(Protocol):
    """What a run writes to."""

    def add(self, stats: StatsRow, patches: PatchRow | None) -> None:
        """Take the row of one page, and its patch set when there is one."""

    def end_of_input(self) -> None:
        """All rows of an input file have been added."""


class _StatsWriter(Protocol):
    def add(self, row: StatsRow) -> None: ...


def single_file_format(target: str) -> Format | None:
    """The format of an output that is one file, or None when the target is a folder.

    Raises:
        UsageError: for the name of a kind of file that is not written.
    """
    suffix = os.path.splitext(target)[1].lower()
    if suffix in _OTHER_SUFFIXES:
        raise UsageError(
            f"{target}: single files are written as .parquet, .jsonl or .csv; "
            "another name is taken for a folder, and this does not look like one"
        )
    return _BY_SUFFIX.get(suffix)


class StatsOnly:
    """One file or stream of statistics."""

    def __init__(self, writer: _StatsWriter) -> None:
        self._writer = writer

    def add(self, stats: StatsRow, patches: PatchRow | None) -> None:
        """Write the statistics."""
        self._writer.add(stats)

    def end_of_input(self) -> None:
        """Nothing to do between inputs."""


@contextmanager
def file_output(
    target: str, row_format: Format, config: Config, overwrite: bool
) -> Iterator[RowSink]:
    """One statistics file, in place only when the run came to its end.

    Raises:
        OutputError: when it exists and may not be overwritten, or cannot be written.
    """
    if os.path.lexists(target) and not overwrite:
        raise OutputError(f"{target} exists; use --overwrite or another name")
    with atomic_file(target) as file, _stats_writer(file, row_format, config) as writer:
        yield StatsOnly(writer)


@contextmanager
def stream_output(stream: BinaryIO, row_format: Format, config: Config) -> Iterator[RowSink]:
    """Rows to a stream that cannot seek, such as a pipe."""
    with _stats_writer(cast(BinaryIO, _CountingStream(stream)), row_format, config) as writer:
        yield StatsOnly(writer)
    stream.flush()


def _stats_writer(
    file: BinaryIO,
    row_format: Format,
    config: Config,
) -> AbstractContextManager[_StatsWriter]:
    metadata = FileMetadata(STATS, config)
    if row_format is Format.JSONL:
        return JsonLines(file)
    if row_format is Format.CSV:
        return CsvLines(file)
    if row_format is Format.ARROW:
        return ArrowStream(file, metadata)
    return stats_parquet(file, metadata)


class _CountingStream(io.RawIOBase):
    """Gives Arrow the position it asks for, which a pipe does not know."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        self._stream.write(data)
        size = memoryview(data).nbytes
        self._written += size
        return size

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        if not self._stream.closed:
            self._stream.flush()


@contextmanager
def dataset_output(root: str, config: Config, overwrite: bool) -> Iterator[RowSink]:
    """A dataset folder of numbered shards.

    Raises:
        OutputError: when the folder holds something else, or cannot be written.
    """
    _claim(root, config, overwrite)
    manifest = Manifest(config)
    manifest.write(root)
    writer = DatasetWriter(root, manifest)
    with writer:
        yield writer
    manifest.finished = True
    manifest.write(root)


def _claim(root: str, config: Config, overwrite: bool) -> None:
    """Make sure the folder is ours to write to, and empty of an earlier run."""
    try:
        os.makedirs(root, exist_ok=True)
        found = os.listdir(root)
    except OSError as error:
        raise OutputError(f"{root} cannot be used as a folder: {error.strerror}") from error
    if found:
        if MANIFEST not in found:
            raise OutputError(f"{root} holds other things than a dataset; use another folder")
        earlier = Manifest.read(root)
        if not overwrite:
            raise OutputError(f"{root} {_what_is_there(earlier, config)}")
        _remove(root, earlier)
    try:
        os.makedirs(os.path.join(root, STATS), exist_ok=True)
        if config["patches"]:
            os.makedirs(os.path.join(root, PATCHES), exist_ok=True)
    except OSError as error:
        raise OutputError(f"{root} cannot be written: {error.strerror}") from error


def _what_is_there(earlier: Manifest, config: Config) -> str:
    advice = "use --overwrite or another folder"
    names = sorted({*earlier.config, *config})
    differing = [
        f"{name} {earlier.config.get(name)!r} there and {config.get(name)!r} here"
        for name in names
        if earlier.config.get(name) != config.get(name)
    ]
    if differing:
        return f"was made with another configuration ({', '.join(differing)}); {advice}"
    state = "a finished" if earlier.finished else "an unfinished"
    return f"holds {state} run of this configuration; {advice}"


def _remove(root: str, earlier: Manifest) -> None:
    """Remove what an earlier manifest names, its unfinished shard included, and nothing else."""
    os.unlink(os.path.join(root, MANIFEST))
    for number in range(len(earlier.shards) + 1):
        for kind in (STATS, PATCHES):
            with suppress(FileNotFoundError):
                os.unlink(shard_path(root, kind, number))
    for kind in (STATS, PATCHES):
        with suppress(OSError):
            os.rmdir(os.path.join(root, kind))


class DatasetWriter:
    """Writes shards: patches are put in place first, statistics second, the manifest last."""

    def __init__(self, root: str, manifest: Manifest) -> None:
        self._root = root
        self._manifest = manifest
        self._stack: ExitStack | None = None
        self._shard = Shard()
        self._patch_bytes = 0
        self._stats: ParquetRows | None = None
        self._patches: ParquetRows | None = None

    def add(self, stats: StatsRow, patches: PatchRow | None) -> None:
        """Take the row of one page, and its patch set when there is one."""
        if self._stack is None:
            self._begin_shard()
        assert self._stats is not None
        self._stats.add(stats)
        self._shard.rows += 1
        if patches is not None:
            assert self._patches is not None
            self._patches.add(patches)
            self._shard.patch_sets += 1
            self._patch_bytes += patches.nbytes

    def end_of_input(self) -> None:
        """Close the shard when it is large enough; shards end between inputs."""
        self._shard.inputs += 1
        if self._shard.rows >= ROWS_PER_SHARD or self._patch_bytes >= PATCH_BYTES_PER_SHARD:
            self._end_shard()

    def _begin_shard(self) -> None:
        number = len(self._manifest.shards)
        config = self._manifest.config
        with ExitStack() as stack:

            def part(kind: str) -> BinaryIO:
                return stack.enter_context(atomic_file(shard_path(self._root, kind, number)))

            # Left in reverse order: the patches are in place before the statistics are.
            self._stats = stack.enter_context(
                stats_parquet(part(STATS), FileMetadata(STATS, config))
            )
            if self._manifest.has_patches:
                self._patches = stack.enter_context(
                    patches_parquet(part(PATCHES), FileMetadata(PATCHES, config))
                )
            self._stack = stack.pop_all()

    def _end_shard(self) -> None:
        if self._stack is not None:
            stack, self._stack = self._stack, None
            stack.close()
            self._manifest.shards.append(self._shard)
            self._manifest.write(self._root)
            self._shard = Shard()
            self._patch_bytes = 0

    def __enter__(self) -> "DatasetWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        if kind is None:
            self._end_shard()
        elif self._stack is not None:
            self._stack.__exit__(kind, *details)  # type: ignore[arg-type]
