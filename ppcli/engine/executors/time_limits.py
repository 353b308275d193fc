"""A time limit for tasks that ignores the time while this program is suspended."""

import threading
import time
from concurrent.futures import Future
from typing import Any

_TICK_SECONDS = 0.1
_MAX_TICK_SECONDS = 1.0  # a longer gap means that the program or the computer was suspended


class TimeLimits:
    """Cancels tasks that run too long.

    Time is the sum of short ticks of the monotonic clock. Neither a change of the system clock
    nor a suspension of this program (Ctrl-Z, sleep) counts.

    Args of the constructor:
        seconds: that one task may run.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._elapsed: dict[Future[Any], float] = {}  # less its allowance
        self._lock = threading.Lock()
        self._closed = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def watch(self, future: "Future[Any]", allowance: float = 0.0) -> None:
        """Measure the time of this task from the moment it starts to run.

        Args:
            future: the task.
            allowance: seconds that it may run besides the limit.
        """
        with self._lock:
            self._elapsed[future] = -allowance

    def close(self) -> None:
        """Stop measuring."""
        self._closed.set()

    def _run(self) -> None:
        before = time.monotonic()
        while not self._closed.wait(_TICK_SECONDS):
            now = time.monotonic()
            self._tick(min(now - before, _MAX_TICK_SECONDS))
            before = now

    def _tick(self, seconds: float) -> None:
        with self._lock:
            watched = list(self._elapsed)
        for future in watched:
            if future.done():
                self._forget(future)
            elif future.running():
                self._elapsed[future] += seconds
                if self._elapsed[future] > self._seconds:
                    self._forget(future)
                    future.cancel()

    def _forget(self, future: "Future[Any]") -> None:
        with self._lock:
            self._elapsed.pop(future, None)
