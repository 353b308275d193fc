"""Whether worker processes come to work at all."""

import multiprocessing
import time
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

_STARTS_PER_WORKER = 3
_STILL_SECONDS = 30.0
_LONGEST_LAPSE = 1.0  # between two looks; more than that was no waiting, but a program held up
# With more workers than cores each gets little of them, and one that compiles all kernels needs
# some twenty seconds of a processor: time on the clock tells nothing.
_LEAST_CPU_SECONDS, _MOST_CPU_SECONDS = 0.1, 300.0


class StartContext(SpawnContext):
    """Spawns processes and remembers those that were started since work was last finished."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[SpawnProcess] = []

    def Process(self, *args: Any, **options: Any) -> SpawnProcess:  # type: ignore[override]  # noqa: ANN401, N802
        """A process to be started."""
        process = SpawnProcess(*args, **options)
        self.started.append(process)
        return process


class StartWatch:
    """Tells when workers are started again and again, or wait for ever, and finish nothing.

    Args of the constructor:
        workers: how many there are to be.

    Attributes:
        context: where they are started.
        exit_code: how one ended since work was last finished, as far as it was noted.
    """

    def __init__(self, workers: int) -> None:
        self.context = StartContext()
        self.exit_code: int | None = None
        self._workers = workers
        self._still = 0.0
        self._looked = 0.0
        self._used: dict[int, float] | None = None

    def work_finished(self) -> None:
        """Told of each task that came to an end with a worker, also to a bad one."""
        self.context.started.clear()
        self.exit_code = None

    @property
    def nothing_finished(self) -> bool:
        """Whether none of the workers that there are has finished anything."""
        return len(self.context.started) >= self._workers

    def in_vain(self, more: int = 0) -> bool:
        """Whether so many workers were started, these included, that more will not help."""
        return len(self.context.started) + more > _STARTS_PER_WORKER * self._workers

    def note_ends(self) -> None:
        """Keep how a worker ended by itself, before others are stopped."""
        codes = [process.exitcode for process in list(self.context.started)]
        if self.exit_code is None:
            self.exit_code = next((code for code in codes if code is not None), None)

    def end_all(self) -> None:
        """End those that a pool which could not start has lost sight of."""
        for process in self.context.started:
            if process.is_alive():
                process.kill()
                process.join()

    def stands_still(self, waiting: "list[Future[Any]]") -> bool:
        """Whether no worker has taken up a task for long, nor done anything else.

        Args:
            waiting: the tasks that are not done. It is to be asked often while there are some.
        """
        now = time.monotonic()
        lapse, self._looked = min(now - self._looked, _LONGEST_LAPSE), now
        if any(task.running() for task in waiting):
            self._used = None
            return False
        if self._used is None:
            self._still, self._used = 0.0, _processor_seconds()
            return False
        self._still += lapse
        if self._still < _STILL_SECONDS:
            return False
        before, self._used = self._used, None
        return not any(
            used - before.get(pid, 0.0) >= _LEAST_CPU_SECONDS and used < _MOST_CPU_SECONDS
            for pid, used in _processor_seconds().items()
        )


def _processor_seconds() -> dict[int, float]:
    """What each child of this process has used of the processor."""
    import psutil

    used: dict[int, float] = {}
    for child in multiprocessing.active_children():
        with suppress(psutil.Error):
            times = psutil.Process(child.pid).cpu_times()
            used[child.pid or 0] = times.user + times.system
    return used
