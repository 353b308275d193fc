"""`pixelprune view`."""

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ppcli.cli.options import (
    OUTPUT,
    DpiOption,
    Exclude,
    Files0From,
    FitOption,
    FramesOption,
    Include,
    InputsArgument,
    Limit,
    LogFormat,
    LogFormatOption,
    MaxImagePixelsOption,
    MethodOption,
    MetricOption,
    ModeOption,
    OverwriteOption,
    PagesOption,
    PdfImagesOption,
    PresetOption,
    Quiet,
    ThresholdOption,
    TimeoutOption,
    Verbose,
    WorkerMemoryOption,
    WorkersOption,
    logger,
)
from ppcli.coding.coder_options import (
    CoderOptions,
    Method,
    Metric,
    Mode,
    parse_choice,
    parse_threshold,
)
from ppcli.errors import ExitCode, StoppedError, UsageError, pluralize
from ppcli.imaging.image_choices import (
    DEFAULT_DPI,
    DEFAULT_MAX_IMAGE_PIXELS,
    Fit,
    Frames,
    PdfImages,
)
from ppcli.models.families.family_registry import DEFAULT_PRESET

if TYPE_CHECKING:
    from ppcli.cli.terminal import Terminal
    from ppcli.jobs.view import PictureResult, PictureTarget

_PICTURE = "Picture"
_OF_DATASETS = frozenset(
    {
        *("inputs", "image_id", "side_by_side", "grid", "output", "overwrite"),
        *("max_image_pixels", "log_format", "quiet", "verbose"),
    }
)


def view(
    context: typer.Context,
    inputs: InputsArgument = None,
    files0_from: Files0From = None,
    include: Include = None,
    exclude: Exclude = None,
    limit: Limit = None,
    image_id: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Of a dataset, only this image.", rich_help_panel="Inputs"),
    ] = None,
    side_by_side: Annotated[
        bool,
        typer.Option("--side-by-side", help="The source beside it.", rich_help_panel=_PICTURE),
    ] = False,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="METHODS",
            help="One sheet of several, such as pred_2d,raster,conncomp,random.",
            rich_help_panel=_PICTURE,
        ),
    ] = None,
    error: Annotated[
        bool,
        typer.Option(
            "--error",
            help="Where the rebuilt image differs, and by how much.",
            rich_help_panel=_PICTURE,
        ),
    ] = False,
    grid: Annotated[
        bool, typer.Option("--grid", help="Lines between the tiles.", rich_help_panel=_PICTURE)
    ] = False,
    method: MethodOption = Method.PRED_2D,
    metric: MetricOption = Metric.MAX,
    threshold: ThresholdOption = "0",
    mode: ModeOption = Mode.ANCHORED,
    preset: PresetOption = DEFAULT_PRESET,
    fit: FitOption = Fit.RESIZE,
    frames: FramesOption = Frames.FIRST,
    dpi: DpiOption = DEFAULT_DPI,
    pages: PagesOption = None,
    pdf_images: PdfImagesOption = PdfImages.RENDER,
    max_image_pixels: MaxImagePixelsOption = DEFAULT_MAX_IMAGE_PIXELS,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A folder, or a .png file for one image.",
            rich_help_panel=OUTPUT,
        ),
    ] = "pixelprune-view",
    overwrite: OverwriteOption = False,
    workers: WorkersOption = None,
    timeout: TimeoutOption = 120.0,
    worker_memory: WorkerMemoryOption = None,
    log_format: LogFormatOption = LogFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Draw images with their pruned tiles faded. Takes images, or a dataset of analyze."""
    tau = parse_threshold(threshold)
    methods = [method] if compare is None else _methods(compare, method)
    coders = tuple(CoderOptions(one, metric, mode, tau) for one in methods)
    from ppcli.cli.listed_inputs import listing_of
    from ppcli.cli.progress import progress
    from ppcli.cli.terminal import Terminal
    from ppcli.cli.values import executor_for, fit_options, reading
    from ppcli.engine.stopping import stop_on_signals
    from ppcli.imaging.decode import pillow_limits
    from ppcli.jobs.analysis_options import AnalysisOptions, load_kernels
    from ppcli.jobs.stored_images import is_dataset
    from ppcli.jobs.view import PictureTarget, view_dataset, view_images
    from ppcli.show.picture import PictureOptions

    drawing = PictureOptions(coders, grid, side_by_side, error)
    target = PictureTarget.of(output, overwrite)
    terminal = Terminal(quiet, verbose, log_format)
    if inputs and len(inputs) == 1 and is_dataset(inputs[0]):
        _check_for_dataset(context, inputs[0])
        seen = view_dataset(inputs[0], image_id, drawing, target, max_image_pixels)
        return _told(terminal, target, seen)
    if image_id is not None:
        raise UsageError("--image-id is for a dataset that analyze wrote; name the images instead")
    listing = listing_of(inputs, files0_from, include, exclude, limit, output)
    listing.check()
    options = AnalysisOptions(
        coders[0],
        fit_options(preset, fit, None, None, None, None),
        reading(frames, "white", max_image_pixels, dpi, pages, pdf_images),
        patches=False,
    )
    started = partial(load_kernels, options)
    executor = executor_for(workers, timeout, worker_memory, max_image_pixels, verbose, started)
    with (
        stop_on_signals() as stop,
        pillow_limits(max_image_pixels),
        progress(terminal, listing, "images", drawn=True) as on_file,
    ):
        seen = view_images(listing, options, drawing, target, executor, stop, on_file)
        code = _told(terminal, target, seen)
    if stop.exit_code is not None:
        raise StoppedError(stop.exit_code, "stopped; the pictures that are drawn stay")
    return code


def _check_for_dataset(context: typer.Context, dataset: str) -> None:
    """Its images are read, fitted and pruned already: options for that are refused."""
    given = [
        f"--{name.replace('_', '-')}"
        for name in context.params
        if name not in _OF_DATASETS
        and (source := context.get_parameter_source(name)) is not None
        and source.name != "DEFAULT"
    ]
    if given:
        raise UsageError(
            f"{dataset} is a dataset, of which pictures are drawn as it was made; leave out "
            f"{', '.join(given)}, or name the images themselves"
        )


def _methods(compare: str, method: Method) -> list[Method]:
    if method is not Method.PRED_2D:
        raise UsageError("--compare names the methods, so --method cannot be said beside it")
    methods = [parse_choice(Method, "method", name.strip()) for name in compare.split(",")]
    if len(set(methods)) < len(methods):
        raise UsageError(f"--compare is {compare!r}, which names a method twice")
    return methods


def _told(
    terminal: "Terminal", target: "PictureTarget", seen: "Iterable[PictureResult]"
) -> ExitCode:
    """Go through the pictures, say what failed, and how many there are."""
    drawn = failed = 0
    where = target.path
    for one in seen:
        if one.error_code is None:
            drawn += 1
            where = one.path if drawn == 1 else target.path
            logger.debug("%s", one.path)
            if one.warning is not None:
                logger.warning("%s: %s", one.image_id, one.warning)
            continue
        failed += 1
        fields = {"image_id": one.image_id, "error_code": one.error_code}
        logger.warning("%s: %s", one.error_code, one.error_message, extra={"fields": fields})
    pictures = pluralize(drawn, "picture")
    terminal.say(f"{pictures} written to {where}" + (f", {failed:,} failed" if failed else ""))
    return ExitCode.INPUTS_FAILED if failed else ExitCode.OK
