"""Keeps inputs on the disk until their turn, because there may be millions of them."""

import pickle
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ppcli.errors import OutputError
from ppcli.inputs.refs import Input

_BYTES_IN_MEMORY = 16 << 20


class SetAside:
    """Inputs in a temporary file without a name, each with a number; 16 bytes each in memory."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_BYTES_IN_MEMORY)  # noqa: SIM115
        self._numbers, self._places = array("q"), array("q")
        self._order = np.empty(0, np.intp)

    def add(self, one: Input, number: int) -> None:
        """Add an input; none can be added after `end`.

        Raises:
            OutputError: the temporary file cannot be written.
        """
        self._numbers.append(number)
        self._places.append(self._file.tell())
        with _full_disk_in_words():
            pickle.dump(one, self._file, pickle.HIGHEST_PROTOCOL)

    def end(self) -> None:
        """Sort the inputs by number.

        Raises:
            OutputError: the disk is full.
        """
        with _full_disk_in_words():
            self._file.flush()
        self._order = np.argsort(np.frombuffer(self._numbers, np.int64), kind="stable")

    def between(self, first: int, end: int) -> Iterator[tuple[int, Input]]:
        """Yield the inputs with numbers from `first` up to `end`, exclusive, with their numbers."""
        numbers = np.frombuffer(self._numbers, np.int64)
        low, high = np.searchsorted(numbers, (first, end), sorter=self._order)
        for place in self._order[low:high]:
            self._file.seek(self._places[place])
            yield self._numbers[place], pickle.load(self._file)  # noqa: S301  # it is our own

    def close(self) -> None:
        """Delete the inputs."""
        self._file.close()


@contextmanager
def _full_disk_in_words() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"a temporary file with the inputs cannot be written: {error.strerror}; "
            "set TMPDIR to a folder with space"
        ) from error
