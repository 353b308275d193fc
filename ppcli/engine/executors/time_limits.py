"""How long work may take, by a clock that stands still while this program does."""

import threading
import time
from concurrent.futures import Future
from typing import Any

_TICK_SECONDS = 0.1
_LONGEST_TICK = 1.0  # what is longer was no work: the program was stopped, or the computer slept


class TimeLimits:
    """Cancels the work of a pool that takes too long.

    Neither a change of the clock nor a stop of this program counts: time is the sum of short
    ticks of the monotonic clock.

    Args of the constructor:
        seconds: that one task may run.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._used: dict[Future[Any], float] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        threading.Thread(target=self._count, daemon=True).start()

    def watch(self, future: "Future[Any]") -> None:
        """Count the time of this task from the moment it runs."""
        with self._lock:
            self._used[future] = 0.0

    def close(self) -> None:
        """Count no more."""
        self._ended.set()

    def _count(self) -> None:
        before = time.monotonic()
        while not self._ended.wait(_TICK_SECONDS):
            now = time.monotonic()
            self._tick(min(now - before, _LONGEST_TICK))
            before = now

    def _tick(self, seconds: float) -> None:
        with self._lock:
            watched = list(self._used)
        for future in watched:
            if future.done():
                self._forget(future)
            elif future.running():
                self._used[future] += seconds
                if self._used[future] > self._seconds:
                    self._forget(future)
                    future.cancel()

    def _forget(self, future: "Future[Any]") -> None:
        with self._lock:
            self._used.pop(future, None)
