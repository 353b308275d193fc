"""Gives members of sequential containers their bytes, shortly before their tasks are submitted."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from ppcli.engine.arrivals import Arrivals, Incoming
from ppcli.inputs.containers.attached import AttachedFile, SequentialFile, SeriesReader
from ppcli.inputs.refs import ImageRef

_POLL_SECONDS = 0.1
_MOST_BYTES = 64 << 20  # of members under way


class _Budget:
    """Bytes of members under way: at most `_MOST_BYTES`, or one member."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: deque[int] = deque()
        self._bytes = 0
        self._closed = False

    def take(self, size: int, may_wait: bool = True) -> bool:
        """Wait until there is room for one more input; return false once there never will be.

        Args:
            size: of the input, in bytes.
            may_wait: false if the inputs before are not worked on before this one has come.
        """
        with self._changed:
            while (
                may_wait and self._bytes and self._bytes + size > _MOST_BYTES and not self._closed
            ):
                self._changed.wait(_POLL_SECONDS)
            self._held.append(size)
            self._bytes += size
            return not self._closed

    def give_back(self) -> None:
        """Free the bytes of the first input that still has some counted."""
        with self._changed:
            self._bytes -= self._held.popleft()
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Attaching:
    """Inputs that have their bytes where a container must be read in order.

    A thread reads such containers, from the first input that needs it. Until then the inputs are
    those of the other iterator, and cost nothing.

    Args of the constructor:
        inputs: without bytes; nothing else may use it from now on.
    """

    def __init__(self, inputs: Incoming[ImageRef]) -> None:
        self._inputs = inputs
        self._attached: Arrivals[ImageRef] | None = None
        self._budget = _Budget()
        self._plain = 0  # inputs that were handed out before the thread started

    def wait(self, seconds: float, number: int = 1) -> bool:
        """Wait up to `seconds`; return whether the next items, or the end, have been fetched."""
        if self._attached is None:
            if not self._inputs.wait(seconds, number):
                return False
            if not any(isinstance(ref.file, SequentialFile) for ref in self._inputs.peek(number)):
                return True
            self._attached = Arrivals(self._read())
        return self._attached.wait(seconds, number)

    def peek(self, number: int) -> list[ImageRef]:
        """Wait for the next items and return them without consuming them; fewer near the end."""
        while not self.wait(_POLL_SECONDS, number):
            pass
        return (self._attached or self._inputs).peek(number)

    def __iter__(self) -> "Attaching":
        return self

    def __next__(self) -> ImageRef:
        """Wait for the next item and return it. Errors of the iterator are raised in its place."""
        while not self.wait(_POLL_SECONDS):
            pass
        if self._attached is not None:
            return next(self._attached)
        ref = next(self._inputs)
        self._plain += 1
        return ref

    def _read(self) -> Iterator[ImageRef]:
        with closing(SeriesReader()) as reader:
            begins_sequence = True
            for ref in self._inputs:
                attached, size = ref, 0
                if isinstance(ref.file, SequentialFile):
                    content = reader.content_of(ref.file)
                    for_worker = replace(content, columns=None)
                    columns = ref.columns if content.columns is None else content.columns
                    attached = replace(
                        ref, file=AttachedFile(ref.file, for_worker), columns=columns
                    )
                    size = content.nbytes
                if not self._budget.take(size, begins_sequence):
                    return
                begins_sequence = ref.ends_sequence
                yield attached

    def finished(self) -> None:
        """Say that the rows of the next input have been used."""
        if self._plain:
            self._plain -= 1
        elif self._attached is not None:
            self._budget.give_back()

    def close(self) -> None:
        """Read no more members."""
        self._budget.close()
        if self._attached is not None:
            self._attached.close()
