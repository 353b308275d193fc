"""`pixelprune analyze`."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from ppcli.cli.terminal import (
    STDOUT,
    LogFormat,
    LogFormatOption,
    Quiet,
    Terminal,
    Verbose,
    data_on_stdout,
    logger,
)
from ppcli.coding.options import CoderOptions, Method, Metric, Mode, parse_threshold
from ppcli.errors import ExitCode, UsageError
from ppcli.imaging.choices import DEFAULT_MAX_IMAGE_PIXELS, Fit, Frames
from ppcli.imaging.presets import DEFAULT_PRESET, PRESETS, preset_named
from ppcli.inputs.listing import Listing
from ppcli.store.choices import Format

if TYPE_CHECKING:
    from ppcli.imaging.colour import Colour
    from ppcli.imaging.fit import FitOptions
    from ppcli.run.analysis import PageResult
    from ppcli.store.outputs import RowSink
    from ppcli.store.schema import Config

DEFAULT_OUTPUT = "pixelprune-out"
_INPUTS, _CODER, _IMAGE, _OUTPUT = "Inputs", "Coder", "Image", "Output"


def analyze(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUTS", help="Files, folders, globs, or - for paths on standard input."
        ),
    ] = None,
    files0_from: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Paths from a NUL-separated file (-: stdin).",
            rich_help_panel=_INPUTS,
        ),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="In folders, only names like this.", rich_help_panel=_INPUTS
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="In folders, no names like this.", rich_help_panel=_INPUTS
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Stop after so many files.", rich_help_panel=_INPUTS),
    ] = None,
    method: Annotated[
        Method, typer.Option(help="The predictor.", rich_help_panel=_CODER)
    ] = Method.PRED_2D,
    metric: Annotated[
        Metric, typer.Option(help="The distance of two tiles.", rich_help_panel=_CODER)
    ] = Metric.MAX,
    threshold: Annotated[
        str,
        typer.Option(
            metavar="TAU",
            help="Tiles at most this far apart are similar: 0 to 1, such as 0.03 or 3/255.",
            rich_help_panel=_CODER,
        ),
    ] = "0",
    mode: Annotated[
        Mode,
        typer.Option(
            help="Compare with rebuilt tiles, or with source tiles.", rich_help_panel=_CODER
        ),
    ] = Mode.ANCHORED,
    skip_ratio: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="conncomp: the pruned share of a component.",
            rich_help_panel=_CODER,
        ),
    ] = 1.0,
    match_count: Annotated[
        bool,
        typer.Option(
            "--match-count",
            help="conncomp: keep about as many as pred_2d.",
            rich_help_panel=_CODER,
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option(metavar="N", help="random: the seed.", rich_help_panel=_CODER)
    ] = 0,
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help=f"The model's numbers: {', '.join(PRESETS)}.",
            rich_help_panel=_IMAGE,
        ),
    ] = DEFAULT_PRESET,
    patch_size: Annotated[
        int | None,
        typer.Option(metavar="N", help="Instead of the preset's.", rich_help_panel=_IMAGE),
    ] = None,
    merge_size: Annotated[
        int | None,
        typer.Option(metavar="N", help="Instead of the preset's.", rich_help_panel=_IMAGE),
    ] = None,
    min_pixels: Annotated[
        int | None,
        typer.Option(metavar="N", help="Instead of the preset's.", rich_help_panel=_IMAGE),
    ] = None,
    max_pixels: Annotated[
        int | None,
        typer.Option(metavar="N", help="Instead of the preset's.", rich_help_panel=_IMAGE),
    ] = None,
    fit: Annotated[
        Fit,
        typer.Option(
            help="Resample onto the grid as the model does, or pad.", rich_help_panel=_IMAGE
        ),
    ] = Fit.RESIZE,
    frames: Annotated[
        Frames, typer.Option(help="Frames of an animation.", rich_help_panel=_IMAGE)
    ] = Frames.FIRST,
    background: Annotated[
        str,
        typer.Option(metavar="COLOUR", help="Behind transparent pixels.", rich_help_panel=_IMAGE),
    ] = "white",
    max_image_pixels: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Larger images are not decoded: error rows.",
            rich_help_panel=_IMAGE,
        ),
    ] = DEFAULT_MAX_IMAGE_PIXELS,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A folder, a .parquet, .jsonl or .csv file of statistics, or - for "
            "standard output.",
            rich_help_panel=_OUTPUT,
        ),
    ] = DEFAULT_OUTPUT,
    row_format: Annotated[
        Format | None,
        typer.Option("--format", help="With -o -: jsonl unless told.", rich_help_panel=_OUTPUT),
    ] = None,
    no_patches: Annotated[
        bool,
        typer.Option("--no-patches", help="Statistics only.", rich_help_panel=_OUTPUT),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace an earlier output.", rich_help_panel=_OUTPUT),
    ] = False,
    log_format: LogFormatOption = LogFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Measure redundancy and write patch sets: a folder of images becomes Parquet."""
    coder = CoderOptions(
        method, metric, mode, parse_threshold(threshold), skip_ratio, match_count, seed
    )
    if row_format is not None and output != STDOUT:
        raise UsageError("--format is for standard output (-o -); files are named for theirs")
    listing = Listing(
        tuple(inputs or ()),
        files0_from,
        tuple(include or ()),
        tuple(exclude or ()),
        limit,
        getattr(sys.stdin, "buffer", None),
        output,
    )
    listing.check()

    from ppcli.cli.progress import progress
    from ppcli.cli.summary import show_summary
    from ppcli.run.analysis import AnalysisOptions
    from ppcli.run.analyze import analyze as run_analyze
    from ppcli.store.outputs import single_file_format

    to_folder = output != STDOUT and single_file_format(output) is None
    options = AnalysisOptions(
        coder,
        _fit_options(preset, fit, patch_size, merge_size, min_pixels, max_pixels),
        frames,
        _colour(background),
        max_image_pixels,
        patches=to_folder and not no_patches,
    )
    terminal = Terminal(quiet, verbose, log_format)
    with progress(terminal, listing) as on_file:
        summary = run_analyze(
            listing,
            options,
            lambda: _open_sink(output, row_format, options.as_config(), overwrite),
            _log_failure,
            on_file,
        )
    show_summary(summary, terminal, output)
    return ExitCode.INPUTS_FAILED if summary.failed else ExitCode.OK


def _fit_options(
    preset: str,
    fit: Fit,
    patch_size: int | None,
    merge_size: int | None,
    min_pixels: int | None,
    max_pixels: int | None,
) -> "FitOptions":
    from ppcli.imaging.fit import FitOptions

    numbers = preset_named(preset)
    return FitOptions(
        fit,
        numbers.patch_size if patch_size is None else patch_size,
        numbers.merge_size if merge_size is None else merge_size,
        numbers.min_pixels if min_pixels is None else min_pixels,
        numbers.max_pixels if max_pixels is None else max_pixels,
    )


def _colour(name: str) -> "Colour":
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(name)[:3]
    except ValueError:
        raise UsageError(f"{name!r} is not a colour; write it like white or #ffffff") from None
    return red, green, blue


@contextmanager
def _open_sink(
    output: str, row_format: Format | None, config: "Config", overwrite: bool
) -> Iterator["RowSink"]:
    from ppcli.store import outputs

    with ExitStack() as stack:
        if output == STDOUT:
            stream = stack.enter_context(data_on_stdout())
            kind = row_format or Format.JSONL
            sink = outputs.stream_output(stream, kind, config)
        elif (named := outputs.single_file_format(output)) is not None:
            sink = outputs.file_output(output, named, config, overwrite)
        else:
            sink = outputs.dataset_output(output, config, overwrite)
        yield stack.enter_context(sink)


def _log_failure(result: "PageResult") -> None:
    stats = result.stats
    if stats.error_code is not None:
        logger.warning(
            "%s: %s",
            stats.error_code,
            stats.error_message,
            extra={"fields": {"image_id": stats.image_id, "error_code": stats.error_code}},
        )
