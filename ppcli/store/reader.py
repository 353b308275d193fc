"""Reading patch sets back from a dataset folder or a file."""

import json
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ppcli.arguments import as_int, as_path, as_text_list
from ppcli.errors import DamagedError, ImageError, UsageError, bounded
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
from ppcli.inputs.refs import escape_name
from ppcli.store.formats import Config
from ppcli.store.manifest import SHARD_KEY, Manifest, Shard, main_kind, shard_path
from ppcli.store.patch_codec import StoredPatchSet, from_patch_row
from ppcli.store.rows import PATCHES, ROW_TYPES, STATS, PatchRow
from ppcli.store.schema import SCHEMAS, FileMetadata, is_compatible

_ROWS_AT_A_TIME = 16


def patch_files(path: str) -> list[str]:
    """The files that hold the patch sets of a dataset folder, or the one file named.

    Raises:
        UsageError: when there is no such thing, or it has no patch sets.
        DamagedError: when the manifest is unreadable.
    """
    if os.path.isfile(path):
        if not is_parquet(path):
            raise UsageError(f"{path} is neither a dataset folder nor a .parquet file")
        return [path]
    try:
        manifest = Manifest.read(path)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{path}: there is no dataset here") from None
    if not manifest.has_patches:
        how = "with --no-patches" if manifest.main_kind == STATS else "by infer"
        raise UsageError(f"{path} was made {how}, so it has no patch sets")
    return [shard_path(path, PATCHES, number) for number in range(len(manifest.shards))]


def is_parquet(path: str) -> bool:
    """Whether a file is named like the ones that are read here."""
    return os.path.splitext(path)[1].lower() == ".parquet"


@contextmanager
def as_damaged_error(path: str) -> Iterator[None]:
    """Turn what Arrow says of a file into a `DamagedError` that names the file."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DamagedError(f"{path}: {reason}") from error


def open_native(path: str) -> pa.NativeFile:
    """A file for Arrow, whose names of files are UTF-8 unless they are given as bytes.

    Raises:
        OSError: when it cannot be opened.
    """
    return pa.OSFile(os.fsencode(path))


def read_metadata(path: str) -> FileMetadata:
    """What a Parquet file says of itself.

    Raises:
        DamagedError: when it is not readable, or not one of ours.
    """
    with as_damaged_error(path), open_native(path) as file:
        schema = pq.read_schema(file)
    try:
        return FileMetadata.of(schema)
    except DamagedError as error:
        raise DamagedError(f"{path}: {error}") from error


@contextmanager
def open_parquet(path: str, kind: str, config: Config | None = None) -> Iterator[pq.ParquetFile]:
    """Open a file of ours for reading with its checksums.

    Args:
        path: of the file.
        kind: of its rows: `stats`, `patches` or `answers`.
        config: when given, the configuration it must have been made with.

    Raises:
        DamagedError: when it is not readable, or another file than that.
    """
    metadata = read_metadata(path)
    with as_damaged_error(path), open_native(path) as raw:
        file = pq.ParquetFile(raw, page_checksum_verification=True)
        if metadata.kind != kind or not is_compatible(file.schema_arrow, SCHEMAS[kind]):
            raise DamagedError(f"{path} does not have the columns of {kind}")
        if config is not None and metadata.config != config:
            raise DamagedError(f"{path} was made with another configuration than the manifest's")
        yield file


def read_patch_rows(
    path: str, image_ids: Collection[str] | None = None, config: Config | None = None
) -> Iterator[PatchRow]:
    """The rows of one file of patch sets, a few at a time in memory.

    Args:
        path: of the file.
        image_ids: only these, when given.
        config: when given, the configuration it must have been made with.

    Raises:
        DamagedError: when the file is not readable or a checksum is wrong.
    """
    wanted = None if image_ids is None else pa.array(list(image_ids), pa.string())
    with open_parquet(path, PATCHES, config) as file:
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


def read_rows(path: str, kind: str, config: Config | None = None) -> Iterator[Any]:
    """The rows of one file of statistics or of answers.

    Raises:
        DamagedError: when the file is not readable or a checksum is wrong.
    """
    with open_parquet(path, kind, config) as file:
        for batch in file.iter_batches():
            yield from (ROW_TYPES[kind](**row) for row in batch.to_pylist())


def shard_record(path: str, config: Config) -> Shard:
    """What a file of main rows says of the shard that it completes.

    Raises:
        DamagedError: when it is not readable, or of another configuration.
    """
    with open_parquet(path, main_kind(config), config) as file:
        text = file.metadata.metadata.get(SHARD_KEY.encode())
    if text is None:
        raise DamagedError(f"{path} does not say which inputs it covers")
    try:
        return Shard.from_json(json.loads(text), Manifest(config).kinds)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} does not say which inputs it covers: {error}") from None


def count_patch_sets(files: Sequence[str]) -> int:
    """How many patch sets files say they hold.

    Raises:
        DamagedError: when one is not readable.
    """
    total = 0
    for path in files:
        with open_parquet(path, PATCHES) as file:
            total += file.metadata.num_rows
    return total


def chosen_patch_rows(
    dataset: str, files: Sequence[str], image_ids: Collection[str] | None
) -> Iterator[PatchRow]:
    """The rows of some images; of all when none are named.

    Args:
        dataset: whose files they are, for messages.
        files: of patch sets.
        image_ids: which images; a name that is not UTF-8 as the system spells it, or escaped.

    Raises:
        UsageError: after the others, when one is not there.
        DamagedError: when a file is not readable or a checksum is wrong.
    """
    wanted = None if image_ids is None else {_as_stored(one) for one in image_ids}
    missing = set(wanted or ())
    for file in files:
        for row in read_patch_rows(file, wanted):
            missing.discard(row.image_id)
            yield row
    if missing:
        raise UsageError(
            f"{dataset} has no patch set of {', '.join(map(bounded, sorted(missing)))}; ids are "
            "those in the column image_id, pages with their #N"
        )


def _as_stored(image_id: str) -> str:
    """An id as datasets have it, where it is given as a name that is not UTF-8."""
    try:
        image_id.encode()
    except UnicodeEncodeError:
        return escape_name(image_id)
    return image_id


def read_patch_sets(
    path: str | os.PathLike[str],
    image_ids: Collection[str] | None = None,
    *,
    max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
) -> Iterator[StoredPatchSet]:
    """Patch sets in the order they were written.

    Args:
        path: a dataset folder that `analyze` wrote, or one of its patch files.
        image_ids: only these, when given: a list of ids. One that is not there gives nothing.
        max_image_pixels: the most pixels that a raster may have; nothing is allocated for more.

    Raises:
        UsageError: when the path is no dataset, or one without patch sets, or `image_ids` is
            one text.
        DamagedError: when a file, or a patch set in it, is damaged.
        ImageError: `too_large`.
    """
    path = as_path(path, "path")
    image_ids = None if image_ids is None else as_text_list(image_ids, "image_ids")
    as_int(max_image_pixels, "max_image_pixels", 1)
    return _patch_sets(path, image_ids, max_image_pixels)


def _patch_sets(
    path: str, image_ids: Collection[str] | None, most: int
) -> Iterator[StoredPatchSet]:
    for file in patch_files(path):
        for row in read_patch_rows(file, image_ids):
            try:
                yield from_patch_row(row, most)
            except DamagedError as error:
                raise DamagedError(f"{file}, {bounded(row.image_id)}: {error}") from error
            except ImageError as error:
                message = f"{file}, {bounded(row.image_id)}: {error.message}"
                raise ImageError(error.code, message) from error
