"""The job of `infer`: requests into the batch as slots become free, answers in input order."""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ppcli.engine.arrivals import Arrivals
from ppcli.engine.stopping import StopRequest
from ppcli.engine.summary import Summary
from ppcli.errors import ImageError, as_image_error
from ppcli.inputs.refs import Input
from ppcli.jobs.prepare import PreparedRequest, RequestSource
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.store.rows import (
    OK,
    AnswerRow,
    MainRow,
    PatchRow,
    as_error_row,
    with_error_subject,
)

PHASES = ("select_ms", "vision_ms", "prefill_ms", "decode_ms", "request_ms")
_POLL_SECONDS = 0.1
_MOST_PENDING = 4_096


class RequestBatch(Protocol):
    """Requests that are answered at the same time."""

    @property
    def active(self) -> int:
        """How many requests have no answer yet."""

    @property
    def full(self) -> bool:
        """Whether no further request may be started."""

    def can_start(self, request: Any) -> bool:  # noqa: ANN401
        """Return whether a request may be started now."""

    def start(self, key: Any, request: Any) -> None:  # noqa: ANN401
        """Start a request. Its key comes back with the answer."""

    def step(self) -> list[tuple[Any, Any]]:
        """Work for a moment, and return the answers that are complete, with their keys."""


class Answering(Protocol):
    """What turns prepared requests into answer rows: a loaded model, or servers.

    Attributes:
        batch: takes the requests that `start` returns, by their attribute `batch_request`.
    """

    @property
    def batch(self) -> RequestBatch:
        """The requests under way."""

    def start(
        self,
        row: AnswerRow,
        request: GenerationRequest,
        images: Sequence[Any],
        on_text: Callable[[str], None] | None = None,
    ) -> Any:  # noqa: ANN401
        """Prepare a request for the batch.

        Raises:
            ImageError: the request cannot be answered.
        """

    def finish(self, active: Any, generated: Any) -> AnswerRow:  # noqa: ANN401
        """Return the row of a request that the batch has finished."""


@dataclass(slots=True)
class InferSummary(Summary):
    """The totals of `infer`.

    Attributes:
        prompt_tokens: tokens fed, those of images included.
        answer_tokens: tokens generated.
        waited_ms: milliseconds in which the model had nothing to do but wait for images.
        phases: milliseconds of each phase, by the name of the column.
    """

    prompt_tokens: int = 0
    answer_tokens: int = 0
    waited_ms: float = 0.0
    phases: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))

    def add(self, row: MainRow, patches: PatchRow | None = None, earlier: bool = False) -> None:
        """Count one answer."""
        Summary.add(self, row, patches, earlier)
        assert isinstance(row, AnswerRow)
        if row.status == OK and not earlier:
            self.prompt_tokens += row.prompt_tokens or 0
            self.answer_tokens += row.answer_tokens or 0
            for name in PHASES:
                self.phases[name] += getattr(row, name) or 0.0


@dataclass(frozen=True, slots=True)
class AnswerResult:
    """A row of answers; there is no patch set."""

    row: AnswerRow
    patches: None = None


@dataclass(frozen=True, slots=True)
class InferWork:
    """Answers requests, several at once.

    Attributes:
        source: prepares the requests.
        load_model: called once, before the first request.
        summary: of the run; the time that the model waits is added to it.
        on_text: receives each piece of an answer as it is generated.
        stops_within_inputs: whether a stop drops an input of which some answers are missing;
            otherwise it waits for them. Then no answer about an input appears before all have
            come.
    """

    source: RequestSource
    load_model: Callable[[], Answering]
    summary: InferSummary
    on_text: Callable[[str], None] | None = None
    stops_within_inputs: bool = False
    _model: list[Answering] = field(default_factory=list, init=False)

    @property
    def item(self) -> str:
        """What an input is called, in the singular."""
        return self.source.item

    def prestart(self, inputs: Arrivals[Any]) -> None:
        """Start workers before the first input is read."""
        self.source.prestart(inputs)

    def results(
        self, inputs: Arrivals[Any], stop: StopRequest
    ) -> Generator[tuple[Input, Iterator[AnswerResult]], None, None]:
        """Yield each input with its answers, in order.

        A stop drops unfinished answers, except those of an input that has been yielded.
        """
        closed = threading.Event()
        prepared = self.source.requests(inputs, lambda: stop() or closed.is_set())
        with Arrivals(_flat(prepared)) as arrivals:
            try:
                if arrivals.peek(1):
                    self._model[:] = self._model or [self.load_model()]
                    answers = _OrderedAnswers(self._model[0], arrivals, self.summary, self.on_text)
                    while (first := answers.next_answered(stop)) is not None:
                        if not self.stops_within_inputs:
                            yield first.ref, _answers_of_input(first, answers, _never)
                            continue
                        complete = list(_answers_of_input(first, answers, stop))
                        if stop():
                            return
                        yield first.ref, iter(complete)
            finally:
                closed.set()
                arrivals.close(wait=True)

    def close(self) -> None:
        """Stop the workers."""
        self.source.close()


_Arrival = tuple[Input, bool, PreparedRequest]  # an input, whether it is its last request, and that


def _flat(prepared: Iterator[tuple[Input, Iterator[PreparedRequest]]]) -> Iterator[_Arrival]:
    for ref, requests in prepared:
        previous = next(requests)
        for request in requests:
            yield ref, False, previous
            previous = request
        yield ref, True, previous


@dataclass(slots=True, eq=False)
class _Pending:
    """A request between its arrival and its answer.

    Attributes:
        ref: its input.
        is_last: whether it is the last request of its input.
        active: as `Answering.start` returned it, until there is a row.
        row: the answer; None until there is one.
    """

    ref: Input
    is_last: bool
    active: Any = None
    row: AnswerRow | None = None


def _never() -> bool:
    return False


def _answers_of_input(
    first: _Pending, answers: "_OrderedAnswers", stop: Callable[[], bool]
) -> Iterator[AnswerResult]:
    pending = first
    while True:
        row = pending.row
        assert row is not None
        yield AnswerResult(with_error_subject(row, row.custom_id or row.image_id or ""))
        if pending.is_last:
            return
        following = answers.next_answered(stop)
        if following is None:  # only a stop leaves answers out
            return
        pending = following


class _OrderedAnswers:
    """Feeds requests to the batch as it takes them, and returns answers in order of arrival."""

    def __init__(
        self,
        model: Answering,
        arrivals: Arrivals[_Arrival],
        summary: InferSummary,
        on_text: Callable[[str], None] | None,
    ) -> None:
        self._model, self._batch = model, model.batch
        self._arrivals, self._summary, self._on_text = arrivals, summary, on_text
        self._pending: deque[_Pending] = deque()
        self._held: _Pending | None = None  # ready, but the batch does not take it yet
        self._has_ended = False
        self._error: Exception | None = None  # of the arrivals

    def next_answered(self, stop: Callable[[], bool]) -> _Pending | None:
        """Work until the first pending request is answered; return None at the end or a stop.

        An error of the arrivals is raised after all answers to requests that came before it.
        """
        while not stop():
            if self._first_is_answered():
                return self._pending.popleft()
            self._fill_batch()
            if self._batch.active:
                for pending, generated in self._batch.step():
                    self._finish(pending, generated)
            elif self._has_ended and not self._pending:
                if self._error is not None:
                    raise self._error
                return None
        return None

    def _first_is_answered(self) -> bool:
        return bool(self._pending) and self._pending[0].row is not None

    def _has_room(self) -> bool:
        """Whether not too many answers wait for the one that comes first."""
        return len(self._pending) < _MOST_PENDING

    def _fill_batch(self) -> None:
        """Start requests while the batch takes them; wait for one only if the batch is idle."""
        while not self._first_is_answered() and not self._batch.full and self._has_room():
            if self._held is None and not self._accept():
                return
            pending = self._held
            if pending is None:
                continue
            assert pending.active is not None
            if not self._batch.can_start(pending.active.batch_request):
                return
            self._held = None
            try:
                self._batch.start(pending, pending.active.batch_request)
            except ImageError as error:
                self._finish(pending, error)

    def _accept(self) -> bool:
        """Accept the next request; return false if there is none yet, or no more."""
        arrival = self._next_arrival()
        if arrival is None:
            return False
        ref, is_last, prepared = arrival
        pending = _Pending(ref, is_last)
        self._pending.append(pending)
        try:
            pending.active = self._activate(prepared)
        except Exception as error:  # one request never stops the others
            pending.row = as_error_row(prepared.row, as_image_error(error))
        if pending.active is None:
            pending.row = pending.row or prepared.row
        else:
            self._held = pending
        return True

    def _next_arrival(self) -> _Arrival | None:
        started = time.perf_counter()
        is_ready = self._arrivals.wait(0 if self._batch.active else _POLL_SECONDS)
        if not self._batch.active:
            self._summary.waited_ms += (time.perf_counter() - started) * 1000
        if not is_ready:
            self._has_ended = False
            return None
        try:
            arrival = next(self._arrivals, None)
        except Exception as error:
            arrival, self._error = None, error
        self._has_ended = arrival is None
        return arrival

    def _activate(self, prepared: PreparedRequest) -> Any:  # noqa: ANN401
        """Return None if the request has failed already."""
        if prepared.request is None or prepared.row.status != OK:
            return None
        return self._model.start(prepared.row, prepared.request, prepared.images, self._on_text)

    def _finish(self, pending: _Pending, generated: Any) -> None:  # noqa: ANN401
        assert pending.active is not None
        pending.row = self._model.finish(pending.active, generated)
        pending.active = None
