"""Sets up a run of infer: the model, the requests, and where their images come from."""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from ppcli.coding.coder_options import CoderOptions, warn_of_averages
from ppcli.coding.sequence_options import RequestSequenceOptions, SequenceOptions
from ppcli.engine.cluster.cluster import Connection
from ppcli.engine.cluster.cluster_factory import connect
from ppcli.engine.engine_options import EngineOptions
from ppcli.engine.run import Inputs
from ppcli.engine.worker_options import FailureOptions, WorkerOptions
from ppcli.errors import UsageError
from ppcli.filesystems.schemes import without_secrets
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.inputs.input_options import ColumnOptions, InputOptions, RequestOptions
from ppcli.inputs.listing import Listing
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.chosen_model import ChosenModel
from ppcli.jobs.cluster_work import ClusterWork, check_cluster_run, local_paths
from ppcli.jobs.generation_defaults import with_model_defaults
from ppcli.jobs.infer import InferSummary, InferWork
from ppcli.jobs.infer_recipe import (
    AnsweringRecipe,
    FileSource,
    ImageSource,
    InferRecipe,
    Load,
    ModelOfMachine,
    PreparedImages,
    ServersOfMachine,
    SourceRecipe,
    StoredSource,
    answering_model,
)
from ppcli.jobs.pages import OnPage
from ppcli.jobs.run_control import CountableInputs, ProgressCounter, RunControl, RunResult
from ppcli.jobs.run_job import run_job
from ppcli.jobs.sent_pages import hold_sent_page, send_page
from ppcli.jobs.server_setup import ConnectedServers, check_server_options, connected
from ppcli.jobs.stored_images import StoredImages, is_dataset
from ppcli.models.model_choices import Device
from ppcli.models.model_options import GenerationOptions, ModelOptions
from ppcli.models.onnx.execution_device import CudaProblem, GpuProblem, find_cuda_problem
from ppcli.models.remote.chat_body import chosen_extensions
from ppcli.models.remote.server_options import ServerOptions
from ppcli.models.serving.active_request import check_request
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.store.formats import ANSWER_COLUMN, KEEP_COLUMNS, Config
from ppcli.store.manifest import Manifest
from ppcli.store.output_options import AnswerOutputOptions, OutputOptions
from ppcli.store.rows import ANSWER, ANSWERS

if TYPE_CHECKING:
    import pyarrow as pa


def infer(
    inputs: InputOptions,
    *,
    columns: ColumnOptions,
    requests: RequestOptions,
    generation: GenerationOptions,
    model: ModelOptions,
    server: ServerOptions,
    coder: CoderOptions,
    sequence: RequestSequenceOptions,
    reading: ReadingOptions,
    output: OutputOptions | None,
    workers: WorkerOptions,
    engine: EngineOptions,
    failures: FailureOptions,
    control: RunControl,
) -> RunResult[InferSummary]:
    """Ask a model about images; see `ppcli.api.infer`."""
    _check_options(inputs, columns, requests, generation, output)
    _check_coding(requests, generation, coder, sequence)
    check_cluster_run(engine, output, control)
    warn_of_averages(coder)
    request = _request(requests, generation, coder.seed, bool(server.server))
    with ExitStack() as stack:
        cluster = stack.enter_context(connect(engine)) if engine.is_cluster else None
        if server.server:
            check_server_options(model, generation.batch_size, coder)
            servers = stack.enter_context(
                connected(server, coder, generation.prune, sequence.sequence)
            )
            answers = _server_answers(server, coder, servers, request)
        else:
            from_file = requests.requests is not None
            answers = _model_answers(model, request, generation, from_file, control, cluster)
        setup = _Setup(answers, workers, coder, sequence, reading, generation.prune)
        if requests.requests is not None:
            stream = setup.from_requests(requests, inputs.limit)
        else:
            target = None if output is None else output.output
            stream = setup.from_images(inputs.listing(target, columns.keep_columns))
        summary = InferSummary()
        pixels, has_servers = reading.max_image_pixels, bool(server.server)
        work: InferWork | ClusterWork
        if cluster is None:
            source = stream.source.made(None)
            work = InferWork(source, answers.load, summary, control.on_text, has_servers)
        else:
            recipe = InferRecipe(stream.source, answers.recipe, pixels, has_servers)
            open_cluster = cluster.cluster(workers.workers, answers.gpus)
            given = (*inputs.inputs, model.model or "", requests.root or "")
            work = ClusterWork(recipe, open_cluster, local_paths(filter(None, given)))
        return run_job(
            work,
            stream.inputs,
            summary,
            config=_config(stream, answers, generation.prune) | _names(output),
            output=output,
            kept=stream.kept,
            failures=failures,
            max_image_pixels=pixels,
            control=control,
            counter=ProgressCounter(control, stream.source.item, stream.inputs),
        )


@dataclass(frozen=True, slots=True)
class _Answers:
    """What answers the requests of a run.

    Attributes:
        load: returns it in this process, ready to answer.
        recipe: loads it on other machines.
        request: what it is asked where a line of a file sets nothing else.
        fit: how images are fitted.
        config: what answers depend on.
        on_page: makes what it takes of each page; None for patch sets.
        served_model: name of the model on the servers; None for a local model.
        gpus: that it needs on another machine.
    """

    load: Load
    recipe: AnsweringRecipe
    request: GenerationRequest
    fit: FitOptions
    config: Config
    on_page: OnPage | None = None
    served_model: str | None = None
    gpus: int = 0


def _model_answers(
    options: ModelOptions,
    request: GenerationRequest,
    generation: GenerationOptions,
    from_file: bool,
    control: RunControl,
    cluster: Connection | None,
) -> _Answers:
    chosen = ChosenModel.of(
        options, find_cuda_problem if cluster is None else _gpu_problem_of(cluster, options)
    )
    directory, kind = chosen.directory, chosen.device.kind
    request = with_model_defaults(directory.generation, request, generation.settings, from_file)
    check_request(directory, request)
    batch_size = generation.batch_size if control.on_text is None else 1
    prune, gpus = generation.prune, int(kind is Device.CUDA)
    recipe = ModelOfMachine(replace(options, device=kind), directory.identity, prune, batch_size)
    load = partial(answering_model, chosen, prune, batch_size)
    config = {"model": directory.identity, "device": kind.value}
    return _Answers(
        load, recipe, request, FitOptions.of_preset(directory.preset), config, gpus=gpus
    )


def _gpu_problem_of(cluster: Connection, options: ModelOptions) -> GpuProblem:
    """Return what tells whether the machines of a cluster have GPUs.

    Raises:
        UsageError: the options choose one of them.
    """
    if options.device_id:
        raise UsageError("--device-id names a GPU of this machine; a cluster gives each worker one")
    has_gpus = any(machine.gpus for machine in cluster.machines())
    problem = None if has_gpus else CudaProblem("no machine of the cluster has a GPU", False)
    return lambda _: problem


def _server_answers(
    options: ServerOptions,
    coder: CoderOptions,
    servers: ConnectedServers,
    request: GenerationRequest,
) -> _Answers:
    facts = servers.connection.facts
    recipe = ServersOfMachine(options, coder, servers.prune, servers.sequence, facts)
    on_page: OnPage = partial(send_page, prune=servers.prune)
    if servers.sequence is not None:
        on_page = hold_sent_page
    config = servers.as_config() | request.server_fields
    load: Load = lambda: servers.answering  # noqa: E731
    return _Answers(load, recipe, request, servers.fit, config, on_page, facts.model)


def _check_options(
    inputs: InputOptions,
    columns: ColumnOptions,
    requests: RequestOptions,
    generation: GenerationOptions,
    output: OutputOptions | None,
) -> None:
    if output is not None:
        output.check_not_read(requests.requests, generation.prompt_file, inputs.files0_from)
        output.check_limit(inputs.limit)
    if requests.requests is None:
        if requests.root is not None:
            raise UsageError("--root is for the images of --requests FILE")
        if requests.allow_http:
            raise UsageError("--allow-http is for the images of --requests FILE")
        return
    if columns.keep_columns:
        raise UsageError("--keep-columns is for images in Parquet files; leave it out")
    others = (inputs.inputs, inputs.files0_from, inputs.include, inputs.exclude)
    if any(others) or (generation.prompt, generation.prompt_file) != (None, None):
        raise UsageError("--requests names the images and prompts; leave the other inputs out")


def _check_coding(
    requests: RequestOptions,
    generation: GenerationOptions,
    coder: CoderOptions,
    sequence: RequestSequenceOptions,
) -> None:
    is_default = coder == CoderOptions(seed=coder.seed) and sequence.sequence is None
    if not generation.prune and not is_default:
        raise UsageError("--no-prune feeds every patch; leave the options of the coder out")
    if sequence.sequence is not None and requests.requests is None:
        raise UsageError(
            "--sequence is for the images of a request of --requests FILE; here each question "
            "shows one page alone"
        )
    sequence.frames().check_coder(coder)


def _request(
    requests: RequestOptions, generation: GenerationOptions, seed: int, for_server: bool
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
        server_fields=chosen_extensions(generation.settings) if for_server else {},
        **generation.settings,
    )


class _RunInputs(Inputs, CountableInputs, Protocol):
    """The inputs of a run, with a progress bar that may know their number."""


@dataclass(frozen=True, slots=True)
class _RequestStream:
    """The inputs of a run, how they become requests, how they were pruned, and what they bring."""

    inputs: _RunInputs
    source: SourceRecipe
    coding: Config
    kept: "pa.Schema | None" = None


@dataclass(frozen=True, slots=True)
class _Setup:
    answers: _Answers
    workers: WorkerOptions
    coder: CoderOptions
    sequence: RequestSequenceOptions
    reading: ReadingOptions
    prune: bool

    @property
    def _images(self) -> PreparedImages:
        answers = self.answers
        patches = answers.on_page is None
        options = AnalysisOptions(
            self.coder,
            answers.fit,
            self.reading,
            patches,
            rebuildable=False,
            sequence=self.sequence.frames(),
        )
        return PreparedImages(options, self.workers, answers.on_page)

    def from_requests(self, requests: RequestOptions, limit: int | None) -> _RequestStream:
        """The requests of a file."""
        answers = self.answers
        file = requests.request_file(limit, for_server=answers.served_model is not None)
        file.check()
        source = FileSource(self._images, answers.request, answers.served_model)
        return _RequestStream(file, source, self._coding())

    def from_images(self, listing: Listing) -> _RequestStream:
        """The same prompt for each image; those of a dataset are pruned already."""
        datasets = [one for one in listing.inputs if is_dataset(one)]
        if datasets:
            return self._from_dataset(datasets[0], listing)
        listing.check()
        kept = listing.kept_schema()
        source = ImageSource(self._images, self.answers.request)
        return _RequestStream(listing, source, self._coding(), kept)

    def _from_dataset(self, dataset: str, listing: Listing) -> _RequestStream:
        if len(listing.inputs) > 1 or listing.files0_from or listing.include or listing.exclude:
            shown = without_secrets(dataset)
            raise UsageError(f"{shown} is a dataset; it cannot be combined with other inputs")
        if listing.keep_columns:
            shown = without_secrets(dataset)
            raise UsageError(f"--keep-columns is for Parquet files; {shown} is a dataset")
        request = self.answers.request
        if (self.coder, self.reading) != (CoderOptions(seed=request.seed), ReadingOptions()):
            raise UsageError(
                f"{without_secrets(dataset)} is a dataset, whose images are decoded and pruned "
                "already; leave the options of the coder and of reading out"
            )
        images = StoredImages(dataset, listing.limit)
        images.check(self.answers.fit, self.prune)
        source = StoredSource(dataset, request, self.reading.max_image_pixels)
        config = Manifest.read(dataset).config
        config.pop(KEEP_COLUMNS, None)  # they stay there
        return _RequestStream(images, source, config)

    def _coding(self) -> Config:
        config = replace(self._images.options, sequence=SequenceOptions()).as_config()
        del config["patches"]
        return config | self.sequence.as_config()


def _config(stream: _RequestStream, answers: _Answers, prune: bool) -> Config:
    """Everything that answers depend on."""
    return (
        stream.coding
        | answers.request.as_config()
        | {"rows": ANSWERS, "patches": False, "prune": prune}
        | answers.config
        | {"of": stream.source.item}
    )


def _names(output: OutputOptions | None) -> Config:
    """The name of the column with the answers, where it is not the usual one."""
    if not isinstance(output, AnswerOutputOptions) or output.answer_column == ANSWER:
        return {}
    return {ANSWER_COLUMN: output.answer_column}
