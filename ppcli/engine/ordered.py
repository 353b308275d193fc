"""Many inputs under way in an executor, their rows in the order of the inputs."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Generic, Protocol, TypeVar

from ppcli.engine.arrivals import Arrivals, Incoming
from ppcli.engine.executors.executor import Executor, Task
from ppcli.engine.stopping import Stop
from ppcli.engine.together import FAR, AboutFiles, Together, is_used_up
from ppcli.errors import ErrorCode, ImageError
from ppcli.files import InputFile
from ppcli.inputs.refs import Input, ends_sequence

_POLL_SECONDS = 0.1
_COUNT_SECONDS = 0.2
_JOIN_SECONDS = 0.02  # that calls wait for others to be submitted with them

_In = TypeVar("_In", bound=Input)
_In_co = TypeVar("_In_co", bound=Input, covariant=True)
_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Call:
    """A call that an executor can run as a task; function and arguments are picklable."""

    function: Callable[..., Any]
    args: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome(Generic[_Row]):
    """What one finished task of an input adds.

    Attributes:
        rows: the next rows of the input.
        repeat: calls to run next, before those that are already planned.
        is_last: whether the input has no more rows; calls that are already planned are dropped.
    """

    rows: Iterable[_Row] = ()
    repeat: Sequence[Call] = ()
    is_last: bool = False


class InputPlan(Protocol[_In_co, _Row]):
    """The tasks of one input, in the order of their rows, and how results become rows.

    The results of earlier tasks may decide how many tasks there are: the first page of a file
    shows how many pages follow.
    """

    @property
    def ref(self) -> _In_co:
        """The input; once there is a row, with the state of its files when they were opened."""

    def next_call(self) -> Call | None:
        """Plan one more call; return None if there is none, or earlier results must come first."""

    def completed(self, call: Call, result: Any) -> Outcome[_Row]:  # noqa: ANN401
        """Turn the result of a call into rows."""

    def failed(self, call: Call, error: ImageError) -> Outcome[_Row]:
        """Turn the error of a call into rows, or into smaller calls to try instead."""


class SingleCall(Generic[_In, _Row]):
    """A plan with one call.

    Args of the constructor:
        ref: the input.
        call: produces its rows.
        to_rows: makes rows of the result, or of the error that takes its place.
        to_opened: adds to the input the state of its files, which the result has.
    """

    def __init__(
        self,
        ref: _In,
        call: Call,
        to_rows: Callable[[_In, Any], Iterable[_Row]],
        to_opened: Callable[[_In, Any], _In] = lambda ref, _: ref,
    ) -> None:
        self.ref = ref
        self._call: Call | None = call
        self._to_rows = to_rows
        self._to_opened = to_opened

    def next_call(self) -> Call | None:
        """Return the call, once."""
        call, self._call = self._call, None
        return call

    def completed(self, call: Call, result: Any) -> Outcome[_Row]:  # noqa: ANN401
        """Turn the result into rows."""
        self.ref = self._to_opened(self.ref, result)
        return Outcome(self._to_rows(self.ref, result))

    def failed(self, call: Call, error: ImageError) -> Outcome[_Row]:
        """Turn the error into rows."""
        return Outcome(self._to_rows(self.ref, error))


def prestart(
    executor: Executor,
    inputs: Arrivals[_In],
    needs_several: Callable[[_In], bool] = lambda _: False,
) -> None:
    """Start workers ahead of the first task, if few inputs need fewer workers than usual.

    Args:
        executor: starts the workers.
        inputs: the next ones are looked at, not consumed.
        needs_several: whether an input may need more than one task.
    """
    capacity = executor.capacity
    if not inputs.wait(_COUNT_SECONDS, capacity):
        return  # a slow list may be of any length
    first = inputs.peek(capacity)
    if len(first) < capacity:
        executor.prestart(capacity if any(map(needs_several, first)) else len(first))


@dataclass(slots=True)
class _Planned:
    """A call of an input, and its task once there is room for it."""

    call: Call
    task: Task | None = None
    is_retry: bool = False


@dataclass(slots=True)
class _Active(Generic[_In, _Row]):
    """An input that is under way, and its unfinished calls in the order of their rows."""

    plan: InputPlan[_In, _Row]
    far_files: tuple[InputFile, ...] = ()
    calls: deque[_Planned] = field(default_factory=deque)
    is_begun: bool = False


class OrderedTasks(Generic[_In, _Row]):
    """Runs the tasks of many inputs at a time and returns rows in input order.

    No task is submitted while the capacity of the executor is used up by unfinished tasks and by
    results that wait for their turn. Only the input whose rows are due always has one task. The
    first calls of several inputs with files on other machines are one task; see `Together`.

    Args of the constructor:
        executor: runs the tasks.
        plan: makes the plan of an input when its first task is submitted.
        stop: checked between inputs; once it returns true, no further input is returned, unless it
            belongs to the sequence of the last one.
        together: collects first calls; None for one that collects those about far files.
    """

    def __init__(
        self,
        executor: Executor,
        plan: Callable[[_In], InputPlan[_In, _Row]],
        stop: Stop = lambda: False,
        together: Together | None = None,
    ) -> None:
        self._executor = executor
        self._plan = plan
        self._stop = stop
        self._is_within_sequence = False
        self._active: deque[_Active[_In, _Row]] = deque()
        self._submitted = 0  # tasks whose results are not used yet
        self._together = together or Together(executor)

    def run(self, inputs: Incoming[_In]) -> Generator[tuple[_In, Iterator[_Row]], None, None]:
        """Yield each input with its rows, in order.

        The rows of an input must be consumed before the next input is requested. After a stop the
        rows of the current input can still be consumed to their end.
        """
        while not self._is_stopped:
            if self._may_begin and inputs.wait(self._seconds_to_wait):
                ref = next(inputs, None)
                if ref is not None:
                    self._begin(ref)
                    continue
                if not self._active:
                    return
                self._together.flush(at_end=True)
            self._together.flush()
            if self._active and self._first_is_ready() and not self._is_stopped:
                first = self._active[0]
                self._is_within_sequence = not ends_sequence(first.plan.ref)
                rows = self._rows(first)
                row = list(islice(rows, 1))  # its task opened the file: now the state is known
                yield first.plan.ref, chain(row, rows)
                self._active.popleft()

    @property
    def _is_stopped(self) -> bool:
        return self._stop() and not self._is_within_sequence

    @property
    def _has_room(self) -> bool:
        return self._submitted < self._executor.capacity

    @property
    def _may_begin(self) -> bool:
        return self._has_room or self._together.is_open

    @property
    def _seconds_to_wait(self) -> float:
        """How long to wait for the next input."""
        if self._together.is_open:
            return _JOIN_SECONDS
        return 0 if self._active else _POLL_SECONDS

    def _begin(self, ref: _In) -> None:
        active = _Active(self._plan(ref), ref.far_files)
        self._active.append(active)
        self._submit_ahead(active)

    def _first_is_ready(self) -> bool:
        """Wait briefly for the first task of the first input."""
        calls = self._active[0].calls
        return not calls or calls[0].task is None or calls[0].task.wait(_POLL_SECONDS)

    def _rows(self, active: _Active[_In, _Row]) -> Iterator[_Row]:
        while True:
            self._submit_ahead(active)
            if not active.calls:
                return
            outcome = self._outcome(active, active.calls.popleft())
            active.calls.extendleft(_Planned(call) for call in reversed(outcome.repeat))
            yield from outcome.rows
            if outcome.is_last:
                break
        self._submitted -= sum(planned.task is not None for planned in active.calls)
        active.calls.clear()

    def _submit_ahead(self, active: _Active[_In, _Row]) -> None:
        """Submit the next call of an input, and more of its calls while there is room."""
        for planned in active.calls:
            if planned.task is None and (self._has_room or planned is active.calls[0]):
                self._submit(active, planned)
        while self._has_room or not active.calls:
            call = active.plan.next_call()
            if call is None:
                return
            active.calls.append(_Planned(call))
            self._submit(active, active.calls[-1])

    def _submit(self, active: _Active[_In, _Row], planned: _Planned) -> None:
        call, files = planned.call, active.far_files
        if not active.is_begun and self._together.takes(files):
            self._submitted += not self._together.is_open
            is_last = ends_sequence(active.plan.ref)
            planned.task = self._together.add(AboutFiles(call.function, call.args, files), is_last)
        elif files:
            planned.task = self._executor.submit(call.function, *call.args, limits=FAR)
            self._submitted += 1
        else:
            planned.task = self._executor.submit(call.function, *call.args)
            self._submitted += 1
        active.is_begun = True

    def _outcome(self, active: _Active[_In, _Row], planned: _Planned) -> Outcome[_Row]:
        """Wait for a task, which was submitted, and pass its result to the plan."""
        task = planned.task
        assert task is not None
        while not task.wait(_POLL_SECONDS):
            pass
        self._submitted -= is_used_up(task)
        try:
            result = task.result()
        except ImageError as error:
            died = error.code is ErrorCode.WORKER_DIED
            if died and self._stop() and not planned.is_retry:
                # the signal that stops the run may have ended the workers too
                active.calls.appendleft(_Planned(planned.call, is_retry=True))
                return Outcome()
            return active.plan.failed(planned.call, error)
        return active.plan.completed(planned.call, result)
