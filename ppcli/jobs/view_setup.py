"""Sets up a run of view: its inputs or dataset, and what is drawn of them."""

import logging
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from ppcli.coding.coder_options import CoderOptions, Method, warn_of_averages
from ppcli.engine.stopping import StopRequest, stop_on_signals
from ppcli.engine.worker_options import WorkerOptions
from ppcli.errors import StoppedError, UsageError
from ppcli.filesystems.schemes import without_secrets
from ppcli.imaging.decode import pillow_limits
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.inputs.input_options import InputOptions
from ppcli.jobs.analysis_options import AnalysisOptions, load_kernels
from ppcli.jobs.dataset_options import PictureOutputOptions, ViewOptions
from ppcli.jobs.image_worker import image_executor
from ppcli.jobs.row_log import log_failure
from ppcli.jobs.run_control import PicturesResult, ProgressCounter, RunControl
from ppcli.jobs.stored_images import is_dataset
from ppcli.jobs.view import PictureResult, PictureTarget, view_dataset, view_images
from ppcli.models.grid_options import GridOptions
from ppcli.show.picture import PictureOptions

logger = logging.getLogger("pixelprune")


def view(
    inputs: InputOptions,
    *,
    picture: ViewOptions,
    coder: CoderOptions,
    grid: GridOptions,
    reading: ReadingOptions,
    output: PictureOutputOptions,
    workers: WorkerOptions,
    control: RunControl,
) -> PicturesResult:
    """Draw images with their pruned tiles faded; see `ppcli.api.view`."""
    warn_of_averages(coder)
    coders = _coders(picture, coder)
    drawing = PictureOptions(coders, picture.grid, picture.side_by_side, picture.error)
    target = PictureTarget.of(output.output, output.overwrite)
    if len(inputs.inputs) == 1 and is_dataset(inputs.inputs[0]):
        [dataset] = inputs.inputs
        _check_for_dataset(dataset, inputs, picture, coder, grid, reading)
        ids = list(picture.image_ids) or None
        return _written(
            target, view_dataset(dataset, ids, drawing, target, reading.max_image_pixels)
        )
    if picture.image_ids:
        raise UsageError("--image-id is for a dataset that analyze wrote; name the images instead")
    listing = inputs.listing(output.output)
    listing.check()
    options = AnalysisOptions(coders[0], grid.fit_options(), reading, patches=False)
    kernels = partial(load_kernels, options)
    executor = image_executor(workers, reading.max_image_pixels, kernels)
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals()) if control.handle_signals else StopRequest()
        stack.enter_context(pillow_limits(reading.max_image_pixels))
        counter = ProgressCounter(control, "image", listing)
        result = _written(
            target,
            view_images(listing, options, drawing, target, executor, stop, counter.advance),
        )
    if stop.exit_code is not None:
        raise StoppedError(stop.exit_code, "stopped; the finished pictures are kept", result)
    return result


def _coders(picture: ViewOptions, coder: CoderOptions) -> tuple[CoderOptions, ...]:
    if picture.compare is None:
        return (coder,)
    if coder.method is not Method.PRED_2D:
        raise UsageError("--compare names the methods; leave --method out")
    return tuple(replace(coder, method=method) for method in picture.compare)


def _check_for_dataset(
    dataset: str,
    inputs: InputOptions,
    picture: ViewOptions,
    coder: CoderOptions,
    grid: GridOptions,
    reading: ReadingOptions,
) -> None:
    """Refuse options for images: those of a dataset are decoded, fitted and pruned already."""
    limit = reading.max_image_pixels
    changed = {
        "inputs": inputs != InputOptions(inputs.inputs),
        "compare": picture.compare is not None,
        "error": picture.error,
        "coder": coder != CoderOptions(),
        "grid": grid != GridOptions(),
        "reading": reading != ReadingOptions(max_image_pixels=limit),
    }
    if names := [name for name, is_changed in changed.items() if is_changed]:
        raise UsageError(
            f"{without_secrets(dataset)} is a dataset, which is drawn as it was made; "
            f"leave the options of {', '.join(names)} out, or name the images"
        )


def _written(target: PictureTarget, pages: Iterable[PictureResult]) -> PicturesResult:
    """Draw the pages, and log what fails."""
    written = failed = 0
    path = target.path
    for page in pages:
        if page.error is None:
            written += 1
            path = page.path if written == 1 else target.path
            logger.debug("%s", page.path)
            if page.warning is not None:
                logger.warning("%s: %s", page.image_id, page.warning)
            continue
        failed += 1
        log_failure(page.error.code.value, page.error.message, {"image_id": page.image_id})
    return PicturesResult(written, failed, path)
