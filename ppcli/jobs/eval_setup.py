"""Sets up a run of evaluate: the model, the questions, and the variants of their images."""

from functools import partial

from ppcli.engine.worker_options import FailureOptions, WorkerOptions
from ppcli.errors import UsageError
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
from ppcli.inputs.input_options import QuestionOptions
from ppcli.inputs.questions import QuestionFile
from ppcli.jobs.chosen_model import ChosenModel, report_cpu_fallback
from ppcli.jobs.eval_options import AnswerOptions, VariantOptions
from ppcli.jobs.evaluate import EvalSummary, EvalWork, QuestionRequests, eval_config
from ppcli.jobs.generation_defaults import with_model_defaults
from ppcli.jobs.image_worker import image_executor
from ppcli.jobs.infer import InferWork
from ppcli.jobs.run_control import ProgressCounter, RunControl, RunResult
from ppcli.jobs.run_job import run_job
from ppcli.jobs.variants import load_variant_kernels, variants_at
from ppcli.models.model_choices import Think
from ppcli.models.model_options import ModelOptions
from ppcli.models.serving.answering_model import AnsweringModel
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.store.output_options import OutputOptions


def evaluate(
    questions: QuestionOptions,
    *,
    variants: VariantOptions,
    model: ModelOptions,
    answers: AnswerOptions,
    output: OutputOptions | None,
    workers: WorkerOptions,
    failures: FailureOptions,
    control: RunControl,
) -> RunResult[EvalSummary]:
    """Score the answers to questions about variants of images; see `ppcli.api.evaluate`."""
    if output is not None:
        output.check_not_read(questions.data)
    chosen = ChosenModel.of(model)
    directory = chosen.directory
    request = with_model_defaults(
        directory.generation,
        GenerationRequest("", max_new_tokens=answers.max_new_tokens, think=Think.SPLIT),
    )
    report_cpu_fallback(chosen.device)
    fit = FitOptions.of_preset(directory.preset)
    compared = variants_at(variants.thresholds, variants.seed, variants.controls)
    if len({variant.name for variant in compared}) < len(compared):
        shown = ", ".join(f"{threshold:g}" for threshold in variants.thresholds)
        raise UsageError(f"two thresholds are equal in three digits: {shown}")
    kernels = partial(load_variant_kernels, fit, compared)
    executor = image_executor(workers, DEFAULT_MAX_IMAGE_PIXELS, kernels)
    summary = EvalSummary()
    asking = InferWork(
        QuestionRequests(fit, compared, executor, request),
        lambda: AnsweringModel(directory, chosen.open_sessions(), batch_size=answers.batch_size),
        summary,
    )
    file = QuestionFile(questions.data, questions.limit, questions.root)
    file.check()
    return run_job(
        EvalWork(asking, compared),
        file,
        summary,
        config=eval_config(fit, compared, request, directory, chosen.device.kind),
        output=output,
        failures=failures,
        max_image_pixels=DEFAULT_MAX_IMAGE_PIXELS,
        control=control,
        counter=ProgressCounter(control, "question", file),
    )
