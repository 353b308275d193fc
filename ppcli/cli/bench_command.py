"""`pixelprune bench`."""

from typing import Annotated

import typer

from ppcli.cli.options import (
    INPUTS,
    MODEL,
    OUTPUT,
    RUN,
    DeviceIdOption,
    DeviceOption,
    Exclude,
    Files0From,
    Include,
    InputsArgument,
    LogFormat,
    LogFormatOption,
    MatchCountOption,
    MethodOption,
    MetricOption,
    ModelOption,
    ModeOption,
    OverwriteOption,
    Quiet,
    SeedOption,
    SkipRatioOption,
    ThreadsOption,
    ThresholdOption,
    Verbose,
)
from ppcli.coding.coder_options import CoderOptions, Method, Metric, Mode, parse_threshold
from ppcli.errors import ExitCode, UsageError
from ppcli.models.families.family_registry import PUBLISHED_SIZES
from ppcli.models.model_choices import Device, Dtype, Weights


def bench(
    inputs: InputsArgument = None,
    files0_from: Files0From = None,
    include: Include = None,
    exclude: Exclude = None,
    limit: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Take so many files at the most.", rich_help_panel=INPUTS
        ),
    ] = 16,
    model: ModelOption = None,
    random_weights: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help=f"A model of this size with random weights: {', '.join(PUBLISHED_SIZES)}.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    layers: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="With random weights: of each transformer; the rest is extrapolated.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    dtype: Annotated[
        Dtype | None,
        typer.Option(
            help="With random weights. Default: float32 on the CPU, bfloat16 on CUDA.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    weights: Annotated[
        Weights | None,
        typer.Option(
            help="With random weights: float, or rounded matrices.", rich_help_panel=MODEL
        ),
    ] = None,
    device: DeviceOption = Device.AUTO,
    device_id: DeviceIdOption = 0,
    threads: ThreadsOption = 0,
    prompt: Annotated[
        str, typer.Option(metavar="TEXT", help="What is asked.", rich_help_panel=MODEL)
    ] = "What does this page say?",
    new_tokens: Annotated[
        int,
        typer.Option(
            min=2, metavar="N", help="Of every answer, whatever ends it.", rich_help_panel=MODEL
        ),
    ] = 32,
    method: MethodOption = Method.PRED_2D,
    metric: MetricOption = Metric.MAX,
    threshold: ThresholdOption = "0",
    mode: ModeOption = Mode.ANCHORED,
    skip_ratio: SkipRatioOption = 1.0,
    match_count: MatchCountOption = False,
    seed: SeedOption = 0,
    batch_sizes: Annotated[
        str | None,
        typer.Option(
            metavar="N,N",
            help="Requests at once. Default: 1,8; with CUDA 1,8,32.",
            rich_help_panel=RUN,
        ),
    ] = None,
    repeats: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Of each page alone, after a first one.", rich_help_panel=RUN
        ),
    ] = 3,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A .json file for all figures, or - for standard output.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    log_format: LogFormatOption = LogFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Take the times of a model with every patch fed and with the kept ones only, side by side."""
    coder = CoderOptions(
        method, metric, mode, parse_threshold(threshold), skip_ratio, match_count, seed
    )
    if model is not None and random_weights is not None:
        raise UsageError("one model: --model DIR, or --random-weights with a size")
    if random_weights is None and any(one is not None for one in (layers, dtype, weights)):
        raise UsageError("--layers, --dtype and --weights are for --random-weights")
    sizes = None if batch_sizes is None else _sizes(batch_sizes)
    from ppcli.cli.bench_output import json_output, show_failures, show_result
    from ppcli.cli.listed_inputs import listing_of
    from ppcli.cli.progress import steps
    from ppcli.cli.subject import of_directory, of_random_weights
    from ppcli.cli.terminal import Terminal
    from ppcli.imaging.decode import pillow_limits
    from ppcli.imaging.fit_options import FitOptions
    from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
    from ppcli.jobs.analysis_options import AnalysisOptions
    from ppcli.jobs.bench import BenchOptions, bench_model, bench_pages
    from ppcli.models.serving.active_request import check_request
    from ppcli.models.serving.generation_request import GenerationRequest

    terminal = Terminal(quiet, verbose, log_format)
    listing = listing_of(inputs, files0_from, include, exclude, limit, output or "")
    listing.check()
    if random_weights is None:
        subject = of_directory(model, device, device_id)
    else:
        rounded = weights or Weights.FLOAT
        subject = of_random_weights(
            random_weights, layers, dtype, rounded, device, device_id, terminal
        )
    analysis = AnalysisOptions(coder, FitOptions.of_preset(subject.preset), rebuildable=False)
    options = BenchOptions(
        GenerationRequest(prompt, max_new_tokens=new_tokens), repeats, sizes, threads
    )
    with json_output(output, overwrite) as write_json:
        with pillow_limits(DEFAULT_MAX_IMAGE_PIXELS):
            pages, failures = bench_pages(listing, analysis)
        show_failures(failures)
        if not pages:
            return ExitCode.INPUTS_FAILED
        with subject.opened() as directory, steps(terminal, "runs") as on_run:
            check_request(directory, options.request)
            runs_on, whole = subject.device, subject.whole
            result = bench_model(directory, runs_on, pages, options, whole, on_run)
        show_failures(result.failures)
        result.failures[:0] = failures
        show_result(result, terminal)
        write_json(result)
    return ExitCode.INPUTS_FAILED if result.failures else ExitCode.OK


def _sizes(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) for part in parts):
        raise UsageError(f"--batch-sizes is {text!r}; write whole numbers like 1,8")
    return sorted({int(part) for part in parts})
