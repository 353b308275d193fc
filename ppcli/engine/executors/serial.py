"""Tasks in the calling process, one after another."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from ppcli.engine.executors.executor import USUAL, Task, TaskLimits, WorkerSetup


@dataclass(slots=True)
class SerialExecutor:
    """Runs each task in this process when its result is requested.

    Nothing isolates the program from a task: a crash ends the run, and there is no time limit.

    Attributes:
        setup: prepares this process before the first task; undone by `close`.
    """

    setup: WorkerSetup | None = None
    _context: ExitStack | None = field(default=None, init=False)

    @property
    def capacity(self) -> int:
        """Always 1."""
        return 1

    def prestart(self, tasks: int) -> None:
        """Do nothing: there are no workers."""

    def submit(
        self, function: Callable[..., Any], *args: object, limits: TaskLimits = USUAL
    ) -> Task:
        """Defer the call until its result is requested; nothing limits it."""
        if self._context is None:
            self._context = ExitStack()
            if self.setup is not None:
                self._context.enter_context(self.setup())
        return _DeferredTask(function, args)

    def close(self) -> None:
        """Undo the setup."""
        if self._context is not None:
            self._context.close()
            self._context = None


@dataclass(slots=True)
class _DeferredTask:
    function: Callable[..., Any]
    args: tuple[object, ...]

    def wait(self, seconds: float) -> bool:
        return True

    def result(self) -> Any:  # noqa: ANN401
        return self.function(*self.args)
