"""`pixelprune eval`."""

from functools import partial
from typing import Annotated

import typer

from ppcli.cli.model_options import BatchSizeOption, MaxNewTokensOption
from ppcli.cli.options import (
    INPUTS,
    OUTPUT,
    DeviceIdOption,
    DeviceOption,
    FailFastOption,
    Limit,
    LogFormat,
    LogFormatOption,
    MaxFailuresOption,
    ModelOption,
    OverwriteOption,
    ResumeOption,
    RetryFailedOption,
    RootOption,
    ThreadsOption,
    TimeoutOption,
    Verbose,
    WorkerMemoryOption,
    WorkersOption,
    check_output,
)
from ppcli.coding.coder_options import parse_threshold
from ppcli.errors import ExitCode, UsageError
from ppcli.models.model_choices import Device, Think
from ppcli.store.formats import Format

ROWS_PER_SHARD = 1_000
_CODER = "Coder"


def evaluate(
    data: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Questions: JSON lines or Parquet with image, question and answers.",
            rich_help_panel=INPUTS,
        ),
    ],
    root: RootOption = None,
    limit: Limit = None,
    model: ModelOption = None,
    device: DeviceOption = Device.AUTO,
    device_id: DeviceIdOption = 0,
    threads: ThreadsOption = 0,
    max_new_tokens: MaxNewTokensOption = 64,
    batch_size: BatchSizeOption = "auto",
    thresholds: Annotated[
        str,
        typer.Option(
            metavar="TAU,TAU",
            help="Of pred_2d; the others get as many tokens as the first one.",
            rich_help_panel=_CODER,
        ),
    ] = "0",
    seed: Annotated[
        int, typer.Option(metavar="N", help="Of random tiles.", rich_help_panel=_CODER)
    ] = 0,
    controls: Annotated[
        bool,
        typer.Option(
            help="Also evaluate random tiles, connected components, raster order and a smaller "
            "image, each with as many tokens as pruning keeps.",
            rich_help_panel=_CODER,
        ),
    ] = True,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A folder, a .parquet, .jsonl(.gz) or .csv(.gz) file, or - for standard output.",
            rich_help_panel=OUTPUT,
        ),
    ] = "pixelprune-eval",
    row_format: Annotated[
        Format | None,
        typer.Option("--format", help="With -o -: jsonl unless told.", rich_help_panel=OUTPUT),
    ] = None,
    overwrite: OverwriteOption = False,
    resume: ResumeOption = True,
    retry_failed: RetryFailedOption = False,
    workers: WorkersOption = None,
    timeout: TimeoutOption = 60.0,
    worker_memory: WorkerMemoryOption = None,
    max_failures: MaxFailuresOption = None,
    fail_fast: FailFastOption = False,
    log_format: LogFormatOption = LogFormat.TEXT,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Nothing but the scores.")] = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Score answers about whole images, pruned ones, and others of as many tokens."""
    taus = [parse_threshold(text) for text in thresholds.split(",")]
    if row_format is Format.OPENAI:
        raise UsageError("--format openai is for answers, and these are scores")
    check_output(output, row_format, data)
    from ppcli.cli.eval_output import show_scores
    from ppcli.cli.infer_output import open_model, report_cpu_fallback
    from ppcli.cli.model_defaults import as_the_model_says
    from ppcli.cli.running import carry_out
    from ppcli.cli.target import Target
    from ppcli.cli.terminal import Terminal
    from ppcli.cli.values import executor_for, parse_batch_size
    from ppcli.engine.run import FailurePolicy
    from ppcli.imaging.fit_options import FitOptions
    from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
    from ppcli.inputs.questions import QuestionFile
    from ppcli.jobs.evaluate import EvalSummary, EvalWork, QuestionRequests, eval_config
    from ppcli.jobs.infer import InferWork
    from ppcli.jobs.variants import load_variant_kernels, variants_at
    from ppcli.models.onnx.execution_device import choose_device
    from ppcli.models.onnx.sessions import open_sessions
    from ppcli.models.serving.answering_model import AnsweringModel
    from ppcli.models.serving.generation_request import GenerationRequest

    terminal = Terminal(quiet, verbose, log_format)
    slots = parse_batch_size(batch_size)
    directory = open_model(model)
    ask = as_the_model_says(
        directory.generation,
        GenerationRequest("", max_new_tokens=max_new_tokens, think=Think.SPLIT),
    )
    runs_on = choose_device(directory.folder, directory.manifest.dtype, device, device_id)
    report_cpu_fallback(runs_on)
    fit = FitOptions.of_preset(directory.preset)
    variants = variants_at(taus, seed, controls)
    if len({variant.name for variant in variants}) < len(variants):
        raise UsageError(f"--thresholds is {thresholds!r}, of which two look the same")
    executor = executor_for(
        workers,
        timeout,
        worker_memory,
        DEFAULT_MAX_IMAGE_PIXELS,
        verbose,
        partial(load_variant_kernels, fit, variants),
    )
    summary = EvalSummary()
    asking = InferWork(
        QuestionRequests(fit, variants, executor, ask),
        lambda: AnsweringModel(
            directory, open_sessions(directory, runs_on, threads), batch_size=slots
        ),
        summary,
    )
    target = Target(output, row_format, overwrite, resume, ROWS_PER_SHARD)
    config = eval_config(fit, variants, ask, directory, runs_on.kind)
    questions = QuestionFile(data, limit, root)
    questions.check()
    return carry_out(
        EvalWork(asking, variants),
        questions,
        partial(target.open, config),
        target,
        terminal,
        summary,
        show_scores,
        FailurePolicy(1 if fail_fast else max_failures, retry_failed),
    )
