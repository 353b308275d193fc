"""Sets up a run of evaluate: the model, the questions, and the variants of their images."""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from ppcli.coding.coder_options import CoderOptions, warn_of_averages
from ppcli.engine.worker_options import FailureOptions, WorkerOptions
from ppcli.errors import UsageError
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
from ppcli.inputs.input_options import QuestionOptions
from ppcli.inputs.questions import QuestionFile
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.chosen_model import ChosenModel, report_cpu_fallback
from ppcli.jobs.eval_options import AnswerOptions, VariantOptions
from ppcli.jobs.evaluate import (
    EvalSummary,
    EvalWork,
    QuestionRequests,
    eval_config,
    model_config,
)
from ppcli.jobs.generation_defaults import with_model_defaults
from ppcli.jobs.image_worker import image_executor
from ppcli.jobs.infer import Answering, InferWork
from ppcli.jobs.run_control import ProgressCounter, RunControl, RunResult
from ppcli.jobs.run_job import run_job
from ppcli.jobs.sent_pages import send_variants
from ppcli.jobs.server_setup import ConnectedServers, check_server_options, connected_to_compare
from ppcli.jobs.variants import (
    ImageVariant,
    PreparedVariants,
    load_variant_kernels,
    prepare_variants,
    variants_of,
)
from ppcli.models.model_choices import Think
from ppcli.models.model_options import ModelOptions
from ppcli.models.remote.server_options import ServerOptions
from ppcli.models.serving.answering_model import AnsweringModel
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.store.formats import Config
from ppcli.store.output_options import OutputOptions

logger = logging.getLogger("pixelprune")


def evaluate(
    questions: QuestionOptions,
    *,
    variants: VariantOptions,
    model: ModelOptions,
    server: ServerOptions,
    answers: AnswerOptions,
    output: OutputOptions | None,
    workers: WorkerOptions,
    failures: FailureOptions,
    control: RunControl,
) -> RunResult[EvalSummary]:
    """Score the answers to questions about variants of images; see `ppcli.api.evaluate`."""
    if output is not None:
        output.check_not_read(questions.data)
    request = GenerationRequest("", max_new_tokens=answers.max_new_tokens, think=Think.SPLIT)
    file = QuestionFile(
        questions.data, questions.limit, questions.root, questions.image_column or "image"
    )
    with ExitStack() as stack:
        if server.server:
            _check_server_options(model, variants, answers)
            compared = _variants(variants, controls=False)
            file.check()
            servers = stack.enter_context(connected_to_compare(server))
            engine = _server_engine(servers, request, compared)
            if variants.controls:
                logger.info("controls need a local model; full and pruned images are compared")
        else:
            compared = _variants(variants, variants.controls)
            engine = _model_engine(ChosenModel.of(model), request, answers, compared)
            file.check()
        kernels = partial(load_variant_kernels, engine.fit, compared)
        executor = image_executor(workers, DEFAULT_MAX_IMAGE_PIXELS, kernels)
        summary = EvalSummary()
        source = QuestionRequests(engine.prepare, compared, executor, engine.request)
        asking = InferWork(source, engine.load, summary, stops_within_inputs=bool(server.server))
        return run_job(
            EvalWork(asking, compared),
            file,
            summary,
            config=eval_config(engine.fit, compared, engine.request, engine.config),
            output=output,
            failures=failures,
            max_image_pixels=DEFAULT_MAX_IMAGE_PIXELS,
            control=control,
            counter=ProgressCounter(control, "question", file),
        )


@dataclass(frozen=True, slots=True)
class _Engine:
    """What answers the questions of a run.

    Attributes:
        load: returns it, ready to answer.
        request: the settings of all requests.
        fit: how images are fitted.
        prepare: makes all variants of an image.
        config: what answers depend on.
    """

    load: Callable[[], Answering]
    request: GenerationRequest
    fit: FitOptions
    prepare: Callable[[ImageRef], PreparedVariants]
    config: Config


def _model_engine(
    chosen: ChosenModel,
    request: GenerationRequest,
    answers: AnswerOptions,
    compared: Sequence[ImageVariant],
) -> _Engine:
    directory = chosen.directory
    request = with_model_defaults(directory.generation, request)
    report_cpu_fallback(chosen.device)
    fit = FitOptions.of_preset(directory.preset)
    return _Engine(
        lambda: AnsweringModel(directory, chosen.open_sessions(), batch_size=answers.batch_size),
        request,
        fit,
        partial(prepare_variants, fit=fit, wanted=compared),
        model_config(directory, chosen.device.kind, request),
    )


def _server_engine(
    servers: ConnectedServers, request: GenerationRequest, compared: Sequence[ImageVariant]
) -> _Engine:
    prepare = partial(send_variants, fit=servers.fit, wanted=compared)
    config = servers.as_config() | {"think": request.think}
    return _Engine(lambda: servers.answering, request, servers.fit, prepare, config)


def _variants(options: VariantOptions, controls: bool) -> list[ImageVariant]:
    compared = variants_of(options, controls)
    names = [variant.name for variant in compared]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise UsageError(
            f"the variant {repeated} comes twice; name methods and metrics once, and no "
            "thresholds that are equal in three digits"
        )
    lossy = [one.coder for one in compared if one.coder is not None and one.coder.threshold != 0]
    for coder in {coder.metric: coder for coder in lossy}.values():
        warn_of_averages(coder)
    return compared


def _check_server_options(
    model: ModelOptions, variants: VariantOptions, answers: AnswerOptions
) -> None:
    check_server_options(model, answers.batch_size, CoderOptions())
    if variants.seed:
        raise UsageError("--seed is for the random control, which needs a local model")
