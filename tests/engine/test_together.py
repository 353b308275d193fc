"""Several calls in one task: all results once and in order, whatever happens to the task."""

import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcli.engine import ordered, together
from ppcli.engine.arrivals import Arrivals
from ppcli.engine.executors.executor import USUAL, Task, TaskLimits
from ppcli.engine.executors.processes import ProcessExecutor
from ppcli.engine.executors.serial import SerialExecutor
from ppcli.engine.ordered import Call, OrderedTasks, SingleCall
from ppcli.engine.together import AboutFiles, Together, run_together
from ppcli.errors import ErrorCode, ImageError
from ppcli.files import FileState, OpenFile
from ppcli.inputs.ahead import taken


@dataclass(frozen=True)
class FarBytes:
    """A file whose reading takes a moment."""

    name: str
    seconds: float = 0.0
    local_path: None = None
    is_far: ClassVar[bool] = True

    def start(self) -> "Future[str]":
        reading: Future[str] = Future()
        reading.set_result(self.name)
        return reading

    def open(self) -> OpenFile:
        raise AssertionError("nothing opens it")

    def state(self) -> FileState | None:
        return None


@dataclass(frozen=True)
class FarInput:
    """An input with a far file."""

    image_id: str

    @property
    def far_files(self) -> tuple[FarBytes, ...]:
        return (FarBytes(self.image_id),)

    def fingerprint(self, failed: bool, with_path: bool = False) -> bytes:
        return self.image_id.encode()

    def difference(self, row: object, failed: bool) -> str | None:
        return None


def work(name: str) -> str:
    """Do what a name says, and say whether the file was read ahead."""
    if name.startswith("die"):
        os._exit(3)
    if name.startswith("hang"):
        time.sleep(60)
    if name.startswith("fail"):
        raise ImageError(ErrorCode.CORRUPT, name)
    if name.startswith("long"):
        time.sleep(0.05)
    reading = taken(FarBytes(name))
    return name if reading is None else reading.result() + "!"


def _rows(ref: FarInput, result: Any) -> list[str]:
    return [f"{ref.image_id} {result.code}" if isinstance(result, ImageError) else result]


def run(executor: Any, names: list[str]) -> list[str]:
    """Return the rows of inputs with these names."""

    def plan(ref: FarInput) -> SingleCall[FarInput, str]:
        return SingleCall(ref, Call(work, (ref.image_id,)), _rows)

    refs = [FarInput(name) for name in names]
    with Arrivals(iter(refs)) as arrivals:
        found = OrderedTasks(executor, plan).run(arrivals)
        return [row for _, rows in found for row in rows]


class Counting(SerialExecutor):
    """Remembers how many calls each task had."""

    def __init__(self, capacity: int = 4) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.number = capacity

    @property
    def capacity(self) -> int:
        return self.number

    def submit(self, function: Callable[..., Any], *args: Any, limits: TaskLimits = USUAL) -> Task:
        self.sizes.append(len(args[0]) if function is run_together else 0)
        return super().submit(function, *args, limits=limits)


@given(st.lists(st.sampled_from(["a", "b", "fail"]), max_size=60), st.integers(1, 5))
def test_every_input_has_its_row_in_order(names: list[str], capacity: int) -> None:
    numbered = [f"{name}{number}" for number, name in enumerate(names)]
    expected = [f"{one} corrupt" if one.startswith("fail") else f"{one}!" for one in numbered]
    assert run(Counting(capacity), numbered) == expected


def test_tasks_grow_while_they_are_quick() -> None:
    executor = Counting()
    names = [f"a{number}" for number in range(300)]
    assert run(executor, names) == [f"{name}!" for name in names]
    assert sum(executor.sizes) == 300
    assert max(executor.sizes) > 2 * executor.sizes[0]


def test_what_a_long_task_leaves_is_submitted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "_WORK_SECONDS", 0.1)
    monkeypatch.setattr(together, "_MOST_WORK_SECONDS", 0.2)
    executor = Counting()
    names = [f"long{number}" for number in range(20)]
    assert run(executor, names) == [f"{name}!" for name in names]
    assert len(executor.sizes) > 3


def test_what_was_read_is_used_after_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise its bytes would travel twice."""
    monkeypatch.setattr(together, "_WORK_SECONDS", 0.04)
    monkeypatch.setattr(together, "_MOST_WORK_SECONDS", 100.0)
    names = [f"long{number}" for number in range(40)]
    results = run_together([AboutFiles(work, (name,), (FarBytes(name),)) for name in names])
    assert 16 <= len(results.values) < 40
    assert results.values == [f"{name}!" for name in names[: len(results.values)]]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, attempts in (
        (together, "ALL_AT_ONCE", 1),
        (together, "FAR", 2),
        (ordered, "FAR", 2),
    ):
        monkeypatch.setattr(module, name, TaskLimits(0.5, attempts))


@pytest.mark.parametrize(("bad", "code"), [("die", "worker_died"), ("hang", "timeout")])
def test_one_bad_image_costs_one_row(bad: str, code: str, impatient: None) -> None:
    names = ["a", "b", bad, "c", "fail", "d"]
    executor = ProcessExecutor(2, timeout=1.0)
    try:
        rows = run(executor, names)
    finally:
        executor.close()
    assert [row.rstrip("!") for row in rows] == [
        "a",
        "b",
        f"{bad} {code}",
        "c",
        "fail corrupt",
        "d",
    ]


def test_results_can_be_awaited_in_any_order() -> None:
    one = Together(Counting())
    tasks = [one.add(AboutFiles(work, (f"{n}",), (FarBytes(f"{n}"),))) for n in range(20)]
    assert [task.result() for task in reversed(tasks)] == [f"{n}!" for n in reversed(range(20))]
