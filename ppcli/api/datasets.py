"""Functions that read a finished dataset: `report`, `reconstruct` and `verify`."""

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ppcli.api.short_forms import Path, named_model
from ppcli.engine.engine_options import EngineOptions
from ppcli.errors import NothingToDoError, UsageError, with_subject
from ppcli.filesystems.schemes import is_url, without_secrets
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
from ppcli.jobs.run_control import PicturesResult, RunControl

if TYPE_CHECKING:
    from ppcli.store.verify_shard import VerifyReport

logger = logging.getLogger("pixelprune")


def report(
    dataset: Path,
    output: Path = "report.html",
    *,
    answers: Path | None = None,
    models: Iterable[str] | None = None,
    max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
    overwrite: bool = False,
    control: RunControl = RunControl(),
) -> str:
    """Write a report about a dataset, as one HTML page that opens offline.

    Args:
        dataset: a folder that `analyze` wrote, or a folder or a `.parquet` file of `sweep`.
        output: an `.html` file.
        answers: a folder that `infer` wrote; its answers appear below the pictures.
        models: published model sizes or folders whose savings are estimated; None for the sizes
            with the dataset's tiles.
        max_image_pixels: larger rasters are not rebuilt.
        overwrite: replace an existing file.
        control: callbacks. Signals are not handled.

    Returns:
        The path of the file.

    Raises:
        UsageError: an option is invalid, or a folder is not a dataset.
        MissingDependencyError: Matplotlib is not installed.
        NothingToDoError: the dataset has no rows yet.
        OutputError: the file cannot be written, or exists.
        DamagedError: a file of the dataset is damaged.
    """
    control.report("picture", 0, None)  # before imports that take seconds when they are new

    from ppcli.jobs.report_file import write_report

    named = None if models is None else [named_model(name) for name in dict.fromkeys(models)]
    path = os.fspath(output)
    folder = None if answers is None else os.fspath(answers)
    on_picture = partial(control.report, "picture")
    write_report(os.fspath(dataset), path, named, folder, max_image_pixels, overwrite, on_picture)
    return path


def reconstruct(
    dataset: Path,
    folder: Path,
    *,
    image_ids: Iterable[str] = (),
    max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
    overwrite: bool = False,
    control: RunControl = RunControl(),
) -> PicturesResult:
    """Rebuild the images of patch sets as PNG files, without padding.

    Args:
        dataset: a folder that `analyze` wrote, or one of its patch files.
        folder: where the PNG files are written.
        image_ids: images to rebuild; none for all.
        max_image_pixels: larger rasters are not rebuilt.
        overwrite: replace existing files.
        control: callbacks. Signals are not handled.

    Raises:
        UsageError: there is no dataset, it has no patch sets, or not of such an image.
        NothingToDoError: the dataset has no patch sets yet.
        OutputError: a file cannot be written, or exists.
        DamagedError: a file of the dataset is unreadable.
    """
    from ppcli.jobs.reconstruct import reconstruct as run_reconstruct
    from ppcli.store.output_paths import check_folder

    source, target = os.fspath(dataset), os.fspath(folder)
    check_folder(target, "--to", "each image becomes a .png file in it")
    written = failed = 0
    on_image = partial(control.report, "image")
    chosen = list(image_ids) or None
    for one in run_reconstruct(source, target, overwrite, chosen, max_image_pixels, on_image):
        if one.error is None:
            written += 1
            logger.debug("%s", one.path)
        else:
            failed += 1
            logger.warning("%s", with_subject(one.image_id, one.error))
    if not written + failed:
        raise NothingToDoError(f"{without_secrets(source)} has no patch sets")
    return PicturesResult(written, failed, target)


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What `verify` found.

    Attributes:
        damage: one sentence for each fault.
        report: counts; None for a model directory.
    """

    damage: list[str]
    report: "VerifyReport | None" = None


def verify(
    path: Path,
    *,
    data: bool = False,
    max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
    engine: EngineOptions = EngineOptions(),
    control: RunControl = RunControl(),
) -> VerifyResult:
    """Check that a dataset or a model directory is intact.

    Args:
        path: a folder that `analyze`, `sweep`, `infer`, `evaluate` or `export` wrote, or one of its
            `.parquet` files; or the URL of one of these.
        data: rebuild every raster and compare its digest.
        max_image_pixels: larger rasters are not rebuilt, and count as faults.
        engine: where the shards of a dataset are verified.
        control: callbacks. Signals are not handled.

    Raises:
        UsageError: the path is neither.
        MissingDependencyError: the engine is not installed.
        ServerError: no cluster can be used.
        ModelError: the manifest of a model directory is invalid.
        StoreError: a URL cannot be read.
    """
    from ppcli.jobs.verify_dataset import verify_dataset
    from ppcli.models.onnx.directory import changed_files, is_model_directory
    from ppcli.models.onnx.model_cache import changed_files_at, is_model_url

    checked = os.fspath(path)
    model_at_url = is_url(checked) and is_model_url(checked)
    if engine.is_cluster and (model_at_url or is_model_directory(checked)):
        raise UsageError(f"--engine {engine.engine} is for datasets; this is a model directory")
    if model_at_url:
        return VerifyResult(changed_files_at(checked))
    if is_model_directory(checked):
        return VerifyResult(changed_files(checked))
    found = verify_dataset(checked, data, max_image_pixels, engine, control)
    return VerifyResult(found.damage, found)
