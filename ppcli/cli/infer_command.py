"""`pixelprune infer`."""

from functools import partial
from typing import Annotated, Any

import typer

from ppcli.cli.model_options import (
    BatchSizeOption,
    KeepSpecialTokensOption,
    MaxNewTokensOption,
    MinPOption,
    PresencePenaltyOption,
    PromptFileOption,
    PromptOption,
    RepetitionPenaltyOption,
    RequestsOption,
    StopOption,
    SystemOption,
    TemperatureOption,
    ThinkOption,
    TopKOption,
    TopPOption,
)
from ppcli.cli.options import (
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
from ppcli.coding.coder_options import CoderOptions, Method, Metric, Mode, parse_threshold
from ppcli.errors import ExitCode, UsageError
from ppcli.imaging.image_choices import DEFAULT_DPI, DEFAULT_MAX_IMAGE_PIXELS, Frames, PdfImages
from ppcli.models.model_choices import DEFAULT_MAX_NEW_TOKENS, Device, Think
from ppcli.store.formats import Format

ANSWERS_PER_SHARD = 100


def infer(
    inputs: InputsArgument = None,
    files0_from: Files0From = None,
    requests: RequestsOption = None,
    root: RootOption = None,
    include: Include = None,
    exclude: Exclude = None,
    limit: Limit = None,
    prompt: PromptOption = None,
    prompt_file: PromptFileOption = None,
    system: SystemOption = None,
    model: ModelOption = None,
    device: DeviceOption = Device.AUTO,
    device_id: DeviceIdOption = 0,
    threads: ThreadsOption = 0,
    max_new_tokens: MaxNewTokensOption = DEFAULT_MAX_NEW_TOKENS,
    batch_size: BatchSizeOption = "auto",
    temperature: TemperatureOption = None,
    top_p: TopPOption = None,
    top_k: TopKOption = None,
    min_p: MinPOption = None,
    repetition_penalty: RepetitionPenaltyOption = None,
    presence_penalty: PresencePenaltyOption = None,
    stop: StopOption = None,
    keep_special_tokens: KeepSpecialTokensOption = False,
    think: ThinkOption = Think.KEEP,
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
            help="A folder, a .parquet, .jsonl(.gz) or .csv(.gz) file, or - for standard output.",
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
    check_output(output, row_format, requests, prompt_file, files0_from)
    from ppcli.cli.infer_output import Asking, open_model, show_answers
    from ppcli.cli.listed_inputs import listing_of, stdin_bytes
    from ppcli.cli.model_defaults import as_the_model_says
    from ppcli.cli.running import carry_out
    from ppcli.cli.target import Target
    from ppcli.cli.terminal import Terminal, stdout_is_terminal
    from ppcli.cli.values import executor_for, parse_batch_size, reading
    from ppcli.engine.run import FailurePolicy
    from ppcli.imaging.fit_options import FitOptions
    from ppcli.inputs.requests import RequestFile
    from ppcli.jobs.analysis_options import AnalysisOptions, load_kernels
    from ppcli.jobs.infer import InferSummary
    from ppcli.models.onnx.execution_device import choose_device
    from ppcli.models.serving.active_request import check_request
    from ppcli.models.serving.generation_request import GenerationRequest

    terminal = Terminal(quiet, verbose, log_format)
    text = "" if requests is not None else _prompt(prompt, prompt_file)
    chosen = {
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "presence_penalty": presence_penalty,
    }
    given: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
    ask = GenerationRequest(
        text,
        system,
        max_new_tokens,
        seed=seed,
        stop=tuple(stop or ()),
        keep_special_tokens=keep_special_tokens,
        think=think,
        **given,
    )
    listing = listing_of(inputs, files0_from, include, exclude, limit, output)
    directory = open_model(model)
    ask = as_the_model_says(directory.generation, ask, given, requests is not None)
    check_request(directory, ask)
    runs_on = choose_device(directory.folder, directory.manifest.dtype, device, device_id)
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
        runs_on,
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
        FailurePolicy(1 if fail_fast else max_failures, retry_failed),
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
