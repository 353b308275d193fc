"""`pixelprune analyze`."""

from typing import TYPE_CHECKING, Annotated

import typer

from ppcli.cli.options import STDOUT, LogFormat, LogFormatOption, Quiet, Verbose, logger
from ppcli.coding.options import CoderOptions, Method, Metric, Mode, parse_threshold
from ppcli.errors import ExitCode, StoppedError, UsageError
from ppcli.imaging.choices import DEFAULT_MAX_IMAGE_PIXELS, Fit, Frames
from ppcli.imaging.presets import DEFAULT_PRESET, PRESETS
from ppcli.inputs.listing import Listing
from ppcli.store.choices import ROWS_PER_SHARD, Format

if TYPE_CHECKING:
    from ppcli.store.rows import MainRow

DEFAULT_OUTPUT = "pixelprune-out"
_INPUTS, _CODER, _IMAGE, _OUTPUT, _RUN = "Inputs", "Coder", "Image", "Output", "Run"


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
    resume: Annotated[
        bool,
        typer.Option(help="Go on with an unfinished dataset.", rich_help_panel=_OUTPUT),
    ] = True,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed",
            help="In an existing dataset, try the inputs that failed again.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    rows_per_shard: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Rows in one file.", rich_help_panel=_OUTPUT),
    ] = ROWS_PER_SHARD,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Processes; 0 works in this one. Default: the cores.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(min=0.001, metavar="SECONDS", help="For one image.", rich_help_panel=_RUN),
    ] = 60.0,
    worker_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Limit of each worker, such as 4GB. Default: none.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    max_failures: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Stop after so many failures.", rich_help_panel=_RUN),
    ] = None,
    fail_fast: Annotated[
        bool,
        typer.Option("--fail-fast", help="Stop at the first failure.", rich_help_panel=_RUN),
    ] = False,
    log_format: LogFormatOption = LogFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Measure redundancy and write patch sets. A folder of images becomes Parquet."""
    coder = CoderOptions(
        method, metric, mode, parse_threshold(threshold), skip_ratio, match_count, seed
    )
    from ppcli.cli.terminal import Terminal, stdin_bytes

    if not output:
        raise UsageError("-o is empty; name a folder, a file, or - for standard output")
    if row_format is not None and output != STDOUT:
        raise UsageError("--format is for standard output (-o -); files are named for theirs")
    listing = Listing(
        tuple(inputs or ()),
        files0_from,
        tuple(include or ()),
        tuple(exclude or ()),
        limit,
        stdin_bytes(),
        output,
    )
    listing.check()

    from ppcli.cli.progress import progress
    from ppcli.cli.summary import show_summary
    from ppcli.cli.target import Target
    from ppcli.cli.values import colour, executor_for, fit_options
    from ppcli.imaging.decode import pillow_limits
    from ppcli.run.analysis import AnalysisOptions
    from ppcli.run.analyze import AnalyzeWork
    from ppcli.run.run import Run, Watcher
    from ppcli.run.stopping import listening
    from ppcli.run.summary import AnalyzeSummary
    from ppcli.store.outputs import single_file_format

    to_folder = output != STDOUT and single_file_format(output) is None
    options = AnalysisOptions(
        coder,
        fit_options(preset, fit, patch_size, merge_size, min_pixels, max_pixels),
        frames,
        colour(background),
        max_image_pixels,
        patches=to_folder and not no_patches,
    )
    terminal = Terminal(quiet, verbose, log_format)
    target = Target(output, row_format, options.as_config(), overwrite, resume, rows_per_shard)
    executor = executor_for(workers, timeout, worker_memory, max_image_pixels, verbose, options)
    summary = AnalyzeSummary()
    stopped: StoppedError | None = None
    with (
        listening() as stop,
        pillow_limits(max_image_pixels),
        progress(terminal, listing) as on_file,
    ):
        watcher = Watcher(log_row, on_file)
        work, most = AnalyzeWork(options, executor), 1 if fail_fast else max_failures
        run = Run(work, summary, watcher, stop, most, retry_failed)
        try:
            run(listing, target.open)
        except StoppedError as error:
            stopped = error
        except KeyboardInterrupt:
            stopped = StoppedError(ExitCode.INTERRUPTED, "interrupted, and stopped at once")
    show_summary(summary, terminal)
    if stopped is not None:
        advice = _advice(output, to_folder)
        raise StoppedError(stopped.exit_code, f"{stopped}; {advice}")
    if output != STDOUT:
        terminal.say(f"written to {output}")
    return ExitCode.INPUTS_FAILED if summary.failed else ExitCode.OK


def _advice(output: str, to_folder: bool) -> str:
    if to_folder:
        return "the same command goes on from here"
    return "the rows so far are written" if output == STDOUT else f"{output} is not written"


def log_row(row: "MainRow") -> None:
    """Log one row: a line for a failure, and for others too where more is wanted."""
    if row.error_code is None:
        logger.debug("%s: %s of %s tokens kept", row.image_id, row.kept, row.tokens)
        return
    fields = {"image_id": row.image_id, "error_code": row.error_code}
    logger.warning("%s: %s", row.error_code, row.error_message, extra={"fields": fields})
