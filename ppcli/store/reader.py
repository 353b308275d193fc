"""Reads rows and patch sets from dataset folders and single files."""

import json
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ppcli.errors import DamagedError, UsageError
from ppcli.store.formats import Config, Kept
from ppcli.store.kept_columns import read_kept
from ppcli.store.manifest import Manifest, main_kind
from ppcli.store.places.place import Place, place_of
from ppcli.store.rows import PATCHES, ROW_TYPES, STATS, SWEEP, PatchRow, column_names
from ppcli.store.schema import FileMetadata, is_compatible, own_schema
from ppcli.store.shards import SHARD_KEY, Shard, shard_path

_ROWS_PER_BATCH = 16
_GROUPS_AT_A_TIME = 8
_THREADS = 8


def patch_files(path: str) -> list[Place]:
    """Return the patch-set files of a dataset folder, or the given file.

    Args:
        path: path or URL of the folder or the file.

    Raises:
        UsageError: the path does not exist, or has no patch sets.
        DamagedError: the manifest is unreadable.
    """
    place = place_of(path)
    if is_single_file(place):
        return [place]
    try:
        manifest = Manifest.read(place)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{place} is not a dataset") from None
    if not manifest.has_patches:
        how = {STATS: "with --no-patches", SWEEP: "by sweep"}.get(manifest.main_kind, "by infer")
        raise UsageError(f"{place} has no patch sets: it was made {how}")
    return [shard_path(place, PATCHES, number) for number in range(len(manifest.shards))]


def is_single_file(place: Place) -> bool:
    """Return whether there is a Parquet file at a place, rather than a folder or nothing.

    Raises:
        UsageError: there is a file of another kind.
    """
    if not place.is_file():
        return False
    if not str(place).lower().endswith(".parquet"):
        raise UsageError(f"{place} is neither a dataset folder nor a .parquet file")
    return True


@contextmanager
def as_damaged_error(path: Place) -> Iterator[None]:
    """Convert errors of Arrow into a `DamagedError` that names the file."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DamagedError(f"{path}: {reason}") from error


def read_metadata(path: str | Place) -> FileMetadata:
    """Read the metadata that pixelprune wrote to a Parquet file.

    Raises:
        DamagedError: the file is unreadable, or was not written by pixelprune.
    """
    place = place_of(path)
    with as_damaged_error(place), place.open() as file:
        return _metadata_of(pq.read_schema(file), place)


def _metadata_of(schema: pa.Schema, path: Place) -> FileMetadata:
    try:
        return FileMetadata.of(schema)
    except DamagedError as error:
        raise DamagedError(f"{path}: {error}") from error


@contextmanager
def open_parquet(
    path: str | Place, kind: str, config: Config | None = None
) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file of pixelprune with verification of its page checksums.

    Args:
        path: the file.
        kind: kind of its rows: `stats`, `patches`, `answers`, `scores` or `sweep`.
        config: configuration that it must have; None accepts any.

    Raises:
        DamagedError: it is unreadable, or has another kind or configuration.
    """
    place = place_of(path)
    with as_damaged_error(place), place.open() as raw:
        file = pq.ParquetFile(raw, page_checksum_verification=True, pre_buffer=place.is_far)
        metadata = _metadata_of(file.schema_arrow, place)
        if metadata.kind != kind or not is_compatible(file.schema_arrow, metadata):
            raise DamagedError(f"{place} does not have the columns of {kind}")
        if config is not None and metadata.config != config:
            raise DamagedError(f"{place} has another configuration than the manifest")
        yield file


def read_patch_rows(
    path: str | Place,
    image_ids: Collection[str] | None = None,
    config: Config | None = None,
    first: str | None = None,
) -> Iterator[PatchRow]:
    """Iterate over the rows of a patch-set file, with few of them in memory.

    Args:
        path: the file.
        image_ids: ids of the rows to read; None reads all.
        config: configuration that the file must have; None accepts any.
        first: id of a row; those in row groups before its own are left out. None reads all.

    Raises:
        DamagedError: the file is unreadable, or a checksum does not match.
    """
    wanted = None if image_ids is None else pa.array(list(image_ids), pa.string())
    with open_parquet(path, PATCHES, config) as file:
        for group in range(_group_of(file, first), file.num_row_groups):
            if wanted is not None and not _has_any(file, group, wanted):
                continue
            for batch in file.iter_batches(_ROWS_PER_BATCH, row_groups=[group]):
                chosen = batch
                if wanted is not None:
                    chosen = batch.filter(pc.is_in(batch["image_id"], value_set=wanted))
                yield from (PatchRow(**row) for row in chosen.to_pylist())


def _group_of(file: pq.ParquetFile, image_id: str | None) -> int:
    """Return the number of the first row group with an id; if there is none, that of groups."""
    if image_id is None:
        return 0
    wanted = pa.array([image_id], pa.string())
    groups = (one for one in range(file.num_row_groups) if _may_have(file, one, image_id))
    return next((one for one in groups if _has_any(file, one, wanted)), file.num_row_groups)


def _may_have(file: pq.ParquetFile, group: int, image_id: str) -> bool:
    """Return whether the statistics of a row group, which are read already, allow an id."""
    column = file.schema_arrow.get_field_index("image_id")  # no column before it has parts
    found = file.metadata.row_group(group).column(column).statistics
    if found is None or not found.has_min_max:
        return True
    return bool(found.min_raw <= image_id.encode() <= found.max_raw)


def _has_any(file: pq.ParquetFile, group: int, wanted: pa.Array) -> bool:
    names = file.read_row_group(group, columns=["image_id"])["image_id"]
    return bool(pc.any(pc.is_in(names, value_set=wanted)).as_py())


def read_rows(path: str | Place, kind: str, config: Config | None = None) -> Iterator[Any]:
    """Iterate over the rows of a file of statistics, answers or scores.

    Raises:
        DamagedError: the file is unreadable, or a checksum does not match.
    """
    with open_parquet(path, kind, config) as file:
        own = _own_columns(file, kind)
        for batch in file.iter_batches(columns=list(own)):
            yield from _rows_of(batch, kind, own)


def read_rows_with_kept(
    path: str | Place, kind: str, config: Config | None = None
) -> Iterator[tuple[Any, Kept]]:
    """Iterate over rows and the columns that travel with them, with few of them in memory.

    Raises:
        DamagedError: the file is unreadable, or a checksum does not match.
    """
    with open_parquet(path, kind, config) as file:
        own = _own_columns(file, kind)
        kept = [name for name in file.schema_arrow.names if name not in own]
        for batch in file.iter_batches(_ROWS_PER_BATCH if kept else 65536):
            yield from zip(_rows_of(batch, kind, own), read_kept(batch, kept), strict=True)


def _own_columns(file: pq.ParquetFile, kind: str) -> dict[str, str]:
    """Return the columns of a file that belong to its rows, and what these call them."""
    metadata = FileMetadata.of(file.schema_arrow)
    names = own_schema(kind, metadata.config).names
    there = set(file.schema_arrow.names) - metadata.kept_names
    own = zip(names, column_names(kind, metadata.config), strict=True)
    return {name: called for name, called in own if name in there}


def _rows_of(batch: pa.RecordBatch, kind: str, own: dict[str, str]) -> Iterator[Any]:
    rows = batch.select(list(own)).rename_columns(list(own.values())).to_pylist()
    return (ROW_TYPES[kind](**row) for row in rows)


def read_image_ids(path: Place, kind: str, config: Config) -> list[str]:
    """Return the column `image_id`; of a far file, without its other columns, in a few threads.

    Raises:
        DamagedError: the file is unreadable, or a checksum does not match.
    """
    with open_parquet(path, kind, config) as file:
        if not path.is_far or file.num_row_groups <= _GROUPS_AT_A_TIME:
            return _ids(file.read(columns=["image_id"]))
        groups = range(file.num_row_groups)
        some = [groups[start : start + _GROUPS_AT_A_TIME] for start in groups[::_GROUPS_AT_A_TIME]]
        with ThreadPoolExecutor(_THREADS) as threads:
            found = threads.map(partial(_ids_in, path, file.metadata), some)
            return [one for ids in found for one in ids]


def _ids_in(path: Place, metadata: pq.FileMetaData, groups: range) -> list[str]:
    with as_damaged_error(path), path.open() as raw:
        options = {"metadata": metadata, "page_checksum_verification": True}
        return _ids(pq.ParquetFile(raw, **options).read_row_groups(groups, columns=["image_id"]))


def _ids(table: pa.Table) -> list[str]:
    names: list[str] = table["image_id"].to_pylist()
    return names


def shard_record(path: Place, config: Config) -> Shard:
    """Read the record of the shard from the metadata of its file of main rows.

    Raises:
        DamagedError: the file is unreadable, or has another configuration or no record.
    """
    with open_parquet(path, main_kind(config), config) as file:
        text = file.metadata.metadata.get(SHARD_KEY.encode())
    if text is None:
        raise DamagedError(f"{path} has no record of its shard")
    try:
        return Shard.from_json(json.loads(text), Manifest(config).kinds)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} has an invalid record of its shard: {error}") from None


def count_patch_sets(files: Sequence[Place]) -> int:
    """Return the number of patch sets in files, from their metadata.

    Raises:
        DamagedError: a file is unreadable.
    """
    total = 0
    for path in files:
        with open_parquet(path, PATCHES) as file:
            total += file.metadata.num_rows
    return total
