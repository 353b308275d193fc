"""Where work is done: what all executors do, and the one that works in this process."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


class Task(Protocol):
    """Work that was submitted."""

    def done(self, seconds: float) -> bool:
        """Wait so long at the most; whether there is a result.

        Raises:
            StoppedError: when nobody can be found to do the work.
        """

    def result(self) -> Any:  # noqa: ANN401
        """What the work gave; waits for it.

        Raises:
            ImageError: `timeout` or `worker_died` when the work did not come to its end.
            StoppedError: when nobody can be found to do the work.
        """


class Executor(Protocol):
    """Runs work on images. Another engine has to do no more than this."""

    @property
    def capacity(self) -> int:
        """How many tasks it is worth having under way."""

    def expect(self, tasks: int) -> None:
        """Told before the first task when no more than so many come: workers may start at once."""

    def submit(self, work: Callable[..., Any], *args: object) -> Task:
        """Begin `work(*args)`; function, arguments and result must be picklable."""

    def close(self) -> None:
        """Drop what is under way and leave nothing behind."""


@dataclass(slots=True)
class _Deferred:
    """A task of the serial executor: done when its result is asked for."""

    work: Callable[..., Any]
    args: tuple[object, ...]

    def done(self, seconds: float) -> bool:
        return True

    def result(self) -> Any:  # noqa: ANN401
        return self.work(*self.args)


@dataclass(slots=True)
class SerialExecutor:
    """Works in this process, one image after another. A crash is a crash of the run.

    Attributes:
        setup: called before the first task.
    """

    setup: Callable[[], None] | None = None

    @property
    def capacity(self) -> int:
        """One after another."""
        return 1

    def expect(self, tasks: int) -> None:
        """Nothing to prepare."""

    def submit(self, work: Callable[..., Any], *args: object) -> Task:
        """Work when the result is asked for."""
        if self.setup is not None:
            self.setup()
            self.setup = None
        return _Deferred(work, args)

    def close(self) -> None:
        """Let go of the file that the last task kept open."""
        from ppcli.imaging.page_cache import close_kept_source

        close_kept_source()


def available_cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
