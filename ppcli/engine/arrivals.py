"""Inputs as they arrive, so that a run can do other things while a list keeps it waiting."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

_Item = TypeVar("_Item")
_LOOK_UP_SECONDS = 0.1
READ_AHEAD = 16


class Arrivals(Generic[_Item]):
    """The items of an iterator that is advanced in a thread, a few ahead.

    Args of the constructor:
        items: what is waited for.
        while_waiting: called every now and then while an item is waited for; may raise.

    Used as a context manager, which ends the thread as soon as the iterator gives way.
    """

    def __init__(
        self, items: Iterator[_Item], while_waiting: Callable[[], None] = lambda: None
    ) -> None:
        self._items = items
        self._while_waiting = while_waiting
        self._queue: queue.Queue[_Item | _End] = queue.Queue(READ_AHEAD)
        self._arrived: deque[_Item] = deque()
        self._end: _End | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._fetch, daemon=True)
        self._thread.start()

    def _fetch(self) -> None:
        end = _End()
        try:
            for item in self._items:
                if not self._hand_over(item):
                    return
        except BaseException as error:
            end.error = error
        self._hand_over(end)

    def _hand_over(self, item: "_Item | _End") -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=_LOOK_UP_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def known(self, seconds: float, number: int = 1) -> bool:
        """Wait so long at the most; whether the next items, or an end before them, are here."""
        while self._end is None and len(self._arrived) < number:
            try:
                item = self._queue.get(block=seconds > 0, timeout=seconds or None)
            except queue.Empty:
                return False
            if isinstance(item, _End):
                self._end = item
            else:
                self._arrived.append(item)
        return True

    def ahead(self, number: int) -> list[_Item]:
        """Wait for the next items and look at them without taking them; fewer at the end.

        Raises what the iterator raised before it gave any of them.
        """
        while not self.known(_LOOK_UP_SECONDS, number):
            self._while_waiting()
        self._while_waiting()
        if not self._arrived and self._end is not None and self._end.error is not None:
            raise self._end.error
        return list(self._arrived)[:number]

    def __iter__(self) -> "Arrivals[_Item]":
        return self

    def __next__(self) -> _Item:
        """The next item, waiting for it; raises what the iterator raised."""
        while not self.known(_LOOK_UP_SECONDS):
            self._while_waiting()
        if self._arrived:
            return self._arrived.popleft()
        assert self._end is not None
        if self._end.error is not None:
            raise self._end.error
        raise StopIteration

    def __enter__(self) -> "Arrivals[_Item]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self, wait: bool = False) -> None:
        """Ask for no more items; `wait` until the iterator is left alone."""
        self._closed.set()
        if wait:
            self._thread.join()


class _End:
    """Marks that the iterator has no more, or failed."""

    error: BaseException | None = None
