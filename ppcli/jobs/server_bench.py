"""The job of `bench --server`: ask a server about the same pages, full and pruned in turn."""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle, islice

from ppcli.engine.run import no_inputs_error
from ppcli.errors import ImageError
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.analysis_options import AnalysisOptions, load_kernels
from ppcli.jobs.bench_measures import Failure, Paired
from ppcli.jobs.selected_pages import selected_pages
from ppcli.jobs.sent_pages import send_page
from ppcli.jobs.server_bench_measures import (
    LoadMeasure,
    ServerBenchResult,
    ServerPageMeasure,
    ServerTimes,
)
from ppcli.models.remote.chat_answers import Completion
from ppcli.models.remote.chat_body import chat_body, pruning_fields
from ppcli.models.remote.count_check import CountCheck
from ppcli.models.remote.sent_image import SentImage
from ppcli.models.remote.server_connection import ServerConnection
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.store.rows import error_of

_SETTLE_SECONDS = 60.0  # for the number of requests at once, on each side
_TURNS = 4  # requests of a run, over those at once: the ends of a run weigh little
_ENDS = ("<|im_end|>", "<|endoftext|>")
_OF_ALL_ANSWERS = {
    "stream": True,
    "stream_options": {"include_usage": True},
    "ignore_eos": True,  # all answers have the same length
    "skip_special_tokens": False,  # which shows where they would have ended
}


@dataclass(frozen=True, slots=True, eq=False)
class ServerPage:
    """One page for both runs.

    Attributes:
        image_id: of the page.
        tiles: tokens of the image.
        images: what the server gets.
    """

    image_id: str
    tiles: Paired[int]
    images: Paired[SentImage]


def server_pages(
    refs: Iterable[ImageRef], options: AnalysisOptions
) -> tuple[list[ServerPage], list[Failure]]:
    """Decode all pages of images in this process, and count their tokens.

    Args:
        refs: the images.
        options: how they are pruned.

    Returns:
        The pages, and those that failed.

    Raises:
        NothingToDoError: if there is no image.
    """
    load_kernels(options)
    pages, failures = [], []
    for ref in refs:
        for page in selected_pages(ref, options, partial(send_page, prune=True)):
            row = page.row
            if (error := error_of(row)) is not None:
                failures.append(Failure(row.image_id, error))
                continue
            [image] = page.images
            assert isinstance(image, SentImage)
            both = Paired(replace(image, coder=None), image)
            tiles = Paired(row.tokens or 0, row.kept or 0)
            pages.append(ServerPage(row.image_id, tiles, both))
    if not pages and not failures:
        raise no_inputs_error("image", 0)
    return pages, failures


@dataclass(frozen=True, slots=True)
class _Round:
    """Some answered requests.

    Attributes:
        seconds: from the first request to the last answer.
        answers: in the order of the requests.
    """

    seconds: float
    answers: list[Completion | ImageError]

    @property
    def error(self) -> ImageError | None:
        """The first error."""
        return next((one for one in self.answers if isinstance(one, ImageError)), None)


class ServerBench:
    """Asks servers about pages, full and pruned in turn.

    No answer comes from a cache: each request has a salt of its own for the prefix cache of vLLM,
    and each image a name of its own for the caches of processed and encoded images.

    Args of the constructor:
        connection: streams the answers.
        request: prompt and settings; every answer has the maximum number of tokens.
        repeats: measured runs.
        on_request: called after each request with the number of finished ones and of all; None
            while the latter is unknown.
    """

    def __init__(
        self,
        connection: ServerConnection,
        request: GenerationRequest,
        repeats: int,
        on_request: Callable[[int, int | None], None] = lambda done, total: None,
    ) -> None:
        self._connection, self._request, self._repeats = connection, request, repeats
        self._on_request = on_request
        self._done = 0
        self._total: int | None = None

    def measure(self, pages: Sequence[ServerPage], result: ServerBenchResult) -> None:
        """Add the measurements of some pages to a result.

        Raises:
            ServerError: no server answers any more.
        """
        failed = self._warm_up(pages)
        in_flight = max(self._connection.in_flight_limits)
        pages = [page for page in pages if page not in failed]
        result.failures += [Failure(page.image_id, error) for page, error in failed.items()]
        a_run = self._requests_of_run(pages, in_flight)
        self._total = self._done + 2 * self._repeats * (len(pages) + a_run)
        measured = [page for page in pages if self._alone(page, result)]
        check = CountCheck()
        for one in result.pages:
            check.add(one.image_id, one.prompt_tokens.full, one.tiles.full)
            check.add(one.image_id, one.prompt_tokens.pruned, one.tiles.pruned)
        if measured:
            self._together(measured, in_flight, result)

    def _requests_of_run(self, pages: Sequence[ServerPage], in_flight: int) -> int:
        """Return a number in which each page comes equally often."""
        least = _TURNS * in_flight * len(self._connection.in_flight_limits)
        return len(pages) * max(1, -(-least // len(pages))) if pages else 0

    def _warm_up(self, pages: Sequence[ServerPage]) -> dict[ServerPage, ImageError]:
        """Ask about each page at least once, until the number of requests at once is found.

        That is the larger one of both sides. Returns the pages that failed.
        """
        limits: list[int] = []
        failed: dict[ServerPage, ImageError] = {}
        for is_pruned in _SIDES:
            self._connection.limit_in_flight(None)
            self._run(self._until_settled(pages, failed), is_pruned, failed)
            limits += self._connection.in_flight_limits
        self._connection.limit_in_flight(max(limits))
        return failed

    def _until_settled(
        self, pages: Sequence[ServerPage], failed: dict[ServerPage, ImageError]
    ) -> Iterator[ServerPage]:
        end = time.monotonic() + _SETTLE_SECONDS
        for number, page in enumerate(cycle(pages)):
            if number >= len(pages) and (
                self._connection.is_settled or time.monotonic() > end or len(failed) == len(pages)
            ):
                return
            if page not in failed:
                yield page

    def _alone(self, page: ServerPage, result: ServerBenchResult) -> bool:
        """Measure one page by itself; return whether that worked."""
        rounds: list[Paired[Completion]] = []
        for number in range(self._repeats):
            answers: dict[bool, Completion] = {}
            for is_pruned in _in_turn(number):
                [answer] = self._run([page], is_pruned).answers
                if isinstance(answer, ImageError):
                    result.failures.append(Failure(page.image_id, answer))
                    return False
                answers[is_pruned] = answer
            rounds.append(Paired(answers[False], answers[True]))
        last = rounds[-1]
        sides = zip(*rounds, strict=True)
        result.pages.append(
            ServerPageMeasure(
                page.image_id,
                page.tiles,
                last.map(lambda one: one.prompt_tokens),
                last.map(lambda one: one.answer_tokens),
                Paired(*(ServerTimes.median(map(_times, side)) for side in sides)),
                last.map(_said),
            )
        )
        return True

    def _together(
        self, pages: Sequence[ServerPage], in_flight: int, result: ServerBenchResult
    ) -> None:
        """Measure as many requests at once as the servers take."""
        count = self._requests_of_run(pages, in_flight)
        known = {page: one.answers for page, one in zip(pages, result.pages, strict=True)}
        seconds: list[Paired[float]] = []
        for number in range(self._repeats):
            runs: dict[bool, _Round] = {}
            for is_pruned in _in_turn(number):
                run = self._run(islice(cycle(pages), count), is_pruned)
                if run.error is not None:
                    result.failures.append(Failure(f"{in_flight} at once", run.error))
                    return
                runs[is_pruned] = run
            both = Paired(runs[False], runs[True])
            seconds.append(both.map(lambda run: run.seconds))
        alone = [known[page] for page in islice(cycle(pages), count)]
        differing = Paired(
            _differing(both.full, [one.full for one in alone]),
            _differing(both.pruned, [one.pruned for one in alone]),
        )
        result.load = LoadMeasure(in_flight, count, seconds, differing)

    def _run(
        self,
        pages: Iterable[ServerPage],
        is_pruned: bool,
        failed: dict[ServerPage, ImageError] | None = None,
    ) -> _Round:
        """Ask about all pages, as many at once as the servers take; note those that fail."""
        started = time.perf_counter()
        connection, waiting = self._connection, iter(pages)
        done: dict[int, Completion | ImageError] = {}
        count, has_ended = 0, False
        while not has_ended or connection.active:
            while not has_ended and not connection.full:
                page = next(waiting, None)
                has_ended = page is None
                if page is not None:
                    connection.start((count, page), self._body(page, is_pruned))
                    count += 1
            for (number, page), answer in connection.step() if connection.active else ():
                done[number] = answer
                if failed is not None and isinstance(answer, ImageError):
                    failed.setdefault(page, answer)
                self._done += 1
                self._on_request(self._done, self._total)
        seconds = time.perf_counter() - started
        return _Round(seconds, [done[number] for number in range(count)])

    def _body(self, page: ServerPage, is_pruned: bool) -> bytes:
        name = uuid.uuid4().hex
        image = page.images.pruned if is_pruned else page.images.full
        fields = pruning_fields(image.coder) | _OF_ALL_ANSWERS | {"cache_salt": name}
        model = self._connection.facts.model
        return chat_body(model, self._request, [replace(image, name=name)], page.image_id, fields)


_SIDES = (False, True)


def _in_turn(number: int) -> tuple[bool, ...]:
    """Return both sides; every second time the pruned one first, so that drift cancels out."""
    return _SIDES[::-1] if number % 2 else _SIDES


def _times(answer: Completion) -> ServerTimes:
    first = answer.first_token_seconds
    return ServerTimes((answer.seconds if first is None else first) * 1000, answer.seconds * 1000)


def _differing(run: _Round, alone: Sequence[str]) -> int:
    """Count the answers that differ from the answer about the same page alone."""
    said = [_said(one) for one in run.answers if isinstance(one, Completion)]
    return sum(text != known for text, known in zip(said, alone, strict=True))


def _said(answer: Completion) -> str:
    """Return thinking and answer, cut before the first of the tokens that end answers."""
    text = (answer.thinking or "") + answer.text
    places = [place for end in _ENDS if (place := text.find(end)) >= 0]
    return text[: min(places, default=len(text))]
