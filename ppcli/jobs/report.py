"""The figures of a report, from a dataset of `analyze`."""

import base64
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from ppcli.coding.coder_options import threshold_text
from ppcli.errors import (
    DamagedError,
    ImageError,
    NothingToDoError,
    UsageError,
    bounded,
)
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS, Fit
from ppcli.models.costs import NamedModel
from ppcli.models.families.family_registry import PUBLISHED_SIZES
from ppcli.show.overlay import overlay
from ppcli.show.report_data import (
    FailureGroup,
    ImageAnswer,
    ImageGroup,
    ImageSummary,
    ModelSaving,
    Quartiles,
    ReportData,
)
from ppcli.store.frame_rows import read_frame_rows
from ppcli.store.manifest import Manifest
from ppcli.store.metadata_checks import check_statistics_config
from ppcli.store.places.place import place_of
from ppcli.store.reader import open_parquet, read_rows
from ppcli.store.rows import ANSWERS, ERROR, OK, PATCHES, SEQUENCE, STATS
from ppcli.store.shards import shard_path

_COLUMNS = ["image_id", "format", "tokens", "kept", "keep_ratio", "unique", "unique_ratio"]
_PARTS = 20
_GROUPS = 15
_PICTURES = 12  # of the most redundant images, and of the least redundant
_LISTED = 1_000  # rows in the table, likewise
_MESSAGES = 50  # for each kind of failure
_THUMBNAIL, _QUALITY = 360, 72


def figures_of(
    dataset: str,
    models: Sequence[NamedModel] | None,
    answers: str | None = None,
    max_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
    on_picture: Callable[[int, int], None] = lambda done, total: None,
) -> ReportData:
    """Compute the figures of a dataset of `analyze`, with the answers of `infer` about it.

    Args:
        dataset: path or URL of a folder that `analyze` wrote.
        models: estimate what they save; None for the published sizes with the same tiles.
        answers: a folder that `infer` wrote; None for no answers.
        max_pixels: of an image with a picture in the report; a larger one is an error.
        on_picture: called after each picture with the number of finished pictures and of all.

    Raises:
        UsageError: if there is no such dataset, it is of another kind, a model has other tiles, or
            no answer is about one of its images.
        NothingToDoError: if the dataset has no finished shard.
        DamagedError: if a file of it is unreadable, or a patch set is damaged.
    """
    shown = str(place_of(dataset))
    manifest = _manifest(dataset, STATS, "analyze")
    if not manifest.shards:
        raise NothingToDoError(
            f"{shown} has no finished rows; run the same analyze command to continue"
        )
    models = _fitting(models, manifest)
    columns = [*_COLUMNS, "kept_intra"] if SEQUENCE in manifest.config else _COLUMNS
    good = pa.concat_tables(_rows(dataset, manifest, OK, columns))
    keep, unique = (good[name].to_numpy() for name in ("keep_ratio", "unique_ratio"))
    failed = _rows(dataset, manifest, ERROR, ["error_code", "error_message"])
    failures = list(failure_groups(failed))
    by_folder = good.append_column("folder", _folders_of(good))
    listed = _listed(good)
    ends = listed[:_PICTURES] + listed[_PICTURES:][-_PICTURES:]
    if answers is not None:
        ends = _answered(ends, answers, set(good["image_id"].to_pylist()), shown)
    pictured = _pictured(ends, dataset, manifest, max_pixels, on_picture)
    return ReportData(
        name=shown,
        config=_words(manifest),
        finished=manifest.finished,
        has_pictures=manifest.has_patches,
        images=good.num_rows,
        failed=sum(one.number for one in failures),
        tokens=_sum(good["tokens"]),
        kept=_sum(good["kept"]),
        kept_intra=_sum(good["kept_intra"]) if SEQUENCE in manifest.config else None,
        unique=_sum(good["unique"]),
        median_keep=float(np.median(keep)) if keep.size else 0.0,
        median_unique=float(np.median(unique)) if unique.size else 0.0,
        keep_counts=np.histogram(keep, _PARTS, (0, 1))[0],
        unique_counts=np.histogram(unique, _PARTS, (0, 1))[0],
        formats=_groups(good, "format"),
        folders=_groups(by_folder, "folder"),
        folders_left=max(0, pc.count_distinct(by_folder["folder"]).as_py() - _GROUPS),
        savings=[_saving(model, good) for model in models] if good.num_rows else [],
        failures=failures,
        most=pictured[:_PICTURES],
        least=pictured[_PICTURES:][::-1],
        listed=listed,
    )


def _folders_of(table: pa.Table) -> pa.ChunkedArray:
    folders = pc.replace_substring_regex(table["image_id"], r"/?[^/]*$", "")
    return pc.if_else(pc.equal(folders, ""), ".", folders)


def _manifest(folder: str, kind: str, command: str) -> Manifest:
    try:
        manifest = Manifest.read(folder)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{place_of(folder)} is not a dataset that {command} wrote") from None
    if manifest.main_kind != kind:
        raise UsageError(
            f"{place_of(folder)} is a dataset of {manifest.main_kind}, not one of {command}"
        )
    if kind == STATS:
        check_statistics_config(manifest.config, str(place_of(folder)))
    return manifest


def _fitting(models: Sequence[NamedModel] | None, manifest: Manifest) -> Sequence[NamedModel]:
    """Return the models whose tiles and sizes are those of the dataset."""
    config = manifest.config
    sizes = (config[name] for name in ("patch_size", "merge_size", "min_pixels", "max_pixels"))
    fit = FitOptions(Fit(config["fit"]), *sizes)
    if models is None:
        published = (NamedModel.of(name) for name in PUBLISHED_SIZES)
        return [one for one in published if one.tile == fit.tile]
    for one in models:
        one.check_fit(fit.tile, fit.limits)
    return models


def _words(manifest: Manifest) -> str:
    config = manifest.config
    words = f"{config['method']}, τ = {threshold_text(config['threshold'])}"
    if config["threshold"]:
        words += f" ({config['metric']}, {config['mode']})"
    if SEQUENCE in config:
        words += f", sequence {config[SEQUENCE]}"
    return f"{words}, fit {config['fit']}, pixelprune {manifest.version}"


def _rows(dataset: str, manifest: Manifest, status: str, columns: list[str]) -> Iterator[pa.Table]:
    """Yield the rows with a status, one table per shard."""
    for number in range(len(manifest.shards)):
        with open_parquet(shard_path(dataset, STATS, number), STATS) as file:
            table = file.read(columns=[*columns, "status"])
        yield table.filter(pc.equal(table["status"], status)).select(columns)


def failure_groups(tables: Iterable[pa.Table]) -> Iterator[FailureGroup]:
    """Yield the kinds of failures, the most frequent first.

    Args:
        tables: of error codes and messages, one row for each failure.
    """
    found: dict[str, list[str]] = {}
    counts: dict[str, int] = {}
    for table in tables:
        for code, message in zip(*(column.to_pylist() for column in table.columns), strict=True):
            counts[code] = counts.get(code, 0) + 1
            if counts[code] <= _MESSAGES:
                found.setdefault(code, []).append(message)
    for code in sorted(counts, key=lambda code: -counts[code]):
        yield FailureGroup(code, counts[code], found[code])


def _groups(table: pa.Table, by: str) -> list[ImageGroup]:
    """Group images by a column; return the largest groups, the largest first."""
    counted = [(one["values"], one["counts"]) for one in table[by].value_counts().to_pylist()]
    names = [name for name, _ in sorted(counted, key=lambda one: (-one[1], one[0]))]
    return [_group(name, table.filter(pc.equal(table[by], name))) for name in names[:_GROUPS]]


def _group(name: str, table: pa.Table) -> ImageGroup:
    keep, unique = (_quartiles(table[column]) for column in ("keep_ratio", "unique_ratio"))
    return ImageGroup(
        name, table.num_rows, _sum(table["tokens"]), _sum(table["kept"]), keep, unique
    )


def _quartiles(column: pa.ChunkedArray) -> Quartiles:
    low, middle, high = np.quantile(column.to_numpy(), (0.25, 0.5, 0.75)).tolist()
    return low, middle, high


def _sum(column: pa.ChunkedArray) -> int:
    return int(pc.sum(column).as_py() or 0)


def _saving(model: NamedModel, good: pa.Table) -> ModelSaving:
    """Sum the costs over the images, computing those of each number of tokens once."""
    sums: dict[str, list[int]] = {}
    for side, column in enumerate(("tokens", "kept")):
        numbers, times = np.unique(good[column].to_numpy(), return_counts=True)
        for number, count in zip(numbers.tolist(), times.tolist(), strict=True):
            for name, cost in asdict(model.costs(number)).items():
                sums.setdefault(name, [0, 0])[side] += count * cost
    return ModelSaving(
        model.name, **{name: (full, pruned) for name, (full, pruned) in sums.items()}
    )


def _listed(good: pa.Table) -> list[ImageSummary]:
    """Return the images, the most redundant first; of very many, those at both ends."""
    order: NDArray[np.int64] = np.argsort(good["keep_ratio"].to_numpy(), kind="stable")
    if len(order) > 2 * _LISTED:
        order = np.concatenate([order[:_LISTED], order[-_LISTED:]])
    columns = [name for name in _COLUMNS if name != "unique"]
    return [ImageSummary(**row) for row in good.take(order).select(columns).to_pylist()]


def _pictured(
    images: list[ImageSummary],
    dataset: str,
    manifest: Manifest,
    max_pixels: int,
    on_picture: Callable[[int, int], None],
) -> list[ImageSummary]:
    """Add pictures, if the dataset has patch sets.

    Raises:
        DamagedError: if a patch set cannot be rebuilt; the message names it.
    """
    wanted = {one.image_id for one in images}
    pictures: dict[str, str] = {}
    if manifest.has_patches:
        for number in range(len(manifest.shards)):
            path = shard_path(dataset, PATCHES, number)
            for frame in read_frame_rows(path, wanted):
                row = frame.row
                try:
                    stored = frame.stored(max_pixels)
                    pixels = overlay(stored.raster(), stored.patch_set.keep)
                except (DamagedError, ImageError) as error:
                    raise DamagedError(f"{path}, {bounded(row.image_id)}: {error}") from error
                pictures[row.image_id] = _data_uri(pixels)
                on_picture(len(pictures), len(wanted))
    return [replace(one, picture=pictures.get(one.image_id, "")) for one in images]


def _answered(
    images: list[ImageSummary], answers: str, known: set[str], dataset: str
) -> list[ImageSummary]:
    """Add prompts and answers.

    Raises:
        UsageError: if no answer is about a known image.
    """
    manifest = _manifest(answers, ANSWERS, "infer")
    found: dict[str | None, list[ImageAnswer]] = {one.image_id: [] for one in images}
    any_known = False
    for number in range(len(manifest.shards)):
        for row in read_rows(shard_path(answers, ANSWERS, number), ANSWERS):
            any_known = any_known or row.image_id in known
            if row.image_id in found:
                answer = ImageAnswer(row.prompt or "", row.answer or "", row.error_message or "")
                found[row.image_id].append(answer)
    if not any_known:
        raise UsageError(
            f"no answer in {place_of(answers)} is about an image of {dataset}; "
            f"run pixelprune infer {dataset} for answers with the same image ids"
        )
    return [replace(one, answers=found[one.image_id]) for one in images]


def _data_uri(raster: NDArray[np.uint8]) -> str:
    image = Image.fromarray(raster)
    image.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
