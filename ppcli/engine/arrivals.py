"""Inputs fetched in a thread, so that a slow list does not block the run."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

_Item = TypeVar("_Item")
_POLL_SECONDS = 0.1
READ_AHEAD = 16


class Incoming(Protocol[_Item]):
    """An iterator that can be asked whether the next item is there; see `Arrivals`."""

    def wait(self, seconds: float, number: int = 1) -> bool:
        """Wait up to `seconds`; return whether the next items, or the end, have been fetched."""

    def peek(self, number: int) -> list[_Item]:
        """Wait for the next items and return them without consuming them; fewer near the end."""

    def __iter__(self) -> Iterator[_Item]:
        """Return itself."""

    def __next__(self) -> _Item:
        """Wait for the next item and return it."""


class Arrivals(Generic[_Item]):
    """An iterator over the items of another iterator, which a thread advances a few items ahead.

    As a context manager it closes itself at the end of the block.

    Args of the constructor:
        items: the iterator to advance.
        while_waiting: called regularly while `peek` or `next` waits for an item; it may raise to
            end the waiting.
    """

    def __init__(
        self, items: Iterator[_Item], while_waiting: Callable[[], None] = lambda: None
    ) -> None:
        self._items = items
        self._while_waiting = while_waiting
        self._queue: queue.Queue[_Item | _End] = queue.Queue(READ_AHEAD)
        self._fetched: deque[_Item] = deque()
        self._end: _End | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._fetch, daemon=True)
        self._thread.start()

    def _fetch(self) -> None:
        end = _End()
        try:
            for item in self._items:
                if not self._put(item):
                    return
        except BaseException as error:
            end.error = error
        self._put(end)

    def _put(self, item: "_Item | _End") -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def wait(self, seconds: float, number: int = 1) -> bool:
        """Wait up to `seconds`; return whether the next items, or the end, have been fetched.

        Args:
            seconds: 0 returns at once.
            number: of items, fewer if the end comes first.
        """
        while self._end is None and len(self._fetched) < number:
            try:
                item = self._queue.get(block=seconds > 0, timeout=seconds or None)
            except queue.Empty:
                return False
            if isinstance(item, _End):
                self._end = item
            else:
                self._fetched.append(item)
        return True

    def peek(self, number: int) -> list[_Item]:
        """Wait for the next items and return them without consuming them; fewer near the end.

        An error of the iterator is raised if it came before any item.
        """
        while not self.wait(_POLL_SECONDS, number):
            self._while_waiting()
        self._while_waiting()
        if not self._fetched and self._end is not None and self._end.error is not None:
            raise self._end.error
        return list(self._fetched)[:number]

    def __iter__(self) -> "Arrivals[_Item]":
        return self

    def __next__(self) -> _Item:
        """Wait for the next item and return it. Errors of the iterator are raised in its place."""
        while not self.wait(_POLL_SECONDS):
            self._while_waiting()
        if self._fetched:
            return self._fetched.popleft()
        assert self._end is not None
        if self._end.error is not None:
            raise self._end.error
        raise StopIteration

    def __enter__(self) -> "Arrivals[_Item]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self, wait: bool = False) -> None:
        """Fetch no more items.

        Args:
            wait: return only when the thread has ended and does not use the iterator any more.
        """
        self._closed.set()
        if wait:
            self._thread.join()


class _End:
    """Follows the last item.

    Attributes:
        error: raised by the iterator; None at a normal end.
    """

    error: BaseException | None = None
