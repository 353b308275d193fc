"""`pixelprune analyze`."""

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ppcli.cli.options import (
    IMAGE,
    OUTPUT,
    BackgroundOption,
    DpiOption,
    Exclude,
    FailFastOption,
    Files0From,
    FitOption,
    FramesOption,
    Include,
    InputsArgument,
    Limit,
    LogFormat,
    LogFormatOption,
    MatchCountOption,
    MaxFailuresOption,
    MaxImagePixelsOption,
    MethodOption,
    MetricOption,
    ModeOption,
    OverwriteOption,
    PagesOption,
    PdfImagesOption,
    PresetOption,
    Quiet,
    ResumeOption,
    RetryFailedOption,
    SeedOption,
    SkipRatioOption,
    ThresholdOption,
    TimeoutOption,
    Verbose,
    WorkerMemoryOption,
    WorkersOption,
    check_output,
)
from ppcli.coding.coder_options import CoderOptions, Method, Metric, Mode, parse_threshold
from ppcli.errors import ExitCode
from ppcli.imaging.image_choices import (
    DEFAULT_DPI,
    DEFAULT_MAX_IMAGE_PIXELS,
    Fit,
    Frames,
    PdfImages,
)
from ppcli.models.families.family_registry import DEFAULT_PRESET, PUBLISHED_SIZES
from ppcli.store.formats import ROWS_PER_SHARD, Format, StatsFormat

if TYPE_CHECKING:
    from ppcli.models.costs import NamedModel

DEFAULT_OUTPUT = "pixelprune-out"


def analyze(
    inputs: InputsArgument = None,
    files0_from: Files0From = None,
    include: Include = None,
    exclude: Exclude = None,
    limit: Limit = None,
    method: MethodOption = Method.PRED_2D,
    metric: MetricOption = Metric.MAX,
    threshold: ThresholdOption = "0",
    mode: ModeOption = Mode.ANCHORED,
    skip_ratio: SkipRatioOption = 1.0,
    match_count: MatchCountOption = False,
    seed: SeedOption = 0,
    preset: PresetOption = DEFAULT_PRESET,
    patch_size: Annotated[
        int | None,
        typer.Option(metavar="N", help="Instead of the preset's.", rich_help_panel=IMAGE),
    ] = None,
    merge_size: Annotated[
        int | None,
        typer.Option(metavar="N", help="Instead of the preset's.", rich_help_panel=IMAGE),
    ] = None,
    min_pixels: Annotated[
        int | None,
        typer.Option(metavar="N", help="Instead of the preset's.", rich_help_panel=IMAGE),
    ] = None,
    max_pixels: Annotated[
        int | None,
        typer.Option(metavar="N", help="Instead of the preset's.", rich_help_panel=IMAGE),
    ] = None,
    fit: FitOption = Fit.RESIZE,
    frames: FramesOption = Frames.FIRST,
    dpi: DpiOption = DEFAULT_DPI,
    pages: PagesOption = None,
    pdf_images: PdfImagesOption = PdfImages.RENDER,
    background: BackgroundOption = "white",
    max_image_pixels: MaxImagePixelsOption = DEFAULT_MAX_IMAGE_PIXELS,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A folder, a .parquet, .jsonl(.gz) or .csv(.gz) file of statistics, or - for "
            "standard output.",
            rich_help_panel=OUTPUT,
        ),
    ] = DEFAULT_OUTPUT,
    row_format: Annotated[
        StatsFormat | None,
        typer.Option("--format", help="With -o -: jsonl unless told.", rich_help_panel=OUTPUT),
    ] = None,
    estimate: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help=f"What a model saves: {', '.join(PUBLISHED_SIZES)}, or its folder.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    no_patches: Annotated[
        bool,
        typer.Option("--no-patches", help="Statistics only.", rich_help_panel=OUTPUT),
    ] = False,
    overwrite: OverwriteOption = False,
    resume: ResumeOption = True,
    retry_failed: RetryFailedOption = False,
    rows_per_shard: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Rows in one file.", rich_help_panel=OUTPUT),
    ] = ROWS_PER_SHARD,
    workers: WorkersOption = None,
    timeout: TimeoutOption = 60.0,
    worker_memory: WorkerMemoryOption = None,
    max_failures: MaxFailuresOption = None,
    fail_fast: FailFastOption = False,
    log_format: LogFormatOption = LogFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Measure redundancy and write patch sets. A folder of images becomes Parquet."""
    coder = CoderOptions(
        method, metric, mode, parse_threshold(threshold), skip_ratio, match_count, seed
    )
    check_output(output, None if row_format is None else Format(row_format), files0_from)
    from ppcli.cli.listed_inputs import listing_of

    listing = listing_of(inputs, files0_from, include, exclude, limit, output)
    listing.check()

    from ppcli.cli.target import Target
    from ppcli.cli.values import executor_for, fit_options, reading
    from ppcli.jobs.analysis_options import AnalysisOptions, load_kernels, may_be_many_tasks

    target = Target(
        output, Format(row_format) if row_format else None, overwrite, resume, rows_per_shard
    )
    options = AnalysisOptions(
        coder,
        fit_options(preset, fit, patch_size, merge_size, min_pixels, max_pixels),
        reading(frames, background, max_image_pixels, dpi, pages, pdf_images),
        patches=target.is_folder and not no_patches,
        estimate=None if estimate is None else _model(estimate),
    )
    executor = executor_for(
        workers,
        timeout,
        worker_memory,
        max_image_pixels,
        verbose,
        partial(load_kernels, options),
    )
    with closing(executor):
        if (named := listing.named_files) is not None:  # the workers start while the rest loads
            several = any(may_be_many_tasks(ref, options) for ref in named)
            executor.prestart(executor.capacity if several else len(named))

        from ppcli.cli.running import carry_out
        from ppcli.cli.summary_table import show_summary
        from ppcli.cli.terminal import Terminal
        from ppcli.engine.run import FailurePolicy
        from ppcli.jobs.analyze import AnalyzeSummary, AnalyzeWork

        return carry_out(
            AnalyzeWork(options, executor),
            listing,
            partial(target.open, options.as_config()),
            target,
            Terminal(quiet, verbose, log_format),
            AnalyzeSummary(),
            show_summary,
            FailurePolicy(1 if fail_fast else max_failures, retry_failed),
        )


def _model(name: str) -> "NamedModel":
    from ppcli.models.costs import NamedModel

    return NamedModel.of(name)
