"""Reading patch sets back from a dataset folder or a file."""

import os
from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ppcli.errors import DamagedError, UsageError
from ppcli.store.codec import StoredPatchSet, unpack
from ppcli.store.manifest import PATCHES, Manifest, shard_path
from ppcli.store.rows import PatchRow
from ppcli.store.schema import PATCHES_SCHEMA, FileMetadata

_ROWS_AT_A_TIME = 16


def patch_files(path: str) -> list[str]:
    """The files that hold the patch sets of a dataset folder, or the one file named.

    Raises:
        UsageError: when there is no such thing, or it has no patch sets.
        DamagedError: when the manifest is unreadable.
    """
    if os.path.isfile(path):
        return [path]
    try:
        manifest = Manifest.read(path)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{path}: there is no dataset here") from None
    if not manifest.has_patches:
        raise UsageError(f"{path} was made with --no-patches, so it has no patch sets")
    return [shard_path(path, PATCHES, number) for number in range(len(manifest.shards))]


def open_parquet(path: str, schema: pa.Schema, kind: str) -> pq.ParquetFile:
    """Open a file of ours for reading with its checksums.

    Raises:
        DamagedError: when it is not readable, of another kind or of another schema.
    """
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        metadata = FileMetadata.of(file.schema_arrow)
    except (OSError, pa.ArrowException) as error:
        raise DamagedError(f"{path}: {one_line(error)}") from error
    except DamagedError as error:
        raise DamagedError(f"{path}: {error}") from error
    if metadata.kind != kind or not file.schema_arrow.equals(schema):
        raise DamagedError(f"{path} does not have the columns of {kind}")
    return file


def one_line(error: BaseException) -> str:
    """The first line of an error, or its name when it has no text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def read_patch_rows(path: str, image_ids: Collection[str] | None = None) -> Iterator[PatchRow]:
    """The rows of one file of patch sets, a few at a time in memory.

    Raises:
        DamagedError: when the file is not readable or a checksum is wrong.
    """
    wanted = None if image_ids is None else pa.array(list(image_ids), pa.string())
    file = open_parquet(path, PATCHES_SCHEMA, PATCHES)
    try:
        for group in range(file.num_row_groups):
            if wanted is not None:
                names = file.read_row_group(group, columns=["image_id"])["image_id"]
                if not pc.any(pc.is_in(names, value_set=wanted)).as_py():
                    continue
            for batch in file.iter_batches(_ROWS_AT_A_TIME, row_groups=[group]):
                chosen = batch
                if wanted is not None:
                    chosen = batch.filter(pc.is_in(batch["image_id"], value_set=wanted))
                yield from (PatchRow(**row) for row in chosen.to_pylist())
    except (OSError, pa.ArrowException) as error:
        raise DamagedError(f"{path}: {one_line(error)}") from error
    finally:
        file.close()


def read_patch_sets(
    path: str | os.PathLike[str], image_ids: Collection[str] | None = None
) -> Iterator[StoredPatchSet]:
    """Patch sets in the order they were written.

    Args:
        path: a dataset folder that `analyze` wrote, or one of its patch files.
        image_ids: only these, when given.

    Raises:
        UsageError: when the path is no dataset, or one without patch sets.
        DamagedError: when a file, or a patch set in it, is damaged.
    """
    for file in patch_files(os.fspath(path)):
        for row in read_patch_rows(file, image_ids):
            try:
                yield unpack(row)
            except DamagedError as error:
                raise DamagedError(f"{file}, {row.image_id}: {error}") from error
