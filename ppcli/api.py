"""What the commands of `pixelprune` do, as functions for Python programs.

    from ppcli import CoderOptions, analyze

    result = analyze("scans/", output="statistics.parquet", coder=CoderOptions(threshold=3 / 255))
    print(result.summary.kept, result.failures)

Options that commands share are dataclasses, with the names and defaults of the command line.
Messages go to the logger `pixelprune`; errors are subclasses of `PixelpruneError`. As with
`multiprocessing`, programs need `if __name__ == "__main__":` around calls that start worker
processes; `WorkerOptions(workers=0)` starts none.
"""

import logging
import os
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from ppcli.coding.coder_options import CoderOptions
from ppcli.engine.worker_options import FailureOptions, WorkerOptions
from ppcli.errors import NothingToDoError, with_subject
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.inputs.input_options import InputOptions, QuestionOptions, RequestOptions
from ppcli.jobs.bench_options import (
    BENCH_IMAGES,
    MeasureOptions,
    RandomModelOptions,
)
from ppcli.jobs.dataset_options import PictureOutputOptions, ViewOptions
from ppcli.jobs.eval_options import AnswerOptions, VariantOptions
from ppcli.jobs.run_control import (
    PicturesResult,
    Progress,
    ProgressCounter,
    RunControl,
    RunResult,
)
from ppcli.jobs.statistics_options import StatisticsOptions
from ppcli.models.grid_options import GridOptions
from ppcli.models.model_choices import Dtype, Head, Weights
from ppcli.models.model_options import GenerationOptions, ModelOptions
from ppcli.store.formats import ANSWERS_PER_SHARD, ROWS_PER_SHARD, SCORES_PER_SHARD
from ppcli.store.output_options import AnswerOutputOptions, OutputOptions

if TYPE_CHECKING:
    from ppcli.jobs.analyze import AnalyzeSummary
    from ppcli.jobs.bench_measures import BenchResult
    from ppcli.jobs.evaluate import EvalSummary
    from ppcli.jobs.infer import InferSummary
    from ppcli.models.costs import NamedModel
    from ppcli.store.verify import VerifyReport

__all__ = [
    "AnswerOptions",
    "AnswerOutputOptions",
    "CoderOptions",
    "FailureOptions",
    "GenerationOptions",
    "GridOptions",
    "InputOptions",
    "MeasureOptions",
    "ModelOptions",
    "OutputOptions",
    "PictureOutputOptions",
    "PicturesResult",
    "Progress",
    "QuestionOptions",
    "RandomModelOptions",
    "ReadingOptions",
    "RequestOptions",
    "RunControl",
    "RunResult",
    "StatisticsOptions",
    "VariantOptions",
    "VerifyResult",
    "ViewOptions",
    "WorkerOptions",
    "analyze",
    "bench",
    "evaluate",
    "export",
    "infer",
    "reconstruct",
    "report",
    "verify",
    "view",
]

Path = str | os.PathLike[str]
Inputs = InputOptions | Path | Iterable[Path]

logger = logging.getLogger("pixelprune")


def analyze(
    inputs: Inputs,
    *,
    output: OutputOptions | Path | None = None,
    coder: CoderOptions = CoderOptions(),
    grid: GridOptions = GridOptions(),
    reading: ReadingOptions = ReadingOptions(),
    statistics: StatisticsOptions = StatisticsOptions(),
    workers: WorkerOptions = WorkerOptions(),
    failures: FailureOptions = FailureOptions(),
    control: RunControl = RunControl(),
) -> "RunResult[AnalyzeSummary]":
    """Measure the redundancy of images, and write patch sets if the output is a folder.

    Args:
        inputs: files, folders and glob patterns.
        output: a folder or a file; None gives the rows to `control.on_row`, or to the result.
        coder: how tiles are selected.
        grid: how images are fitted to tiles.
        reading: which pages of files are read, and how.
        statistics: what is written besides the statistics.
        workers: worker processes.
        failures: when failed images stop the run.
        control: callbacks and signals.

    Raises:
        UsageError: an option is invalid, or an input does not exist.
        NothingToDoError: the inputs contain no image.
        OutputError: the output cannot be written, or belongs to another configuration.
        StoppedError: too many images failed, or a signal came; `result` has the totals so far.
    """
    from ppcli.jobs.analysis_options import AnalysisOptions, load_kernels, may_be_many_tasks
    from ppcli.jobs.image_worker import image_executor

    chosen, target = _inputs(inputs), _output(output)
    if target is not None:
        target.check_not_read(chosen.files0_from)
    listing = chosen.listing(None if target is None else target.output)
    listing.check()
    options = AnalysisOptions(
        coder,
        grid.fit_options(),
        reading,
        patches=target is not None and target.is_folder and statistics.patches,
        estimate=None if statistics.estimate is None else _named_model(statistics.estimate),
    )
    kernels = partial(load_kernels, options)
    with closing(image_executor(workers, reading.max_image_pixels, kernels)) as executor:
        if (named := listing.named_files) is not None:  # workers start while the rest is imported
            several = any(may_be_many_tasks(ref, options) for ref in named)
            executor.prestart(executor.capacity if several else len(named))
        counter = ProgressCounter(control, "image", listing)

        from ppcli.jobs.analyze import AnalyzeSummary, AnalyzeWork
        from ppcli.jobs.run_job import run_job

        return run_job(
            AnalyzeWork(options, executor),
            listing,
            AnalyzeSummary(),
            config=options.as_config(),
            output=target,
            failures=failures,
            max_image_pixels=reading.max_image_pixels,
            control=control,
            counter=counter,
        )


def infer(
    inputs: Inputs = (),
    prompt: str | None = None,
    *,
    requests: RequestOptions = RequestOptions(),
    generation: GenerationOptions = GenerationOptions(),
    model: ModelOptions | Path | None = None,
    coder: CoderOptions = CoderOptions(),
    reading: ReadingOptions = ReadingOptions(),
    output: OutputOptions | Path | None = None,
    workers: WorkerOptions = WorkerOptions(),
    failures: FailureOptions = FailureOptions(),
    control: RunControl = RunControl(),
) -> "RunResult[InferSummary]":
    """Ask a vision-language model about images, without their repeated patches.

    Args:
        inputs: files, folders and glob patterns, or one dataset of `analyze`.
        prompt: question or instruction; the same as `generation.prompt`.
        requests: a file of requests, instead of inputs and prompt.
        generation: prompt, limits and sampling.
        model: a model directory, and its device; None for the small model in the package.
        coder: how tiles are selected.
        reading: which pages of files are read, and how.
        output: a folder or a file; None gives the rows to `control.on_row`, or to the result.
        workers: worker processes, which decode and prune images.
        failures: when failed requests stop the run.
        control: callbacks and signals.

    Raises:
        UsageError: an option is invalid, or an input does not exist.
        ModelError: the model is invalid or incomplete, or does not run on the device.
        MissingDependencyError: the device needs something that is not installed.
        NothingToDoError: there is no image and no request.
        OutputError: the output cannot be written, or belongs to another configuration.
        StoppedError: too many requests failed, or a signal came; `result` has the totals so far.
    """
    from ppcli.jobs.infer_setup import infer as run_infer

    if prompt is not None:
        generation = replace(generation, prompt=prompt)
    return run_infer(
        _inputs(inputs),
        requests=requests,
        generation=generation,
        model=_model(model),
        coder=coder,
        reading=reading,
        output=_output(output, ANSWERS_PER_SHARD),
        workers=workers,
        failures=failures,
        control=control,
    )


def evaluate(
    questions: QuestionOptions | Path,
    *,
    variants: VariantOptions = VariantOptions(),
    model: ModelOptions | Path | None = None,
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
        answers: limits of the answers.
        output: a folder or a file; None gives the rows to `control.on_row`, or to the result.
        workers: worker processes, which decode and prune images.
        failures: when failed questions stop the run.
        control: callbacks and signals.

    Raises:
        UsageError: an option is invalid, or the file cannot be read.
        ModelError: the model is invalid or incomplete, or does not run on the device.
        MissingDependencyError: the device needs something that is not installed.
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
        model=_model(model),
        answers=answers,
        output=_output(output, SCORES_PER_SHARD),
        workers=workers,
        failures=failures,
        control=control,
    )


def bench(
    inputs: Inputs,
    *,
    model: ModelOptions | Path | None = None,
    random_weights: RandomModelOptions = RandomModelOptions(),
    coder: CoderOptions = CoderOptions(),
    measure: MeasureOptions = MeasureOptions(),
    control: RunControl = RunControl(),
) -> "BenchResult":
    """Measure a model with all patches and with the kept ones, in turn.

    Args:
        inputs: files, folders and glob patterns; by default the first 16 images count.
        model: a model directory, and its device; None for the small model in the package.
        random_weights: a model with random weights instead.
        coder: how tiles are selected.
        measure: what is measured.
        control: callbacks. Signals are not handled.

    Raises:
        UsageError: an option is invalid, or an input does not exist.
        ModelError: the model is invalid or incomplete, or does not run on the device.
        MissingDependencyError: the device needs something that is not installed.
        NothingToDoError: the inputs contain no image.
    """
    from ppcli.jobs.bench_setup import bench as run_bench

    chosen = inputs if isinstance(inputs, InputOptions) else None
    return run_bench(
        chosen or replace(_inputs(inputs), limit=BENCH_IMAGES),
        model=_model(model),
        random_weights=random_weights,
        coder=coder,
        measure=measure,
        control=control,
    )


def view(
    inputs: Inputs,
    *,
    picture: ViewOptions = ViewOptions(),
    coder: CoderOptions = CoderOptions(),
    grid: GridOptions = GridOptions(),
    reading: ReadingOptions = ReadingOptions(),
    output: PictureOutputOptions | Path = PictureOutputOptions(),
    workers: WorkerOptions = WorkerOptions(),
    control: RunControl = RunControl(),
) -> PicturesResult:
    """Draw images with their pruned tiles faded.

    Args:
        inputs: files, folders and glob patterns; or one dataset of `analyze`, which is drawn as
            it was made.
        picture: what the pictures show.
        coder: how tiles are selected.
        grid: how images are fitted to tiles.
        reading: which pages of files are read, and how.
        output: a folder, or a `.png` file for one image.
        workers: worker processes.
        control: callbacks and signals.

    Raises:
        UsageError: an option is invalid, or an input does not exist.
        NothingToDoError: the inputs contain no image.
        OutputError: a picture cannot be written, or exists.
        DamagedError: a file of the dataset is damaged.
        StoppedError: a signal came; `result` counts the pictures so far.
    """
    from ppcli.jobs.view_setup import view as run_view

    if not isinstance(output, PictureOutputOptions):
        output = PictureOutputOptions(os.fspath(output))
    return run_view(
        _inputs(inputs),
        picture=picture,
        coder=coder,
        grid=grid,
        reading=reading,
        output=output,
        workers=workers,
        control=control,
    )


def report(
    dataset: Path,
    output: Path = "report.html",
    *,
    answers: Path | None = None,
    models: Iterable[str] | None = None,
    max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
    overwrite: bool = False,
) -> str:
    """Write a report about a dataset, as one HTML page that opens offline.

    Args:
        dataset: a folder that `analyze` wrote.
        output: an `.html` file.
        answers: a folder that `infer` wrote; its answers appear below the pictures.
        models: published model sizes or folders whose savings are estimated; None for the sizes
            with the dataset's tiles.
        max_image_pixels: larger rasters are not rebuilt.
        overwrite: replace an existing file.

    Returns:
        The path of the file.

    Raises:
        UsageError: an option is invalid, or a folder is not a dataset.
        MissingDependencyError: Matplotlib is not installed.
        NothingToDoError: the dataset has no rows yet.
        OutputError: the file cannot be written, or exists.
        DamagedError: a file of the dataset is damaged.
    """
    from ppcli.jobs.report import write_report

    named = None if models is None else [_named_model(name) for name in dict.fromkeys(models)]
    path = os.fspath(output)
    folder = None if answers is None else os.fspath(answers)
    write_report(os.fspath(dataset), path, named, folder, max_image_pixels, overwrite)
    return path


def reconstruct(
    dataset: Path,
    folder: Path,
    *,
    image_ids: Iterable[str] = (),
    max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
    overwrite: bool = False,
    control: RunControl = RunControl(),
) -> PicturesResult:
    """Rebuild the images of patch sets as PNG files, without padding.

    Args:
        dataset: a folder that `analyze` wrote, or one of its patch files.
        folder: where the PNG files are written.
        image_ids: images to rebuild; none for all.
        max_image_pixels: larger rasters are not rebuilt.
        overwrite: replace existing files.
        control: callbacks. Signals are not handled.

    Raises:
        UsageError: there is no dataset, it has no patch sets, or not of such an image.
        NothingToDoError: the dataset has no patch sets yet.
        OutputError: a file cannot be written, or exists.
        DamagedError: a file of the dataset is unreadable.
    """
    from ppcli.jobs.reconstruct import reconstruct as run_reconstruct
    from ppcli.store.output_paths import check_folder

    source, target = os.fspath(dataset), os.fspath(folder)
    check_folder(target, "--to", "each image becomes a .png file in it")
    written = failed = 0
    on_image = partial(control.report, "image")
    chosen = list(image_ids) or None
    for one in run_reconstruct(source, target, overwrite, chosen, max_image_pixels, on_image):
        if one.error is None:
            written += 1
            logger.debug("%s", one.path)
        else:
            failed += 1
            logger.warning("%s", with_subject(one.image_id, one.error))
    if not written + failed:
        raise NothingToDoError(f"{source} has no patch sets")
    return PicturesResult(written, failed, target)


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What `verify` found.

    Attributes:
        damage: one sentence for each fault.
        report: counts; None for a model directory.
    """

    damage: list[str]
    report: "VerifyReport | None" = None


def verify(
    path: Path, *, data: bool = False, max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS
) -> VerifyResult:
    """Check that a dataset or a model directory is intact.

    Args:
        path: a folder that `analyze`, `infer`, `evaluate` or `export` wrote, or one of its
            `.parquet` files.
        data: rebuild every raster and compare its digest.
        max_image_pixels: larger rasters are not rebuilt, and count as faults.

    Raises:
        UsageError: the path is neither.
    """
    from ppcli.models.onnx.directory import changed_files, is_model_directory
    from ppcli.store.verify import verify as run_verify

    checked = os.fspath(path)
    if is_model_directory(checked):
        return VerifyResult(changed_files(checked))
    found = run_verify(checked, data, max_image_pixels)
    return VerifyResult(found.damage, found)


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
    """Convert a Qwen3-VL checkpoint to ONNX graphs that take only the kept patches.

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


def _named_model(name: str) -> "NamedModel":
    from ppcli.models.costs import NamedModel

    return NamedModel.of(name)


def _inputs(inputs: Inputs) -> InputOptions:
    if isinstance(inputs, InputOptions):
        return inputs
    if isinstance(inputs, str | os.PathLike):
        return InputOptions((os.fspath(inputs),))
    return InputOptions(tuple(os.fspath(path) for path in inputs))


def _output(
    output: OutputOptions | Path | None, rows_per_shard: int = ROWS_PER_SHARD
) -> OutputOptions | None:
    if output is None or isinstance(output, OutputOptions):
        return output
    return OutputOptions(os.fspath(output), rows_per_shard=rows_per_shard)


def _model(model: ModelOptions | Path | None) -> ModelOptions:
    if isinstance(model, ModelOptions):
        return model
    return ModelOptions(None if model is None else os.fspath(model))
