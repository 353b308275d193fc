"""Requests whose images workers decode and code ahead, while the model answers others."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, TypeVar

from ppcli.engine.arrivals import Arrivals
from ppcli.engine.executors.executor import Executor, Task
from ppcli.engine.stopping import Stop
from ppcli.errors import ErrorCode, ImageError, UsageError
from ppcli.imaging.image_choices import Frames
from ppcli.imaging.page_cache import close_kept_source
from ppcli.inputs.refs import ImageRef, Input
from ppcli.inputs.requests import Request
from ppcli.inputs.spare import on_disk, spare_folder
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.analyze import AnalyzeWork
from ppcli.jobs.pages import PageResult, analyze_pages
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.models.text.chat_prompts import with_pages, with_system
from ppcli.store.rows import AnswerRow, PatchRow, as_error_row, error_of, outcome_of

_LOOK_UP_SECONDS = 0.1
_PAGES_AT_A_TIME = 16


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request whose images are decoded and coded.

    Attributes:
        row: what is known of it; an error row when an image failed.
        ask: what is asked.
        images: in order.
    """

    row: AnswerRow
    ask: GenerationRequest | None = None
    images: list[PatchRow] = field(default_factory=list)


class Source(Protocol):
    """Where prepared requests come from."""

    @property
    def item(self) -> str:
        """What an input is called."""

    def expect(self, inputs: Arrivals[Any]) -> None:
        """Prepare for as much work as there is."""

    def prepared(
        self, inputs: Arrivals[Any], stop: Stop
    ) -> Iterator[tuple[Input, Iterator[Prepared]]]:
        """Each input with its requests, in order."""

    def close(self) -> None:
        """Leave nothing behind."""


@dataclass(frozen=True, slots=True)
class ImageSource:
    """One request for each page of each image, the same thing asked of all.

    Attributes:
        work: decodes and codes the images.
        ask: what is asked.
    """

    work: AnalyzeWork
    ask: GenerationRequest
    item: ClassVar = "image"

    def expect(self, inputs: Arrivals[Any]) -> None:
        """Start no more workers than there is work for."""
        self.work.expect(inputs)

    def prepared(
        self, inputs: Arrivals[Any], stop: Stop
    ) -> Iterator[tuple[Input, Iterator[Prepared]]]:
        """Each file with its pages."""
        for ref, results in self.work.results(inputs, stop):
            yield ref, (asked_of(result, self.ask) for result in results)

    def close(self) -> None:
        """Stop the workers."""
        self.work.close()


def asked_of(result: PageResult, ask: GenerationRequest) -> Prepared:
    """The request about one page."""
    stats = result.row
    row = AnswerRow(
        image_id=stats.image_id,
        page=stats.page,
        frames=stats.frames,
        format=stats.format,
        prompt=ask.prompt,
        tokens=stats.tokens,
        kept=stats.kept,
        fitted_width=stats.fitted_width,
        fitted_height=stats.fitted_height,
        select_ms=stats.code_ms,
        **outcome_of(stats),
    )
    return Prepared(row, ask, [result.patches] if result.patches is not None else [])


@dataclass(frozen=True, slots=True)
class RequestSource:
    """The requests of a file; each is prepared by one worker.

    Attributes:
        options: how images are coded.
        executor: where images are worked on.
        ask: what holds where a request says nothing else.
    """

    options: AnalysisOptions
    executor: Executor
    ask: GenerationRequest
    item: ClassVar = "request"

    def expect(self, inputs: Arrivals[Any]) -> None:
        """Start no more workers than there are requests."""
        expect_tasks(self.executor, inputs)

    def prepared(
        self, inputs: Arrivals[Any], stop: Stop
    ) -> Iterator[tuple[Input, Iterator[Prepared]]]:
        """Each request, its images decoded ahead of its turn."""
        for request, task in tasks_in_order(self.executor, inputs, stop, self._submitted):
            yield request, iter([self._prepared(request, task)])

    def _submitted(self, request: Request) -> tuple[Request, Task]:
        request = request.as_seen()
        folder = spare_folder() if any(image.content for image in request.images) else ""
        return request, self.executor.submit(prepare_request, request, self.options, folder)

    def _prepared(self, request: Request, task: Task) -> Prepared:
        row = AnswerRow(
            image_id=request.image_ids,
            page=request.page,
            custom_id=request.custom_id,
            prompt=request.prompt,
        )
        try:
            if request.fault is not None:
                raise ImageError(ErrorCode.BAD_REQUEST, request.fault)
            ask = replace(
                self.ask,
                prompt=request.prompt or "",
                has_own_seed="seed" in request.settings,
                **request.settings,
            )
            pages: PreparedImages = task.result()
            if request.messages is not None:
                messages = with_pages(request.messages, pages.counts)
                ask = replace(ask, messages=with_system(messages, self.ask.system))
        except UsageError as error:
            return Prepared(as_error_row(row, ImageError(ErrorCode.BAD_REQUEST, str(error))))
        except ImageError as error:
            return Prepared(as_error_row(row, error))
        row = replace(
            row,
            tokens=pages.tokens,
            kept=pages.kept,
            select_ms=pages.select_ms,
            warning="; ".join(pages.warnings) or None,
        )
        if len(pages.images) == 1:
            row.fitted_width = pages.images[0].fitted_width
            row.fitted_height = pages.images[0].fitted_height
        return Prepared(row, ask, pages.images)

    def close(self) -> None:
        """Stop the workers."""
        self.executor.close()


_One = TypeVar("_One", bound=Input)


def expect_tasks(executor: Executor, inputs: Arrivals[Any]) -> None:
    """Start no more workers than there are inputs, of which each is one task."""
    first = inputs.ahead(1)
    if inputs.known(_LOOK_UP_SECONDS, executor.capacity):
        first = inputs.ahead(executor.capacity)
        executor.prestart(len(first))


def tasks_in_order(
    executor: Executor,
    inputs: Arrivals[_One],
    stop: Stop,
    submitted: Callable[[_One], tuple[_One, Task]],
) -> Iterator[tuple[_One, Task]]:
    """Each input with its task once that is done, as many ahead as the executor holds.

    Args:
        executor: where tasks are worked on.
        inputs: one a task.
        stop: says when to stop early.
        submitted: gives an input to the executor; the input as it was then, and its task.
    """
    under_way: deque[tuple[_One, Task]] = deque()
    while not stop():
        room = len(under_way) < executor.capacity
        if room and inputs.known(0 if under_way else _LOOK_UP_SECONDS):
            one = next(inputs, None)
            if one is not None:
                under_way.append(submitted(one))
                continue
            if not under_way:
                return
        if under_way and under_way[0][1].wait(_LOOK_UP_SECONDS) and not stop():
            yield under_way.popleft()


@dataclass(slots=True)
class PreparedImages:
    """All images of one request.

    Attributes:
        images: every page that is fed, in order.
        counts: how many pages each image gave.
        tokens: tiles of all of them.
        kept: those that are fed.
        select_ms: the milliseconds that pruning took.
        warnings: of pages.
    """

    images: list[PatchRow] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    tokens: int | None = None
    kept: int | None = None
    select_ms: float = 0.0
    warnings: list[str] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        """About what it takes in memory."""
        return sum(image.nbytes for image in self.images)


def prepare_request(request: Request, options: AnalysisOptions, spare: str = "") -> PreparedImages:
    """Decode and code the images of a request, all wanted pages of each; done in a worker.

    Args:
        request: whose images they are.
        options: how they are decoded and coded.
        spare: a folder for images that are in no file.

    Raises:
        ImageError: of the first page that fails.
    """
    made = PreparedImages()
    for image in request.images:
        before = len(made.images)
        with on_disk(image, spare) as ref:
            try:
                for page in pages_of(ref, options):
                    _take(page, made)
            finally:
                if image.content is not None:  # the file goes, and nobody will want it again
                    close_kept_source()
        made.counts.append(len(made.images) - before)
    return made


def _take(page: PageResult, made: PreparedImages) -> None:
    row = page.row
    error = error_of(row)
    if error is not None:
        raise error
    assert page.patches is not None
    made.images.append(page.patches)
    made.tokens = (made.tokens or 0) + (row.tokens or 0)
    made.kept = (made.kept or 0) + (row.kept or 0)
    made.select_ms += row.code_ms or 0.0
    if row.warning is not None:
        made.warnings.append(f"{row.image_id}: {row.warning}")


def pages_of(ref: ImageRef, options: AnalysisOptions) -> Iterator[PageResult]:
    """The pages of a file that are wanted, decoded and coded in this process.

    Raises:
        ImageError: `no_such_page`.
    """
    if ref.page is not None:
        yield _one_page(ref, ref.page, options)
        return
    first, rows = 1, 1
    while first <= rows:
        result = analyze_pages(ref, options, first, _PAGES_AT_A_TIME)
        yield from result.pages
        first, rows = first + len(result.pages), result.count.rows if result.count else 0


def _one_page(ref: ImageRef, page: int, options: AnalysisOptions) -> PageResult:
    """One page or frame, whatever the options say of pages."""
    reading = replace(options.reading, frames=Frames.ALL, pages=None)
    result = analyze_pages(ref, replace(options, reading=reading), page, 1)
    if not result.pages:
        there = result.count.frames if result.count else 0
        raise ImageError(
            ErrorCode.NO_SUCH_PAGE,
            f"{ref.image_id}: page {page:,} is asked for, and it has {there:,}",
        )
    return result.pages[0]
