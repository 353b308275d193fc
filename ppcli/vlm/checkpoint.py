"""The weights of a checkpoint folder, in one safetensors file or in many."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ml_dtypes  # noqa: F401 NumPy knows bfloat16 by name once this is imported
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from ppcli.errors import ModelError
from ppcli.vlm.config import read_json

_INDEX = "model.safetensors.index.json"
_SUFFIX = ".safetensors"
_TYPES = ("F32", "F16", "BF16")


class Checkpoint:
    """Tensors by name. Nothing but the headers is read before a tensor is asked for.

    Raises:
        ModelError: when the folder has no weights, or a file of them is missing or cut short.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.files = _weight_files(folder)
        self._open: dict[str, Any] = {}
        self._file_of: dict[str, str] = {}
        for path in self.files:
            with _explained(path):
                file = safe_open(path, "np")
                self._open[path] = file
                self._file_of |= dict.fromkeys(file.keys(), path)  # type: ignore[no-untyped-call]

    def __contains__(self, name: str) -> bool:
        return name in self._file_of

    def check(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """See that all these tensors are there, in these shapes.

        Raises:
            ModelError: naming those that are not.
        """
        missing = [name for name in shapes if name not in self]
        if missing:
            raise ModelError(f"{self.folder} has no tensor {_some(missing)}")
        wrong = []
        for name, shape in shapes.items():
            part = self._open[self._file_of[name]].get_slice(name)
            found, kind = tuple(part.get_shape()), part.get_dtype()
            if found != shape:
                wrong.append(f"{name} (it is {_by(found)}, and {_by(shape)} is expected)")
            elif kind not in _TYPES:
                wrong.append(f"{name} (its type {kind} is not supported)")
        if wrong:
            raise ModelError(f"{self.folder} has misshapen tensors: {_some(wrong)}")

    def tensor(self, name: str) -> NDArray[Any]:
        """One tensor, as it is stored: float32, float16 or bfloat16.

        Raises:
            ModelError: when it cannot be read.
        """
        path = self._file_of[name]
        with _explained(path):
            tensor: NDArray[Any] = self._open[path].get_tensor(name)
            return np.ascontiguousarray(tensor)


def _weight_files(folder: str) -> list[str]:
    index = read_json(os.path.join(folder, _INDEX))
    if index is not None:
        named = index.get("weight_map")
        if not isinstance(named, dict) or not all(isinstance(one, str) for one in named.values()):
            raise ModelError(f"{os.path.join(folder, _INDEX)} does not say where the weights are")
        names = sorted(set(named.values()))
    else:
        names = sorted(name for name in os.listdir(folder) if name.endswith(_SUFFIX))
    if not names:
        raise ModelError(f"{folder} is not a checkpoint: it has no {_SUFFIX} files")
    return [os.path.join(folder, name) for name in names]


@contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise ModelError(f"{path} is missing, and the index of the checkpoint names it") from None
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is cut short or damaged: {error}") from error


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a single number"


def _some(names: list[str], most: int = 5) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f", and {rest} more" if rest > 0 else "")
