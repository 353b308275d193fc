"""The work of `infer`: requests into the batch as slots come free, answers out in order."""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

from ppcli.coding.patchset import KeptTiles
from ppcli.engine.arrivals import Arrivals
from ppcli.engine.stopping import StopRequest
from ppcli.engine.summary import InferSummary
from ppcli.errors import DamagedError, ErrorCode, ImageError, as_image_error
from ppcli.inputs.refs import Input
from ppcli.jobs.prepare import Prepared, Source
from ppcli.models.serving.active_request import ActiveRequest
from ppcli.models.serving.answering_model import AnsweringModel
from ppcli.models.serving.batch import Generated
from ppcli.store.patch_codec import kept_tiles
from ppcli.store.rows import OK, AnswerRow, PatchRow, as_error_row, with_error_subject

_LOOK_UP_SECONDS = 0.1
_Item = tuple[Input, bool, Prepared]  # a request, and whether it is the last of its input


@dataclass(frozen=True, slots=True)
class AnswerResult:
    """A row of answers; it has no patch set."""

    row: AnswerRow
    patches: None = None


@dataclass(slots=True, eq=False)
class _Entry:
    """A request on its way; it has a row when it is done."""

    one: Input
    last: bool
    begun: ActiveRequest | None = None
    row: AnswerRow | None = None


@dataclass(frozen=True, slots=True)
class InferWork:
    """Asks a model, several requests at once.

    Attributes:
        source: where prepared requests come from.
        engine: loads the model; called once, before the first request.
        summary: is told how long the model waited.
        on_text: told of each piece of an answer as it comes.
    """

    source: Source
    engine: Callable[[], AnsweringModel]
    summary: InferSummary
    on_text: Callable[[str], None] | None = None
    _loaded: list[AnsweringModel] = field(default_factory=list, init=False)

    @property
    def item(self) -> str:
        """What an input is called."""
        return self.source.item

    def expect(self, inputs: Arrivals[Any]) -> None:
        """Prepare for as much work as there is."""
        self.source.expect(inputs)

    def results(
        self, inputs: Arrivals[Any], stop: StopRequest
    ) -> Generator[tuple[Input, Iterator[AnswerResult]], None, None]:
        """Each input with its answers, in order.

        A stop gives up what is in the making, unless its input has answers already.
        """
        closed = threading.Event()
        prepared = self.source.prepared(inputs, lambda: stop() or closed.is_set())
        with Arrivals(_each(prepared)) as arrivals:
            try:
                if arrivals.ahead(1):
                    self._loaded[:] = self._loaded or [self.engine()]
                    flow = _Flow(self._loaded[0], arrivals, self.summary, self.on_text)
                    while (head := flow.next_done(stop)) is not None:
                        yield head.one, _rows(head, flow)
            finally:
                closed.set()
                arrivals.close(wait=True)

    def close(self) -> None:
        """Stop the workers."""
        self.source.close()


def _each(prepared: Iterator[tuple[Input, Iterator[Prepared]]]) -> Iterator[_Item]:
    for one, requests in prepared:
        before = next(requests)
        for request in requests:
            yield one, False, before
            before = request
        yield one, True, before


def _rows(entry: _Entry, flow: "_Flow") -> Iterator[AnswerResult]:
    """The rows of an input whose first one is done; they come to their end whatever happens."""
    while True:
        assert entry.row is not None
        yield AnswerResult(_named(entry.row))
        if entry.last:
            return
        following = flow.next_done()
        assert following is not None
        entry = following


def _named(row: AnswerRow) -> AnswerRow:
    """Begin the message of an error row with the name of its request."""
    return with_error_subject(row, row.custom_id or row.image_id or "")


class _Flow:
    """Requests in order of their arrival, each begun as soon as the batch takes it."""

    def __init__(
        self,
        engine: AnsweringModel,
        arrivals: Arrivals[_Item],
        summary: InferSummary,
        on_text: Callable[[str], None] | None,
    ) -> None:
        self._engine, self._batch = engine, engine.batch
        self._arrivals, self._summary, self._on_text = arrivals, summary, on_text
        self._entries: deque[_Entry] = deque()
        self._held: _Entry | None = None  # the batch does not take it yet
        self._ended = False
        self._error: Exception | None = None  # that ended them

    def next_done(self, stop: Callable[[], bool] = lambda: False) -> _Entry | None:
        """Work until the first request is done; None at the end, and after a stop.

        What ends the arrivals with an error is raised after the answers in the making.
        """
        while not stop():
            if self._first_is_done():
                return self._entries.popleft()
            self._admit()
            if self._batch.active:
                for entry, made in self._batch.step():
                    self._finish(entry, made)
            elif self._ended and not self._entries:
                if self._error is not None:
                    raise self._error
                return None
        return None

    def _first_is_done(self) -> bool:
        return bool(self._entries) and self._entries[0].row is not None

    def _admit(self) -> None:
        """Begin what has arrived, as far as the batch takes it; wait only if it is idle."""
        while not self._first_is_done() and not self._batch.full:
            if self._held is None and not self._next_arrival():
                return
            entry = self._held
            if entry is None:
                continue
            assert entry.begun is not None
            if not self._batch.takes(entry.begun.job):
                return
            self._held = None
            try:
                self._batch.begin(entry, entry.begun.job)
            except ImageError as error:
                self._finish(entry, error)

    def _next_arrival(self) -> bool:
        """Take the next request; false when there is none yet, or none any more."""
        started = time.perf_counter()
        known = self._arrivals.known(0 if self._batch.active else _LOOK_UP_SECONDS)
        if not self._batch.active:
            self._summary.waited_ms += (time.perf_counter() - started) * 1000
        try:
            item = next(self._arrivals, None) if known else None
        except Exception as error:
            item, self._error = None, error
        if item is None:
            self._ended = known
            return False
        one, last, prepared = item
        entry = _Entry(one, last)
        self._entries.append(entry)
        try:
            entry.begun = self._begun(prepared)
        except Exception as error:  # one request never stops the others
            entry.row = as_error_row(prepared.row, as_image_error(error))
        if entry.begun is None:
            entry.row = entry.row or prepared.row
        else:
            self._held = entry
        return True

    def _begun(self, prepared: Prepared) -> ActiveRequest | None:
        """None when the request has failed already."""
        if prepared.ask is None or prepared.row.status != OK:
            return None
        images = [_kept_tiles(patches) for patches in prepared.images]
        return self._engine.start(prepared.row, prepared.ask, images, self._on_text)

    def _finish(self, entry: _Entry, made: Generated | ImageError) -> None:
        assert entry.begun is not None
        entry.row = self._engine.finish(entry.begun, made)
        entry.begun = None


def _kept_tiles(patches: PatchRow) -> KeptTiles:
    try:
        return kept_tiles(patches)
    except DamagedError as error:
        raise ImageError(ErrorCode.CORRUPT, f"its patch set is damaged: {error}") from error
