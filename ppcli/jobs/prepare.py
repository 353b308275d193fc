"""Requests whose images workers decode and prune ahead, while the model answers others."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

from ppcli.engine import ordered
from ppcli.engine.arrivals import Arrivals
from ppcli.engine.executors.executor import Executor
from ppcli.engine.ordered import Call, OrderedTasks, SingleCall
from ppcli.engine.stopping import Stop
from ppcli.errors import ErrorCode, ImageError, UsageError, bounded
from ppcli.inputs.refs import Input
from ppcli.inputs.requests import Request
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.analyze import AnalyzeWork
from ppcli.jobs.page_analysis import PageResult
from ppcli.jobs.pages import OnPage
from ppcli.jobs.request_images import PreparedImages, prepare_images
from ppcli.models.remote.chat_body import chosen_extensions
from ppcli.models.remote.sent_image import SentImage
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.models.text.chat_tokenizer import expand_pages, with_system
from ppcli.store.rows import AnswerRow, PatchRow, as_error_row, outcome_of

logger = logging.getLogger("pixelprune")


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A request whose images are decoded and pruned.

    Attributes:
        row: the columns that are known; an error row if an image failed.
        request: prompt and settings; None in an error row.
        images: of each image, in order, its patch set or what is sent to a server.
    """

    row: AnswerRow
    request: GenerationRequest | None = None
    images: Sequence[PatchRow | SentImage] = field(default_factory=list)


class RequestSource(Protocol):
    """Prepares the requests of a run."""

    @property
    def item(self) -> str:
        """What an input is called, in the singular."""

    def prestart(self, inputs: Arrivals[Any]) -> None:
        """Start workers before the first input is read."""

    def requests(
        self, inputs: Arrivals[Any], stop: Stop
    ) -> Iterator[tuple[Input, Iterator[PreparedRequest]]]:
        """Yield each input with its requests, in order."""

    def close(self) -> None:
        """Stop workers and release resources."""


@dataclass(frozen=True, slots=True)
class ImageRequests:
    """One request per page of each image, all with the same prompt.

    Attributes:
        work: decodes and prunes the images.
        request: prompt and settings of all requests.
    """

    work: AnalyzeWork
    request: GenerationRequest
    item: ClassVar = "image"

    def prestart(self, inputs: Arrivals[Any]) -> None:
        """Start no more workers than there are images."""
        self.work.prestart(inputs)

    def requests(
        self, inputs: Arrivals[Any], stop: Stop
    ) -> Iterator[tuple[Input, Iterator[PreparedRequest]]]:
        """Yield each file with the requests about its pages."""
        for ref, results in self.work.results(inputs, stop):
            yield ref, (page_request(result, self.request) for result in results)

    def close(self) -> None:
        """Stop the workers."""
        self.work.close()


def page_request(result: PageResult, request: GenerationRequest) -> PreparedRequest:
    """Make the request about one page."""
    stats = result.row
    row = AnswerRow(
        image_id=stats.image_id,
        page=stats.page,
        frames=stats.frames,
        format=stats.format,
        prompt=request.prompt,
        tokens=stats.tokens,
        kept=stats.kept,
        fitted_width=stats.fitted_width,
        fitted_height=stats.fitted_height,
        select_ms=stats.code_ms,
        **outcome_of(stats),
    )
    return PreparedRequest(row, request, result.images)


@dataclass(frozen=True, slots=True)
class FileRequests:
    """The requests of a file. One task prepares all images of a request.

    Attributes:
        options: how images are decoded and pruned.
        executor: runs the tasks; closed with the source.
        defaults: the settings that a request does not set itself.
        on_page: what is done with the pixels of each page; see `analyze_pages`.
        served_model: name of the model on the servers that answer; None for a local model.
    """

    options: AnalysisOptions
    executor: Executor
    defaults: GenerationRequest
    on_page: OnPage | None = None
    served_model: str | None = None
    _other_models: list[str] = field(default_factory=list, init=False)
    item: ClassVar = "request"

    def prestart(self, inputs: Arrivals[Any]) -> None:
        """Start no more workers than there are requests."""
        ordered.prestart(self.executor, inputs)

    def requests(
        self, inputs: Arrivals[Any], stop: Stop
    ) -> Iterator[tuple[Input, Iterator[PreparedRequest]]]:
        """Yield each request of the file."""
        return OrderedTasks(self.executor, self._plan, stop).run(inputs)

    def _plan(self, request: Request) -> SingleCall[Request, PreparedRequest]:
        self._compare_model(request)
        call = Call(prepare_images, (request, self.options, self.on_page))
        return SingleCall(request, call, self._prepared, _with_states)

    def _compare_model(self, request: Request) -> None:
        """Say at the first request for another model that the served one answers it."""
        asked, served = request.model, self.served_model
        if served is None or asked in (None, served) or self._other_models:
            return
        self._other_models.append(asked)
        logger.warning(
            "%s asks for the model %s; the model of the server, %s, answers all requests",
            bounded(request.custom_id, 80),
            bounded(asked, 80),
            served,
        )

    def _prepared(
        self, request: Request, images: PreparedImages | ImageError
    ) -> list[PreparedRequest]:
        row = request_row(request)
        try:
            if request.fault is not None:
                raise ImageError(ErrorCode.BAD_REQUEST, request.fault)
            settings = self._settings_of(request)
            if isinstance(images, ImageError):
                raise images
            if request.messages is not None:
                messages = expand_pages(request.messages, images.counts)
                settings = replace(settings, messages=with_system(messages, settings.system))
        except UsageError as error:
            refused = ImageError(ErrorCode.BAD_REQUEST, str(error))
            return [PreparedRequest(as_error_row(row, refused))]
        except ImageError as error:
            return [PreparedRequest(as_error_row(row, error))]
        return [PreparedRequest(_with_images(row, images), settings, images.images)]

    def _settings_of(self, request: Request) -> GenerationRequest:
        return replace(
            self.defaults,
            prompt=request.prompt or "",
            has_own_seed="seed" in request.settings,
            server_fields=self._server_fields_of(request),
            **request.settings,
        )

    def _server_fields_of(self, request: Request) -> dict[str, Any]:
        chosen = {} if self.served_model is None else chosen_extensions(request.settings)
        return self.defaults.server_fields | chosen | request.server_fields

    def close(self) -> None:
        """Stop the workers."""
        self.executor.close()


def request_row(request: Request) -> AnswerRow:
    """Return the columns that are known of a request before it is prepared."""
    return AnswerRow(
        image_id=request.image_ids,
        page=request.page,
        custom_id=request.custom_id,
        prompt=request.prompt,
    )


def _with_states(request: Request, images: PreparedImages) -> Request:
    return request.with_states(images.states)


def _with_images(row: AnswerRow, prepared: PreparedImages) -> AnswerRow:
    row = replace(
        row,
        tokens=prepared.tokens,
        kept=prepared.kept,
        select_ms=prepared.select_ms,
        warning="; ".join(prepared.warnings) or None,
    )
    if len(prepared.images) == 1:
        row.fitted_width, row.fitted_height = prepared.fitted_size
    return row
