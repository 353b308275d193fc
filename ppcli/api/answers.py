"""Functions that run a model, or convert one: `infer`, `evaluate`, `bench` and `export`."""

import logging
import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ppcli.api.short_forms import Inputs, Path, input_options, model_options, output_options
from ppcli.coding.coder_options import CoderOptions
from ppcli.coding.sequence_options import RequestSequenceOptions
from ppcli.engine.engine_options import EngineOptions
from ppcli.engine.worker_options import FailureOptions, WorkerOptions
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.inputs.input_options import ColumnOptions, InputOptions, QuestionOptions, RequestOptions
from ppcli.jobs.bench_options import BENCH_IMAGES, MeasureOptions, RandomModelOptions
from ppcli.jobs.eval_options import AnswerOptions, VariantOptions
from ppcli.jobs.run_control import RunControl, RunResult
from ppcli.models.model_choices import Dtype, Head, Weights
from ppcli.models.model_options import GenerationOptions, ModelOptions
from ppcli.models.remote.server_options import ServerOptions
from ppcli.store.formats import ANSWERS_PER_SHARD, SCORES_PER_SHARD
from ppcli.store.output_options import OutputOptions

if TYPE_CHECKING:
    from ppcli.jobs.bench_measures import BenchResult
    from ppcli.jobs.evaluate import EvalSummary
    from ppcli.jobs.infer import InferSummary
    from ppcli.jobs.server_bench_measures import ServerBenchResult

logger = logging.getLogger("pixelprune")


def infer(
    inputs: Inputs = (),
    prompt: str | None = None,
    *,
    columns: ColumnOptions = ColumnOptions(),
    requests: RequestOptions = RequestOptions(),
    generation: GenerationOptions = GenerationOptions(),
    model: ModelOptions | Path | None = None,
    server: ServerOptions = ServerOptions(),
    coder: CoderOptions = CoderOptions(),
    sequence: RequestSequenceOptions = RequestSequenceOptions(),
    reading: ReadingOptions = ReadingOptions(),
    output: OutputOptions | Path | None = None,
    workers: WorkerOptions = WorkerOptions(),
    engine: EngineOptions = EngineOptions(),
    failures: FailureOptions = FailureOptions(),
    control: RunControl = RunControl(),
) -> "RunResult[InferSummary]":
    """Ask a vision-language model about images, without their repeated patches.

    Args:
        inputs: files, folders and glob patterns, or one dataset of `analyze`.
        prompt: question or instruction; the same as `generation.prompt`.
        columns: columns of data sets that travel into the rows of the output.
        requests: a file of requests, instead of inputs and prompt.
        generation: prompt, limits and sampling.
        model: a model directory, and its device; None for the small model in the package.
        server: servers that answer instead.
        coder: how tiles are selected.
        sequence: whether the images of a request may repeat tiles of one another.
        reading: which pages of files are read, and how.
        output: a folder or a file; None gives the rows to `control.on_row`, or to the result.
        workers: worker processes, which decode and prune images; on a cluster, those of each of its
            workers.
        engine: where the work is done.
        failures: when failed requests stop the run.
        control: callbacks and signals.

    Raises:
        UsageError: an option is invalid, or an input does not exist.
        ModelError: the model is invalid or incomplete, or does not run on the device.
        StoreError: the URL of the model cannot be read.
        MissingDependencyError: the device needs something that is not installed.
        ServerError: no server answers, or one cannot be used.
        NothingToDoError: there is no image and no request.
        OutputError: the output cannot be written, or belongs to another configuration.
        StoppedError: too many requests failed, or a signal came; `result` has the totals so far.
    """
    from ppcli.jobs.infer_setup import infer as run_infer

    if prompt is not None:
        generation = replace(generation, prompt=prompt)
    return run_infer(
        input_options(inputs),
        columns=columns,
        requests=requests,
        generation=generation,
        model=model_options(model),
        server=server,
        coder=coder,
        sequence=sequence,
        reading=reading,
        output=output_options(output, ANSWERS_PER_SHARD),
        workers=workers,
        engine=engine,
        failures=failures,
        control=control,
    )


def evaluate(
    questions: QuestionOptions | Path,
    *,
    variants: VariantOptions = VariantOptions(),
    model: ModelOptions | Path | None = None,
    server: ServerOptions = ServerOptions(),
    answers: AnswerOptions = AnswerOptions(),
    output: OutputOptions | Path | None = None,
    workers: WorkerOptions = WorkerOptions(),
    failures: FailureOptions = FailureOptions(),
    control: RunControl = RunControl(),
) -> "RunResult[EvalSummary]":
    """Score a model's answers about whole images, pruned images, and controls of equal size.

    Args:
        questions: a file of JSON lines or Parquet.
        variants: which variants of the images are compared.
        model: a model directory, and its device; None for the small model in the package.
        server: servers that answer instead; they must prune as each request says.
        answers: limits of the answers.
        output: a folder or a file; None gives the rows to `control.on_row`, or to the result.
        workers: worker processes, which decode and prune images.
        failures: when failed questions stop the run.
        control: callbacks and signals.

    Raises:
        UsageError: an option is invalid, or the file cannot be read.
        ModelError: the model is invalid or incomplete, or does not run on the device.
        StoreError: the URL of the model cannot be read.
        MissingDependencyError: the device needs something that is not installed.
        ServerError: no server answers, or one cannot be used.
        NothingToDoError: there is no question.
        OutputError: the output cannot be written, or belongs to another configuration.
        StoppedError: too many questions failed, or a signal came; `result` has the totals so far.
    """
    from ppcli.jobs.eval_setup import evaluate as run_evaluate

    if not isinstance(questions, QuestionOptions):
        questions = QuestionOptions(os.fspath(questions))
    return run_evaluate(
        questions,
        variants=variants,
        model=model_options(model),
        server=server,
        answers=answers,
        output=output_options(output, SCORES_PER_SHARD, OutputOptions),
        workers=workers,
        failures=failures,
        control=control,
    )


def bench(
    inputs: Inputs,
    *,
    model: ModelOptions | Path | None = None,
    random_weights: RandomModelOptions = RandomModelOptions(),
    server: ServerOptions = ServerOptions(),
    coder: CoderOptions = CoderOptions(),
    measure: MeasureOptions = MeasureOptions(),
    control: RunControl = RunControl(),
) -> "BenchResult | ServerBenchResult":
    """Measure a model with all patches and with the kept ones, in turn.

    Args:
        inputs: files, folders and glob patterns; by default the first 16 images count.
        model: a model directory, and its device; None for the small model in the package.
        random_weights: a model with random weights instead.
        server: servers that are measured instead; they must prune as each request says.
        coder: how tiles are selected.
        measure: what is measured.
        control: callbacks. Signals are not handled.

    Returns:
        The measurements of the model, or with `server` those of the servers.

    Raises:
        UsageError: an option is invalid, or an input does not exist.
        ModelError: the model is invalid or incomplete, or does not run on the device.
        StoreError: the URL of the model cannot be read.
        MissingDependencyError: the device needs something that is not installed.
        ServerError: no server answers, or one cannot be used.
        NothingToDoError: the inputs contain no image.
    """
    from ppcli.jobs.bench_setup import bench as run_bench
    from ppcli.jobs.server_bench_setup import bench_server

    if not isinstance(inputs, InputOptions):
        inputs = replace(input_options(inputs), limit=BENCH_IMAGES)
    run = partial(bench_server, server=server) if server.server else run_bench
    return run(
        inputs,
        model=model_options(model),
        random_weights=random_weights,
        coder=coder,
        measure=measure,
        control=control,
    )


def export(
    model: Path,
    out_dir: Path,
    *,
    dtype: Dtype = Dtype.FLOAT32,
    weights: Weights = Weights.FLOAT,
    head: Head | None = None,
    revision: str | None = None,
    overwrite: bool = False,
    download_bars: bool = False,
    control: RunControl = RunControl(),
) -> str:
    """Convert a checkpoint to ONNX graphs that take only the kept patches.

    Args:
        model: a checkpoint folder, or a name on the Hugging Face hub.
        out_dir: the model directory to write.
        dtype: data type of weights and activations.
        weights: whether the matrices of the language model are quantized.
        head: which matrix computes the logits; None for the one that the configuration names.
        revision: branch, tag or commit on the hub.
        overwrite: replace an existing model directory.
        download_bars: draw the progress bars of the hub on standard error.
        control: callbacks. Signals are not handled.

    Returns:
        The path of the model directory.

    Raises:
        ModelError: the checkpoint does not exist, is incomplete, or is not supported.
        OutputError: the directory cannot be written, or exists.
    """
    from ppcli.models.checkpoints.hub import checkpoint_folder
    from ppcli.models.onnx.export import Export
    from ppcli.store.output_paths import check_path

    target = os.fspath(out_dir)
    check_path(target, "OUT_DIR")
    folder, source = checkpoint_folder(os.fspath(model), revision, download_bars)
    on_tensor = partial(control.report, "tensor")
    made = Export(folder, dtype.value, source, weights, on_tensor, head=head)
    for warning in made.warnings:
        logger.warning("%s: %s", source, warning)
    made.write(target, overwrite)
    return target
