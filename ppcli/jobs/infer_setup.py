"""Sets up a run of infer: the model, the requests, and where their images come from."""

from dataclasses import dataclass
from functools import partial
from typing import Protocol

from ppcli.coding.coder_options import CoderOptions
from ppcli.engine.executors.executor import Executor
from ppcli.engine.run import Inputs
from ppcli.engine.worker_options import FailureOptions, WorkerOptions
from ppcli.errors import UsageError
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.inputs.input_options import InputOptions, RequestOptions
from ppcli.inputs.listing import Listing
from ppcli.jobs.analysis_options import AnalysisOptions, load_kernels
from ppcli.jobs.analyze import AnalyzeWork
from ppcli.jobs.chosen_model import ChosenModel, report_cpu_fallback
from ppcli.jobs.generation_defaults import with_model_defaults
from ppcli.jobs.image_worker import image_executor
from ppcli.jobs.infer import InferSummary, InferWork
from ppcli.jobs.prepare import FileRequests, ImageRequests, RequestSource
from ppcli.jobs.run_control import CountableInputs, ProgressCounter, RunControl, RunResult
from ppcli.jobs.run_job import run_job
from ppcli.jobs.stored_images import StoredImages, StoredRequests, is_dataset
from ppcli.models.model_options import GenerationOptions, ModelOptions
from ppcli.models.serving.active_request import check_request
from ppcli.models.serving.answering_model import AnsweringModel
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.store.formats import Config
from ppcli.store.manifest import Manifest
from ppcli.store.output_options import OutputOptions
from ppcli.store.rows import ANSWERS


def infer(
    inputs: InputOptions,
    *,
    requests: RequestOptions,
    generation: GenerationOptions,
    model: ModelOptions,
    coder: CoderOptions,
    reading: ReadingOptions,
    output: OutputOptions | None,
    workers: WorkerOptions,
    failures: FailureOptions,
    control: RunControl,
) -> RunResult[InferSummary]:
    """Ask a model about images; see `ppcli.api.infer`."""
    _check_options(inputs, requests, generation, coder, output)
    request = _request(requests, generation, coder.seed)
    chosen = ChosenModel.of(model)
    directory = chosen.directory
    from_file = requests.requests is not None
    request = with_model_defaults(directory.generation, request, generation.settings, from_file)
    check_request(directory, request)
    options = AnalysisOptions(
        coder, FitOptions.of_preset(directory.preset), reading, rebuildable=False
    )
    kernels = partial(load_kernels, options)
    executor = image_executor(workers, reading.max_image_pixels, kernels)
    setup = _Setup(request, options, executor, generation.prune)
    if requests.requests is not None:
        stream = setup.from_requests(requests, inputs.limit)
    else:
        stream = setup.from_images(inputs.listing(None if output is None else output.output))
    summary = InferSummary()
    work = InferWork(
        stream.source,
        partial(_load_model, chosen, generation, control),
        summary,
        control.on_text,
    )
    return run_job(
        work,
        stream.inputs,
        summary,
        config=_config(stream, request, chosen, generation.prune),
        output=output,
        failures=failures,
        max_image_pixels=reading.max_image_pixels,
        control=control,
        counter=ProgressCounter(control, work.item, stream.inputs),
    )


def _check_options(
    inputs: InputOptions,
    requests: RequestOptions,
    generation: GenerationOptions,
    coder: CoderOptions,
    output: OutputOptions | None,
) -> None:
    if not generation.prune and coder != CoderOptions(seed=coder.seed):
        raise UsageError("--no-prune feeds every patch; leave the options of the coder out")
    if output is not None:
        output.check_not_read(requests.requests, generation.prompt_file, inputs.files0_from)
    if requests.requests is None:
        if requests.root is not None:
            raise UsageError("--root is for the images of --requests FILE")
        return
    others = (inputs.inputs, inputs.files0_from, inputs.include, inputs.exclude)
    if any(others) or (generation.prompt, generation.prompt_file) != (None, None):
        raise UsageError("--requests names the images and prompts; leave the other inputs out")


def _request(
    requests: RequestOptions, generation: GenerationOptions, seed: int
) -> GenerationRequest:
    """Return the request for lines of a file that set nothing themselves."""
    return GenerationRequest(
        "" if requests.requests is not None else generation.prompt_text(),
        generation.system,
        generation.max_new_tokens,
        seed=seed,
        stop=generation.stop,
        keep_special_tokens=generation.keep_special_tokens,
        think=generation.think,
        **generation.settings,
    )


def _load_model(
    chosen: ChosenModel, generation: GenerationOptions, control: RunControl
) -> AnsweringModel:
    report_cpu_fallback(chosen.device)
    batch_size = generation.batch_size if control.on_text is None else 1
    return AnsweringModel(chosen.directory, chosen.open_sessions(), generation.prune, batch_size)


class _RunInputs(Inputs, CountableInputs, Protocol):
    """The inputs of a run, with a progress bar that may know their number."""


@dataclass(frozen=True, slots=True)
class _RequestStream:
    """The inputs of a run, how they become requests, and how their images were pruned."""

    inputs: _RunInputs
    source: RequestSource
    coding: Config


@dataclass(frozen=True, slots=True)
class _Setup:
    request: GenerationRequest
    options: AnalysisOptions
    executor: Executor
    prune: bool

    def from_requests(self, requests: RequestOptions, limit: int | None) -> _RequestStream:
        """The requests of a file."""
        file = requests.request_file(limit)
        file.check()
        source = FileRequests(self.options, self.executor, self.request)
        return _RequestStream(file, source, self._coding())

    def from_images(self, listing: Listing) -> _RequestStream:
        """The same prompt for each image; those of a dataset are pruned already."""
        datasets = [one for one in listing.inputs if is_dataset(one)]
        if datasets:
            return self._from_dataset(datasets[0], listing)
        listing.check()
        source = ImageRequests(AnalyzeWork(self.options, self.executor), self.request)
        return _RequestStream(listing, source, self._coding())

    def _from_dataset(self, dataset: str, listing: Listing) -> _RequestStream:
        if len(listing.inputs) > 1 or listing.files0_from or listing.include or listing.exclude:
            raise UsageError(f"{dataset} is a dataset; it cannot be combined with other inputs")
        plain = CoderOptions(seed=self.request.seed)
        if self.options != AnalysisOptions(plain, self.options.fit, rebuildable=False):
            raise UsageError(
                f"{dataset} is a dataset, whose images are decoded and pruned already; "
                "leave the options of the coder and of reading out"
            )
        images = StoredImages(dataset, listing.limit)
        images.check(self.options.fit, self.prune)
        source = StoredRequests(dataset, self.request, self.options.reading.max_image_pixels)
        return _RequestStream(images, source, Manifest.read(dataset).config)

    def _coding(self) -> Config:
        config = self.options.as_config()
        del config["patches"]
        return config


def _config(
    stream: _RequestStream, request: GenerationRequest, chosen: ChosenModel, prune: bool
) -> Config:
    """Everything that answers depend on."""
    return (
        stream.coding
        | request.as_config()
        | {"rows": ANSWERS, "patches": False, "prune": prune}
        | {"model": chosen.directory.identity, "device": chosen.device.kind.value}
        | {"of": stream.source.item}
    )
