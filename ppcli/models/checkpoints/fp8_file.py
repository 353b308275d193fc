"""Reads FP8 matrices from safetensors files, which safetensors cannot give to NumPy."""

import json
import os

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

_LENGTH_BYTES = 8


class Fp8File:
    """The FP8 (e4m3, one byte a number) matrices of a safetensors file.

    A file begins with the length of its header (8 bytes, little-endian). The header is JSON with
    the offsets of each tensor in the bytes behind it
    (https://github.com/huggingface/safetensors, "Format").

    Args of the constructor:
        path: of a file that safetensors has opened, and so checked.

    Raises:
        OSError: if the file cannot be read.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            self._header = json.loads(file.read(length))
        self._start = _LENGTH_BYTES + length

    def rows(self, name: str, start: int, stop: int) -> NDArray[np.generic]:
        """Read some rows of a matrix.

        Args:
            name: of the tensor in the file.
            start: the first row.
            stop: the row after the last.

        Returns:
            float8_e4m3fn (stop - start, columns).

        Raises:
            OSError: if the file cannot be read, or has become shorter.
        """
        entry = self._header[name]
        columns = entry["shape"][1]
        offset = self._start + entry["data_offsets"][0] + start * columns
        count = (stop - start) * columns
        found = np.fromfile(self._path, np.uint8, count, offset=offset)
        if len(found) < count:
            raise OSError(f"it ends at {os.path.getsize(self._path):,} bytes, within {name}")
        rows: NDArray[np.generic] = found.view(ml_dtypes.float8_e4m3fn).reshape(-1, columns)
        return rows
