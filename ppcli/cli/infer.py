"""`pixelprune infer`."""

from functools import partial
from typing import Annotated

import typer

from ppcli.cli.options import (
    INPUTS,
    MODEL,
    OUTPUT,
    STDOUT,
    BackgroundOption,
    DeviceIdOption,
    DeviceOption,
    DpiOption,
    Exclude,
    FailFastOption,
    Files0From,
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
    ModelOption,
    ModeOption,
    OverwriteOption,
    PagesOption,
    PdfImagesOption,
    Quiet,
    ResumeOption,
    RetryFailedOption,
    RootOption,
    SeedOption,
    SkipRatioOption,
    ThreadsOption,
    ThresholdOption,
    TimeoutOption,
    Verbose,
    WorkerMemoryOption,
    WorkersOption,
    check_output,
)
from ppcli.coding.options import CoderOptions, Method, Metric, Mode, parse_threshold
from ppcli.errors import ExitCode, UsageError
from ppcli.imaging.choices import DEFAULT_DPI, DEFAULT_MAX_IMAGE_PIXELS, Frames, PdfImages
from ppcli.inputs.requests import RequestFile
from ppcli.store.choices import Format
from ppcli.vlm.choices import DEFAULT_MAX_NEW_TOKENS, Device

ANSWERS_PER_SHARD = 100


def infer(
    inputs: InputsArgument = None,
    files0_from: Files0From = None,
    requests: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Requests, a JSON object a line: image or images, prompt, custom_id; or lines of "
            "an OpenAI batch (-: stdin).",
            rich_help_panel=INPUTS,
        ),
    ] = None,
    root: RootOption = None,
    include: Include = None,
    exclude: Exclude = None,
    limit: Limit = None,
    prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What is asked.", rich_help_panel=MODEL)
    ] = None,
    prompt_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="What is asked, from a text file; one newline at its end is left out.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="A system text before it.", rich_help_panel=MODEL),
    ] = None,
    model: ModelOption = None,
    device: DeviceOption = Device.AUTO,
    device_id: DeviceIdOption = 0,
    threads: ThreadsOption = 0,
    max_new_tokens: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="The most that an answer has.", rich_help_panel=MODEL
        ),
    ] = DEFAULT_MAX_NEW_TOKENS,
    batch_size: Annotated[
        str,
        typer.Option(metavar="N", help="Requests at once, or auto.", rich_help_panel=MODEL),
    ] = "auto",
    temperature: Annotated[
        float, typer.Option(metavar="T", help="0: greedy.", rich_help_panel=MODEL)
    ] = 0.0,
    top_p: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Sample from the likeliest tokens.", rich_help_panel=MODEL
        ),
    ] = 1.0,
    no_prune: Annotated[
        bool,
        typer.Option("--no-prune", help="Feed every patch.", rich_help_panel=MODEL),
    ] = False,
    method: MethodOption = Method.PRED_2D,
    metric: MetricOption = Metric.MAX,
    threshold: ThresholdOption = "0",
    mode: ModeOption = Mode.ANCHORED,
    skip_ratio: SkipRatioOption = 1.0,
    match_count: MatchCountOption = False,
    seed: SeedOption = 0,
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
            help="A folder, a .parquet, .jsonl or .csv file, or - for standard output.",
            rich_help_panel=OUTPUT,
        ),
    ] = STDOUT,
    row_format: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="With -o -: jsonl unless told. openai is for .jsonl files too.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    resume: ResumeOption = True,
    retry_failed: RetryFailedOption = False,
    rows_per_shard: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Rows in one file.", rich_help_panel=OUTPUT),
    ] = ANSWERS_PER_SHARD,
    workers: WorkersOption = None,
    timeout: TimeoutOption = 60.0,
    worker_memory: WorkerMemoryOption = None,
    max_failures: MaxFailuresOption = None,
    fail_fast: FailFastOption = False,
    log_format: LogFormatOption = LogFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Ask a vision-language model about images, their repeated patches left out."""
    coder = CoderOptions(
        method, metric, mode, parse_threshold(threshold), skip_ratio, match_count, seed
    )
    if no_prune and coder != CoderOptions(seed=seed):
        raise UsageError("--no-prune feeds every patch, so how to prune cannot be said beside it")
    check_output(output, row_format)
    from ppcli.cli.answers import Asking, open_model, show_answers
    from ppcli.cli.running import carry_out
    from ppcli.cli.target import Target
    from ppcli.cli.terminal import Terminal, listing_of, stdin_bytes, stdout_is_terminal
    from ppcli.cli.values import executor_for, parse_batch_size, reading
    from ppcli.imaging.fit import FitOptions
    from ppcli.run.analysis import AnalysisOptions, load_kernels
    from ppcli.run.run import Limits
    from ppcli.run.summary import InferSummary
    from ppcli.vlm.engine import Ask, check_texts
    from ppcli.vlm.sessions import choose_place

    terminal = Terminal(quiet, verbose, log_format)
    text = "" if requests is not None else _prompt(prompt, prompt_file)
    ask = Ask(text, system, max_new_tokens, temperature, top_p, seed)
    listing = listing_of(inputs, files0_from, include, exclude, limit, output)
    directory = open_model(model)
    check_texts(directory, text, system)
    place = choose_place(directory.folder, directory.manifest.dtype, device, device_id)
    options = AnalysisOptions(
        coder,
        FitOptions.of_preset(directory.preset),
        reading(frames, background, max_image_pixels, dpi, pages, pdf_images),
        rebuildable=False,
    )
    executor = executor_for(
        workers,
        timeout,
        worker_memory,
        max_image_pixels,
        verbose,
        partial(load_kernels, options),
    )
    summary = InferSummary()
    asking = Asking(
        directory,
        ask,
        options,
        executor,
        place,
        threads,
        not no_prune,
        parse_batch_size(batch_size),
        summary,
    )
    if requests is not None:
        others = (inputs, files0_from, include, exclude, prompt, prompt_file)
        if any(one is not None for one in others):
            raise UsageError("--requests brings its own images and prompts; leave the others out")
        job = asking.of_requests(RequestFile(requests, limit, stdin_bytes(), root))
    elif root is not None:
        raise UsageError("--root holds the images of --requests to a folder, which are not given")
    else:
        job = asking.of_images(listing)
    if output == STDOUT and row_format is None and stdout_is_terminal():
        job = asking.aloud(job, alone=requests is None and listing.is_one_file)
    target = Target(output, row_format, overwrite, resume, rows_per_shard)
    return carry_out(
        job.work,
        job.inputs,
        partial(job.open_sink, target),
        target,
        terminal,
        summary,
        show_answers,
        Limits(1 if fail_fast else max_failures, retry_failed, max_image_pixels),
    )


def _prompt(prompt: str | None, prompt_file: str | None) -> str:
    if (prompt is None) == (prompt_file is None):
        raise UsageError("ask one thing: --prompt TEXT, --prompt-file FILE or --requests FILE")
    if prompt is not None:
        return prompt
    assert prompt_file is not None
    try:
        with open(prompt_file, encoding="utf-8-sig", newline="") as file:
            return file.read().removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{prompt_file} cannot be read: {error}") from error
