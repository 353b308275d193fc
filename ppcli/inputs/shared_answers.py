"""Answers of two iterations over the same files, each of which is looked into once."""

import threading
from collections.abc import Callable

_MOST = 1 << 17  # answers that wait for the slower iteration; about 30 MB of paths


class SharedAnswers:
    """What one of two iterations found out about a file, kept until the other one asks.

    The iterations run in different threads. If one is far ahead of the other, not all its answers
    are kept, and the other one looks for itself.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, bool] = {}

    def get(self, path: str, look: Callable[[], bool]) -> bool:
        """Return the answer of the other iteration, or look, and keep the answer for the other."""
        with self._lock:
            known = self._known.pop(path, None)
            if known is None:
                known = look()
                if len(self._known) < _MOST:
                    self._known[path] = known
        return known
