"""Detects worker processes that never get as far as running a task."""

import multiprocessing
import time
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

_STARTS_PER_WORKER = 3
_STALLED_SECONDS = 30.0
_MAX_LAPSE_SECONDS = 1.0  # a longer gap between two checks means that this program was suspended
# Workers that share a core start slowly, and one that compiles all kernels uses some twenty
# seconds of processor time: elapsed time alone does not show whether a worker is stuck.
_MIN_CPU_SECONDS, _MAX_CPU_SECONDS = 0.1, 300.0


class RecordingContext(SpawnContext):
    """Spawns processes and records those started since a task last finished."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[SpawnProcess] = []

    def Process(self, *args: Any, **options: Any) -> SpawnProcess:  # type: ignore[override]  # noqa: ANN401, N802
        """Create a process and record it."""
        process = SpawnProcess(*args, **options)
        self.started.append(process)
        return process


class StartMonitor:
    """Watches whether workers start again and again, or never become ready.

    Args of the constructor:
        workers: how many run at a time.

    Attributes:
        context: starts the processes.
        exit_code: of the first worker that ended since a task last finished; None if unknown.
    """

    def __init__(self, workers: int) -> None:
        self.context = RecordingContext()
        self.exit_code: int | None = None
        self._workers = workers
        self._idle_seconds = 0.0
        self._checked_at = 0.0
        self._cpu_seconds: dict[int, float] | None = None

    def task_finished(self) -> None:
        """Record that a worker has finished a task, successfully or not."""
        self.context.started.clear()
        self.exit_code = None

    @property
    def none_finished(self) -> bool:
        """Whether none of the current workers has finished a task."""
        return len(self.context.started) >= self._workers

    def is_futile(self, more: int = 0) -> bool:
        """Return whether so many workers failed to start that `more` would not help."""
        return len(self.context.started) + more > _STARTS_PER_WORKER * self._workers

    def record_exit_code(self) -> None:
        """Record how a worker ended by itself; call this before others are stopped."""
        codes = [process.exitcode for process in list(self.context.started)]
        if self.exit_code is None:
            self.exit_code = next((code for code in codes if code is not None), None)

    def kill_all(self) -> None:
        """Kill workers that a pool started but no longer knows, as it could not start fully."""
        for process in self.context.started:
            if process.is_alive():
                process.kill()
                process.join()

    def is_stalled(self, unfinished: "list[Future[Any]]") -> bool:
        """Return whether no worker has run a task, or used the processor, for a long time.

        Call this often while there are unfinished tasks.

        Args:
            unfinished: the tasks that are queued or running.
        """
        now = time.monotonic()
        lapse, self._checked_at = min(now - self._checked_at, _MAX_LAPSE_SECONDS), now
        if any(task.running() for task in unfinished):
            self._cpu_seconds = None
            return False
        if self._cpu_seconds is None:
            self._idle_seconds, self._cpu_seconds = 0.0, _cpu_seconds_of_children()
            return False
        self._idle_seconds += lapse
        if self._idle_seconds < _STALLED_SECONDS:
            return False
        before, self._cpu_seconds = self._cpu_seconds, None
        return not any(
            used - before.get(pid, 0.0) >= _MIN_CPU_SECONDS and used < _MAX_CPU_SECONDS
            for pid, used in _cpu_seconds_of_children().items()
        )


def _cpu_seconds_of_children() -> dict[int, float]:
    """Return the processor time that each child of this process has used, by process id."""
    import psutil

    used: dict[int, float] = {}
    for child in multiprocessing.active_children():
        with suppress(psutil.Error):
            times = psutil.Process(child.pid).cpu_times()
            used[child.pid or 0] = times.user + times.system
    return used
