"""The loop that keeps inputs in order, with plain functions for tasks."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcli.engine.arrivals import Arrivals
from ppcli.engine.executors.executor import Task
from ppcli.engine.executors.serial import SerialExecutor
from ppcli.engine.ordered import Call, OrderedTasks, Outcome, SingleCall, prestart
from ppcli.errors import ErrorCode, ImageError
from ppcli.files import InputFile


@dataclass
class Number:
    """An input that stands for a number of rows."""

    image_id: str
    rows: int = 1

    @property
    def far_files(self) -> tuple[InputFile, ...]:
        return ()

    def fingerprint(self, failed: bool, with_path: bool = False) -> bytes:
        return self.image_id.encode()

    def difference(self, row: object, failed: bool) -> str | None:
        return None


@dataclass
class Lossy:
    """An executor that works at once, and loses the calls with some numbers.

    Attributes:
        losses: how often the call with each number is still lost.
        capacity: as an executor has it.
        prestarted: the arguments of `prestart`.
        submitted: the arguments of all calls.
    """

    losses: dict[object, int] = field(default_factory=dict)
    code: ErrorCode = ErrorCode.WORKER_DIED
    capacity: int = 4
    prestarted: list[int] = field(default_factory=list)
    submitted: list[tuple[object, ...]] = field(default_factory=list)

    def prestart(self, tasks: int) -> None:
        self.prestarted.append(tasks)

    def submit(self, function: Callable[..., object], *args: object) -> Task:
        self.submitted.append(args)
        if self.losses.get(args, 0):
            self.losses[args] -= 1
            return SerialExecutor().submit(self._lose)
        return SerialExecutor().submit(function, *args)

    def _lose(self) -> None:
        raise ImageError(self.code, "lost")

    def close(self) -> None:
        pass


class Countdown:
    """Plans one call a row, known only after the first one; a lost call is a row of its own."""

    def __init__(self, ref: Number, ends_after: int | None = None) -> None:
        self.ref = ref
        self._planned, self._known = 0, 1
        self._ends_after = ends_after

    def next_call(self) -> Call | None:
        if self._planned == self._known:
            return None
        self._planned += 1
        return Call(row_of, (self.ref.image_id, self._planned))

    def completed(self, call: Call, result: str) -> Outcome[str]:
        self._known = self.ref.rows
        return Outcome([result], is_last=call.args[1] == self._ends_after)

    def failed(self, call: Call, error: ImageError) -> Outcome[str]:
        self._known = self.ref.rows
        return Outcome([f"{call.args[0]}#{call.args[1]} {error.code}"])


def row_of(name: str, row: int) -> str:
    return f"{name}#{row}"


def rows_of(tasks: OrderedTasks, refs: list[Number]) -> list[tuple[str, list[str]]]:
    with Arrivals(iter(refs)) as inputs:
        return [(ref.image_id, list(rows)) for ref, rows in tasks.run(inputs)]


@given(counts=st.lists(st.integers(1, 9), max_size=6), capacity=st.integers(1, 5))
def test_rows_come_in_order(counts: list[int], capacity: int) -> None:
    refs = [Number(str(n), count) for n, count in enumerate(counts)]
    found = rows_of(OrderedTasks(Lossy(capacity=capacity), Countdown), refs)
    assert found == [
        (ref.image_id, [f"{ref.image_id}#{row}" for row in range(1, ref.rows + 1)]) for ref in refs
    ]


def test_planned_calls_are_dropped_after_the_last_row() -> None:
    executor = Lossy(capacity=3)
    tasks = OrderedTasks(executor, lambda ref: Countdown(ref, ends_after=2))
    found = rows_of(tasks, [Number("a", 9), Number("b", 9)])
    assert found == [("a", ["a#1", "a#2"]), ("b", ["b#1", "b#2"])]
    assert tasks._submitted == 0


class Twos:
    """A plan whose one call stands for two rows, tried one by one where it is lost."""

    def __init__(self, ref: Number) -> None:
        self.ref = ref
        self._calls = [Call(row_of, (ref.image_id, 0))]

    def next_call(self) -> Call | None:
        return self._calls.pop() if self._calls else None

    def completed(self, call: Call, result: str) -> Outcome[str]:
        return Outcome([result])

    def failed(self, call: Call, error: ImageError) -> Outcome[str]:
        if call.args[1] == 0:
            return Outcome(repeat=[Call(row_of, (self.ref.image_id, row)) for row in (1, 2)])
        return Outcome([error.message])


def test_a_lost_call_is_replaced_in_its_place() -> None:
    executor = Lossy({("b", 0): 1, ("b", 2): 1})
    found = rows_of(OrderedTasks(executor, Twos), [Number("a"), Number("b"), Number("c")])
    assert found == [("a", ["a#0"]), ("b", ["b#1", "lost"]), ("c", ["c#0"])]


@pytest.mark.parametrize(
    ("code", "losses", "last"),
    [
        (ErrorCode.WORKER_DIED, 1, "a#2"),
        (ErrorCode.WORKER_DIED, 2, "a#2 worker_died"),
        (ErrorCode.TIMEOUT, 1, "a#2 timeout"),
    ],
)
def test_a_worker_lost_after_a_stop_has_one_more_try(code, losses: int, last: str) -> None:
    """The signal may have ended it too."""
    stopped = False
    executor = Lossy({("a", 2): losses}, code)
    tasks = OrderedTasks(executor, Countdown, lambda: stopped)
    with Arrivals(iter([Number("a", 2), Number("b")])) as inputs:
        for _, rows in tasks.run(inputs):
            found = [next(rows)]
            stopped = True
            found += rows
    assert found == ["a#1", last]
    assert executor.submitted.count(("a", 2)) == 1 + (code is ErrorCode.WORKER_DIED)


def test_before_a_stop_a_lost_worker_is_left_to_the_executor() -> None:
    executor = Lossy({("a", 2): 1})
    assert rows_of(OrderedTasks(executor, Countdown), [Number("a", 2)]) == [
        ("a", ["a#1", "a#2 worker_died"])
    ]


def test_an_input_with_one_call() -> None:
    def plan(ref: Number) -> SingleCall[Number, object]:
        return SingleCall(
            ref, Call(row_of, (ref.image_id, 7)), lambda ref, found: [ref.rows, found]
        )

    found = rows_of(OrderedTasks(Lossy({("b", 7): 1}), plan), [Number("a"), Number("b", 3)])
    assert found[0] == ("a", [1, "a#7"])
    name, (rows, error) = found[1]
    assert (name, rows, error.code) == ("b", 3, ErrorCode.WORKER_DIED)


@pytest.mark.parametrize(
    ("inputs", "needs_several", "started"),
    [(2, False, [2]), (2, True, [4]), (4, False, []), (9, False, [])],
)
def test_few_inputs_start_few_workers(inputs: int, needs_several: bool, started) -> None:
    executor = Lossy()
    with Arrivals(iter([Number(str(n)) for n in range(inputs)])) as arrivals:
        prestart(executor, arrivals, lambda _: needs_several)
        assert executor.prestarted == started
        assert len(list(arrivals)) == inputs
