"""How any machine does the work of `infer`: where requests come from, and what answers them."""

import platform
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Protocol

from ppcli.coding.coder_options import CoderOptions
from ppcli.coding.sequence_options import Direction
from ppcli.engine.executors.executor import Executor
from ppcli.engine.worker_options import WorkerOptions
from ppcli.errors import ImageError, ModelError, ServerError
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
from ppcli.inputs.refs import ImageRef
from ppcli.inputs.requests import Request
from ppcli.jobs.analysis_options import AnalysisOptions, load_kernels
from ppcli.jobs.analyze import AnalyzeWork
from ppcli.jobs.chosen_model import ChosenModel, report_cpu_fallback
from ppcli.jobs.cluster_work import with_cores
from ppcli.jobs.image_worker import image_executor
from ppcli.jobs.infer import Answering, InferSummary, InferWork
from ppcli.jobs.page_analysis import PageResult
from ppcli.jobs.pages import OnPage, lost_page
from ppcli.jobs.prepare import FileRequests, ImageRequests, RequestSource, page_request, request_row
from ppcli.jobs.server_setup import connected
from ppcli.jobs.stored_images import StoredImage, StoredRequests
from ppcli.models.model_options import ModelOptions
from ppcli.models.remote.server_check import ServerFacts
from ppcli.models.remote.server_options import ServerOptions
from ppcli.models.serving.answering_model import AnsweringModel
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.store.rows import AnswerRow, as_error_row

Load = Callable[[], Answering]
"""Returns what answers requests. It is called once, before the first request."""


class SourceRecipe(Protocol):
    """Where the requests of a run come from. It is picklable."""

    @property
    def item(self) -> str:
        """What an input is called, in the singular."""

    def made(self, cores: int | None) -> RequestSource:
        """Return the source with worker processes for some cores; None for those of the options."""

    def failed_rows(self, ref: Any, error: ImageError) -> list[AnswerRow]:  # noqa: ANN401
        """Return the rows of an input on which nothing could work."""


@dataclass(frozen=True, slots=True)
class PreparedImages:
    """What images become before a model sees them.

    Attributes:
        options: how they are decoded and pruned.
        workers: worker processes, which do it.
        on_page: what is done with the pixels of each page; see `analyze_pages`.
    """

    options: AnalysisOptions
    workers: WorkerOptions
    on_page: OnPage | None = None

    def executor(self, cores: int | None) -> Executor:
        """Return worker processes for some cores; None for those of the options."""
        pixels = self.options.reading.max_image_pixels
        workers = self.workers if cores is None else with_cores(self.workers, cores, pixels)
        return image_executor(workers, pixels, partial(load_kernels, self.options))


@dataclass(frozen=True, slots=True)
class ImageSource:
    """The same prompt for each page of each image.

    Attributes:
        images: what becomes of them.
        request: the prompt and its settings.
    """

    images: PreparedImages
    request: GenerationRequest
    item: ClassVar = "image"

    def made(self, cores: int | None) -> ImageRequests:
        """Return the source."""
        images = self.images
        work = AnalyzeWork(images.options, images.executor(cores), images.on_page)
        return ImageRequests(work, self.request)

    def failed_rows(self, ref: ImageRef, error: ImageError) -> list[AnswerRow]:
        """Return the row of an image on which nothing could work."""
        lost = lost_page(ref, self.images.options, 1, None, error)
        return [page_request(lost, self.request).row]


@dataclass(frozen=True, slots=True)
class FileSource:
    """The requests of a file.

    Attributes:
        images: what becomes of their images.
        defaults: the settings that a request does not set itself.
        served_model: name of the model on the servers that answer; None for a local model.
    """

    images: PreparedImages
    defaults: GenerationRequest
    served_model: str | None = None
    item: ClassVar = "request"

    def made(self, cores: int | None) -> FileRequests:
        """Return the source."""
        images, executor = self.images, self.images.executor(cores)
        return FileRequests(
            images.options, executor, self.defaults, images.on_page, self.served_model
        )

    def failed_rows(self, ref: Request, error: ImageError) -> list[AnswerRow]:
        """Return the row of a request on which nothing could work."""
        return [as_error_row(request_row(ref), error)]


@dataclass(frozen=True, slots=True)
class StoredSource:
    """The same prompt for each page of each image of a dataset.

    Attributes:
        root: path or URL of the dataset folder.
        request: the prompt and its settings.
        max_pixels: of the raster of a patch set.
    """

    root: str
    request: GenerationRequest
    max_pixels: int = DEFAULT_MAX_IMAGE_PIXELS
    item: ClassVar = "image"

    def made(self, cores: int | None) -> StoredRequests:
        """Return the source, which needs no worker processes."""
        return StoredRequests(self.root, self.request, self.max_pixels)

    def failed_rows(self, ref: StoredImage, error: ImageError) -> list[AnswerRow]:
        """Return the rows of an image on which nothing could work."""
        pages = (replace(row, image_id=ref.name_of(row)) for row in ref.rows)
        rows = (page_request(PageResult(page), self.request).row for page in pages)
        return [as_error_row(row, error) for row in rows]


class AnsweringRecipe(Protocol):
    """What answers the requests of a run. It is picklable."""

    def opened(self, cores: int) -> AbstractContextManager[Load]:
        """Return what loads it on this machine, for some cores."""


@dataclass(frozen=True, slots=True)
class ModelOfMachine:
    """A model directory that each machine opens for itself, from a shared folder or a URL.

    Attributes:
        options: the directory, and the device that was chosen for all machines.
        identity: of the model in the process of the command.
        prune: whether pruned tiles are left out.
        batch_size: requests at once; None chooses.
    """

    options: ModelOptions
    identity: dict[str, Any]
    prune: bool
    batch_size: int | None

    @contextmanager
    def opened(self, cores: int) -> Iterator[Load]:
        """Return what loads the model."""
        options = replace(self.options, threads=self.options.threads or cores)
        yield partial(self._load, options)

    def _load(self, options: ModelOptions) -> AnsweringModel:
        """Load the model.

        Raises:
            ModelError: it cannot be loaded, or is another one than that of the command.
        """
        chosen = ChosenModel.opened(options)
        if chosen.directory.identity != self.identity:
            raise ModelError(
                f"{chosen.directory.folder} on {platform.node()} is another model than on the "
                "machine of the command; use a folder that all machines share, or a URL"
            )
        return answering_model(chosen, self.prune, self.batch_size)


def answering_model(chosen: ChosenModel, prune: bool, batch_size: int | None) -> AnsweringModel:
    """Load a model, and say if a GPU stays idle."""
    report_cpu_fallback(chosen.device)
    return AnsweringModel(chosen.directory, chosen.open_sessions(), prune, batch_size)


@dataclass(frozen=True, slots=True)
class ServersOfMachine:
    """Servers, to which each machine connects for itself.

    Attributes:
        options: their URLs.
        coder: how images are pruned.
        prune: whether they are.
        sequence: whether the images of a request are frames of a sequence.
        facts: what the process of the command found.
    """

    options: ServerOptions
    coder: CoderOptions
    prune: bool
    sequence: Direction | None
    facts: ServerFacts

    @contextmanager
    def opened(self, cores: int) -> Iterator[Load]:
        """Connect to the servers.

        Raises:
            ServerError: no server answers, or they have another model than before.
        """
        told = (self.options, self.coder, self.prune, self.sequence)
        with connected(*told) as servers:
            if servers.connection.facts != self.facts:
                raise ServerError(
                    f"{self.options.urls[0]} is another server for {platform.node()} than for the "
                    "machine of the command; use an address that all machines reach"
                )
            yield lambda: servers.answering


@dataclass(frozen=True, slots=True)
class InferRecipe:
    """Sets up the work of `infer` on any machine; see `WorkRecipe`.

    Attributes:
        source: where the requests come from.
        answering: what answers them.
        max_image_pixels: larger images are not decoded.
        stops_within_inputs: see `InferWork`.
    """

    source: SourceRecipe
    answering: AnsweringRecipe
    max_image_pixels: int
    stops_within_inputs: bool

    @property
    def item(self) -> str:
        """What an input is called, in the singular."""
        return self.source.item

    def new_summary(self) -> InferSummary:
        """Return totals of nothing."""
        return InferSummary()

    @contextmanager
    def opened(self, summary: InferSummary, cores: int) -> Iterator[InferWork]:
        """Return the work, with a model or servers that answer."""
        with self.answering.opened(cores) as load:
            source = self.source.made(cores)
            yield InferWork(source, load, summary, stops_within_inputs=self.stops_within_inputs)

    def failed_rows(self, ref: Any, error: ImageError) -> list[AnswerRow]:  # noqa: ANN401
        """Return the rows of an input on which nothing could work."""
        return self.source.failed_rows(ref, error)
