"""Verifies that a dataset or a Parquet file is undamaged."""

from collections.abc import Callable, Iterable, Iterator

from ppcli.errors import DamagedError, UsageError
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
from ppcli.store.atomic import TEMPORARY_SUFFIX
from ppcli.store.manifest import Manifest
from ppcli.store.places.place import Place, place_of
from ppcli.store.reader import is_single_file, read_metadata
from ppcli.store.rows import PATCHES
from ppcli.store.shard_writer import NEW_SUFFIX
from ppcli.store.shards import STAGED_SUFFIX, Shard, shard_name, staged_name
from ppcli.store.verify_shard import VerifyReport, VerifyShard, verify_patches, verify_rows

RunAll = Callable[[Iterator[VerifyShard]], Iterable[VerifyReport]]
_UNFINISHED = (TEMPORARY_SUFFIX, NEW_SUFFIX, STAGED_SUFFIX)


def run_here(shards: Iterator[VerifyShard]) -> Iterator[VerifyReport]:
    """Verify shards one after another in this process."""
    return (one.run() for one in shards)


def verify(
    path: str,
    data: bool = False,
    max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
    run_all: RunAll = run_here,
) -> VerifyReport:
    """Verify a dataset folder or a Parquet file.

    Compares the digest of each file of a dataset, page checksums, schemas, numbers of rows, and
    the columns with one another.

    Args:
        path: path or URL of a dataset folder, or of a Parquet file of pixelprune.
        data: also rebuild each raster and compare its digest.
        max_image_pixels: most pixels of a raster; larger ones count as damage.
        run_all: verifies the shards of a dataset, here or elsewhere; its reports come in the order
            of the shards.

    Raises:
        UsageError: the path is neither a dataset nor a Parquet file.
    """
    report = VerifyReport(max_image_pixels=max_image_pixels)
    place = place_of(path)
    if place.is_folder():
        _verify_dataset(place, data, report, run_all)
    elif is_single_file(place):
        _verify_file(place, data, report)
    else:
        raise UsageError(f"{place} does not exist")
    return report


def _verify_file(path: Place, data: bool, report: VerifyReport) -> None:
    with report.collect_damage():
        kind = read_metadata(path).kind
        if kind == PATCHES:
            verify_patches(path, data, None, report)
        else:
            verify_rows(path, kind, None, report)


def _verify_dataset(root: Place, data: bool, report: VerifyReport, run_all: RunAll) -> None:
    try:
        report.leftovers += root.journal().is_torn()
        manifest = Manifest.read(root)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{root} is not a dataset") from None
    except DamagedError as error:
        report.damage.append(str(error))
        return
    report.finished = manifest.finished
    for part in run_all(_shards(root, manifest, data, report.max_image_pixels)):
        report.merge(part)
    _find_foreign_files(root, manifest, report)


def _shards(root: Place, manifest: Manifest, data: bool, most: int) -> Iterator[VerifyShard]:
    """Yield the shards of a dataset, then those that wait for the inputs before them."""
    rows_before, next_name = 0, shard_name(len(manifest.shards))
    named: list[tuple[Shard, tuple[str, ...]]] = []
    for number, shard in enumerate(manifest.shards):
        name, token = shard_name(number), manifest.renamed.get(number)
        tokens = () if token is None else (staged_name(token),)
        named.append((shard, (name, name + NEW_SUFFIX, *tokens)))
    for position, one in enumerate(manifest.staged):
        name = staged_name(one.token)
        named.append((one.shard, (name,) if position else (name, next_name)))
    for shard, names in named:
        yield VerifyShard(root, names, shard, rows_before, manifest.config, data, most)
        rows_before += shard.rows


def _find_foreign_files(root: Place, manifest: Manifest, report: VerifyReport) -> None:
    """Find files in the folders of a dataset that the manifest does not list."""
    number = len(manifest.shards)
    for kind in {PATCHES, *manifest.kinds}:
        folder = root / kind
        known = {shard_name(n) for n in range(number)}
        known |= {staged_name(one.token) for one in manifest.staged}
        try:
            found = set(folder.names())
        except FileNotFoundError:
            continue
        except OSError as error:
            report.damage.append(f"{folder} cannot be listed: {error.strerror or error}")
            continue
        for name in sorted(found - known):
            if name.endswith(_UNFINISHED) or name == shard_name(number):
                report.leftovers += 1
            else:
                report.damage.append(f"{folder / name} is not part of the dataset")
