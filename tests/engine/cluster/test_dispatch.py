"""How tasks are given, done again, given up and ended, with a cluster that follows a script."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from ppcli.engine.cluster.cluster import Event, News, Outcome, WorkerLost
from ppcli.engine.cluster.dispatch import ATTEMPTS, Dispatch
from ppcli.engine.row_flow import RunObserver
from ppcli.engine.worker_options import WorkerOptions
from ppcli.errors import ErrorCode, ExitCode, ImageError, OutputError, ServerError, StoppedError
from ppcli.files import MissingFile
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.analysis_recipe import AnalysisRecipe
from ppcli.store.rows import StatsRow
from tests.store.small_run import OPTIONS

RECIPE = AnalysisRecipe(OPTIONS, WorkerOptions(0))
LOST = WorkerLost("the worker ended")


@dataclass(frozen=True)
class Numbered:
    """A task about ten inputs."""

    number: int
    inputs: int = 10

    @property
    def label(self) -> str:
        return f"task {self.number}"

    def run(self, context: object) -> object:
        raise AssertionError("no worker of the script works")


def done(value: object = None, inputs: int = 10) -> News:
    return News(inputs, outcome=Outcome(value))


def failed(name: str) -> StatsRow:
    ref = ImageRef(MissingFile(name, "gone"), name)
    [row] = RECIPE.failed_rows(ref, ImageError(ErrorCode.CORRUPT, f"{name}: broken"))
    return row


@dataclass
class Scripted:
    """A cluster: `answers` has what happens to each attempt at a task, by its number."""

    answers: dict[int, list[list[News | WorkerLost]]]
    workers: int = 2
    log: list[str] = field(default_factory=list)
    running: dict[int, tuple[Numbered, Iterator[News | WorkerLost]]] = field(default_factory=dict)
    stopped: ExitCode | None = None

    @property
    def size(self) -> int:
        return self.workers

    @property
    def free(self) -> int:
        return self.workers - len(self.running)

    def give(self, task_id: int, task: Numbered) -> None:
        assert self.free
        assert self.stopped is None
        attempts = self.answers.get(task.number)
        script = attempts.pop(0) if attempts else [done(task.number)]
        self.running[task_id] = (task, iter(script))
        self.log.append(task.label)

    def wait(self, seconds: float) -> list[Event]:
        events = []
        for task_id, (_, script) in list(self.running.items()):
            news = next(script)
            events.append(Event(task_id, "node", news))
            if isinstance(news, WorkerLost) or news.outcome is not None:
                del self.running[task_id]
        return events

    def stop(self, code: ExitCode) -> None:
        self.stopped = code

    def close(self) -> None:
        """Nothing has to end."""


@dataclass
class Driver:
    """Notes what a dispatch tells."""

    cluster: Scripted
    reason: Callable[[int], StoppedError | None] = lambda failed: None
    finished: list[object] = field(default_factory=list)
    given_up: list[tuple[int, ImageError]] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)

    def run(self, tasks: Iterator[Numbered | None]) -> None:
        observer = RunObserver(lambda row: self.rows.append(row.image_id), self.inputs.append)
        Dispatch(
            self.cluster,
            observer,
            lambda task, result: self.finished.append(result),
            lambda task, error: self.given_up.append((task.number, error)),
            self.reason,
        ).run(tasks)


def numbered(number: int) -> Iterator[Numbered]:
    return map(Numbered, range(number))


def test_each_task_is_given_once() -> None:
    driver = Driver(Scripted({}, workers=3))
    driver.run(numbered(10))
    assert driver.finished == list(range(10))
    assert driver.cluster.log == [f"task {number}" for number in range(10)]
    assert sum(driver.inputs) == 100


def test_tasks_are_taken_one_ahead_only() -> None:
    taken = []

    def tasks() -> Iterator[Numbered]:
        for number in range(10):
            taken.append(number)
            assert number <= len(driver.cluster.log) + 1
            yield Numbered(number)

    driver = Driver(Scripted({}, workers=2))
    driver.run(tasks())
    assert taken == list(range(10))


def test_a_lost_task_comes_before_the_others(caplog) -> None:
    """Its rows are logged once, and its inputs are counted anew."""
    rows = [failed("a"), failed("b"), failed("c")]
    again = [News(3, rows[:1]), News(5, rows[1:]), done("good", 2)]
    driver = Driver(Scripted({0: [[News(6, rows[:2]), LOST], again]}, workers=1))
    driver.run(numbered(3))
    assert driver.cluster.log == ["task 0", "task 0", "task 1", "task 2"]
    assert driver.finished == ["good", 1, 2]
    assert driver.rows == ["a", "b", "c"]
    assert driver.inputs == [6, -6, 3, 5, 2, 10, 10]
    assert caplog.messages == ["node: the worker ended; task 0 are done again"]


def test_a_task_is_given_up_after_some_attempts(caplog) -> None:
    driver = Driver(Scripted({1: [[News(4), LOST]] * ATTEMPTS}))
    driver.run(numbered(4))
    assert driver.finished == [0, 2, 3]
    [(number, error)] = driver.given_up
    assert (number, error.code) == (1, ErrorCode.WORKER_DIED)
    assert str(error) == "the worker ended (node), in 3 attempts"
    assert driver.cluster.log.count("task 1") == ATTEMPTS == 3
    assert sum(driver.inputs) == 40
    assert caplog.messages[-1] == "task 1: the worker ended (node), in 3 attempts"


def test_an_error_of_a_task_ends_the_run() -> None:
    """What others have finished is taken; nothing more is given."""
    error = OutputError("the disk is full")
    broken = [News(outcome=Outcome(error=error))]
    late = [News(), News(), done("late")]
    driver = Driver(Scripted({0: [broken], 1: [late]}))
    with pytest.raises(OutputError) as raised:
        driver.run(numbered(9))
    assert raised.value is error
    assert driver.finished == ["late"]
    assert driver.cluster.log == ["task 0", "task 1"]
    assert driver.cluster.stopped is ExitCode.OUTPUT


def test_an_error_beside_a_result_ends_the_run_after_that_is_used() -> None:
    @dataclass
    class Partly:
        error: ServerError

    part = Partly(ServerError("all servers are down"))
    driver = Driver(Scripted({0: [[done(part)]], 1: [[News(), done("late")]]}))
    with pytest.raises(ServerError) as raised:
        driver.run(numbered(9))
    assert raised.value is part.error
    assert driver.finished == [part, "late"]


def test_an_error_of_the_list_ends_the_run() -> None:
    def tasks() -> Iterator[Numbered]:
        yield Numbered(0)
        raise OutputError("other inputs")

    driver = Driver(Scripted({0: [[News(), News(), done("kept")]]}))
    with pytest.raises(OutputError, match="other inputs"):
        driver.run(tasks())
    assert driver.finished == ["kept"]


def test_a_stop_takes_what_comes_and_does_nothing_again() -> None:
    stop = StoppedError(ExitCode.INTERRUPTED, "interrupted")
    asked = iter([None, None, None])
    scripts = {0: [[News(), News(), News(), LOST]], 1: [[News(), News(), News(), done("part", 4)]]}
    driver = Driver(Scripted(scripts), lambda failed: next(asked, stop))
    with pytest.raises(StoppedError, match="interrupted"):
        driver.run(numbered(9))
    assert driver.finished == ["part"]
    assert driver.cluster.log == ["task 0", "task 1"]
    assert sum(driver.inputs) == 4


def test_failures_of_running_tasks_count() -> None:
    """They stop the run before their task ends."""
    counts = []

    def reason(failures: int) -> StoppedError | None:
        counts.append(failures)
        enough = failures >= 2
        return StoppedError(ExitCode.INPUTS_FAILED, "enough") if enough else None

    slow = [News(1, [failed("a")]), News(1, [failed("b")]), News(), done("part", 0)]
    driver = Driver(Scripted({0: [slow]}, workers=1), reason)
    with pytest.raises(StoppedError, match="enough"):
        driver.run(numbered(5))
    assert counts == [0, 1, 2]
    assert driver.cluster.log == ["task 0"]
    assert driver.finished == ["part"]


def test_a_list_that_is_not_there_yet_holds_nothing_up() -> None:
    def tasks() -> Iterator[Numbered | None]:
        yield Numbered(0)
        while not driver.finished:
            yield None
        yield Numbered(1)

    driver = Driver(Scripted({0: [[News()] * 5 + [done("first")]]}))
    driver.run(tasks())
    assert driver.finished == ["first", 1]


def test_messages_of_workers_are_logged_with_their_node(caplog) -> None:
    caplog.set_level(logging.INFO, "pixelprune")
    said = News(messages=[(logging.INFO, "loading a model"), (logging.WARNING, "slow disk")])
    Driver(Scripted({0: [[said, done()]]})).run(numbered(1))
    assert caplog.record_tuples == [
        ("pixelprune", logging.INFO, "node: loading a model"),
        ("pixelprune", logging.WARNING, "node: slow disk"),
    ]
