"""Shares answers between two iterations over the same files, so that each is opened once."""

import threading
from collections.abc import Callable

_MOST = 1 << 17  # answers that wait for the slower iteration; about 30 MB of paths


class SharedAnswers:
    """Keeps what one of two iterations found out about a file until the other one needs it.

    The iterations run in different threads. If one is far ahead, not all its answers are kept, and
    the other one finds the rest itself.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, bool] = {}

    def get(self, path: str, look: Callable[[], bool]) -> bool:
        """Return the answer of the other iteration; without one, call `look` and keep it."""
        with self._lock:
            known = self._known.pop(path, None)
            if known is None:
                known = look()
                if len(self._known) < _MOST:
                    self._known[path] = known
        return known
