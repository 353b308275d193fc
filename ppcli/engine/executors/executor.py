"""The interface between the engine and the places where tasks run."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

WorkerSetup = Callable[[], AbstractContextManager[object]]
"""Prepares a process to run tasks.

Each process enters the context before its first task. A process that outlives its tasks leaves it
when the executor is closed; worker processes are stopped without leaving it.
"""


@dataclass(frozen=True, slots=True)
class TaskLimits:
    """What a task may take.

    Attributes:
        allowance: seconds besides the time limit of the executor, such as for reading far files.
        attempts: how often it is tried if it takes too long, or its worker ends.
    """

    allowance: float = 0.0
    attempts: int = 2


USUAL = TaskLimits()


class Task(Protocol):
    """A submitted call."""

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds`; return whether the task has finished.

        Raises:
            StoppedError: if no worker can be started.
        """

    def result(self) -> Any:  # noqa: ANN401
        """Wait for the task and return what its function returned.

        Raises:
            ImageError: `timeout` or `worker_died` if the task did not finish; or the error that
                the function raised.
            StoppedError: if no worker can be started.
        """


class Executor(Protocol):
    """Runs tasks. A new engine implements this and is added to `create_executor`."""

    @property
    def capacity(self) -> int:
        """How many unfinished tasks are enough to keep the executor busy. It may change."""

    def prestart(self, tasks: int) -> None:
        """Start workers ahead of the first task, but no more than `tasks` tasks need."""

    def submit(
        self, function: Callable[..., Any], *args: object, limits: TaskLimits = USUAL
    ) -> Task:
        """Queue `function(*args)`. Function, arguments and result must be picklable."""

    def close(self) -> None:
        """Cancel unfinished tasks, stop all workers and release their resources."""
