"""The weights of a checkpoint folder, in one safetensors file or in many."""

import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import ml_dtypes  # noqa: F401 NumPy knows bfloat16 by name once this is imported
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from ppcli.errors import ModelError, bounded
from ppcli.models.model_files import check_plain, check_regular, read_json

_INDEX, _SINGLE, _ADAPTER = (
    "model.safetensors.index.json",
    "model.safetensors",
    "adapter_config.json",
)
_SUFFIX = ".safetensors"
_OLDER = (".bin", ".pt", ".pth")
_POINTER = b"version https://git-lfs"
_TYPES = ("F32", "F16", "BF16")
_WRAPPED = re.compile(r"(?:(?:model|module|_orig_mod)\.)*((?:visual|language_model|lm_head)\..+)")
_COMPUTED = (".inv_freq", "position_ids")
_ROWS_AT_ONCE = 4096


class Checkpoint:
    """Tensors by name. Nothing but the headers is read before a tensor is asked for.

    Names are those of the whole model, `model.visual.…`, `model.language_model.…` and `lm_head.…`,
    also where the file has those of its inner part (`visual.…`) or of a wrapper (`model.model.…`).

    Attributes:
        folder: where it lies.
        files: that hold its weights.
        warnings: sentences for people, where it is in doubt which files are meant.

    Raises:
        ModelError: when the folder has no weights, a file of them is missing or cut short, or a
            tensor is there twice.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.files, self.warnings = _weight_files(folder)
        self._open: dict[str, Any] = {}
        self._place: dict[str, tuple[str, str]] = {}
        for path in self.files:
            if not check_regular(path):
                raise ModelError(f"{path} is missing, and the index of the checkpoint names it")
            _refuse_pointer(path)
            with _explained(path):
                self._open[path] = safe_open(path, "np")
                stored = self._open[path].keys()
            for name in stored:
                self._add(name, path)

    def __contains__(self, name: str) -> bool:
        return name in self._place

    def types(self) -> dict[str, str]:
        """The type of each tensor by the name it is stored under, as safetensors calls it."""
        return {
            stored: self._open[path].get_slice(stored).get_dtype()
            for path, stored in self._place.values()
        }

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
            part = self._slice(name)
            found, kind = tuple(part.get_shape()), part.get_dtype()
            if found != shape:
                wrong.append(f"{name} (it is {_by(found)}, and {_by(shape)} is expected)")
            elif kind not in _TYPES:
                wrong.append(f"{name} (its type {kind} is not supported)")
        if wrong:
            raise ModelError(f"{self.folder} has misshapen tensors: {_some(wrong)}")

    def unused(self, used: Collection[str]) -> str:
        """Names of tensors that are there and not used, but for what can be computed."""
        names = [name for name in self._place if name not in used]
        return _some([name for name in names if not name.endswith(_COMPUTED)])

    def tensor(self, name: str) -> NDArray[Any]:
        """One tensor, as it is stored: float32, float16 or bfloat16.

        Raises:
            ModelError: when it cannot be read.
        """
        path, stored = self._place[name]
        with _explained(path):
            tensor: NDArray[Any] = self._open[path].get_tensor(stored)
            return np.ascontiguousarray(tensor)

    def same(self, name: str, other: str) -> bool:
        """Whether two matrices hold the same numbers; they are read in parts.

        Raises:
            ModelError: when one cannot be read.
        """
        ours, theirs = self._slice(name), self._slice(other)
        shape = ours.get_shape()
        if shape != theirs.get_shape():
            return False
        with _explained(self._place[name][0]):
            for start in range(0, shape[0] if shape else 0, _ROWS_AT_ONCE):
                rows = slice(start, min(start + _ROWS_AT_ONCE, shape[0]))
                if not np.array_equal(_numbers(ours[rows]), _numbers(theirs[rows])):
                    return False
        return True

    def _add(self, stored: str, path: str) -> None:
        wrapped = _WRAPPED.fullmatch(stored)
        name = stored
        if wrapped:
            head = wrapped[1].startswith("lm_head.")
            name = wrapped[1] if head else f"model.{wrapped[1]}"
        if name in self._place:
            other_path, other = self._place[name]
            places = " and ".join(
                f"{one} in {os.path.basename(where)}"
                for one, where in ((other, other_path), (stored, path))
            )
            raise ModelError(
                f"{self.folder} has a tensor twice: {places}; leave only the files of one model "
                f"there, or name that as {_SINGLE}"
            )
        self._place[name] = path, stored

    def _slice(self, name: str) -> Any:  # noqa: ANN401
        path, stored = self._place[name]
        with _explained(path):
            return self._open[path].get_slice(stored)


def _weight_files(folder: str) -> tuple[list[str], list[str]]:
    """The files that hold the weights, and sentences that tell of doubts."""
    if check_regular(os.path.join(folder, _ADAPTER)):
        raise ModelError(
            f"{folder} holds an adapter ({_ADAPTER}); merge it into its model "
            "(merge_and_unload in peft), and export that; if the weights are merged already, "
            f"remove {_ADAPTER}"
        )
    told = []
    names = _named_by_index(folder)
    if check_regular(os.path.join(folder, _SINGLE)) and _SINGLE not in (names or ()):
        if names:
            told.append(
                f"{_SINGLE} is exported, which transformers takes too, while other programs take "
                f"the files that {_INDEX} names: {_some(names)}"
            )
        names = [_SINGLE]
    if names is None:
        names = sorted(name for name in os.listdir(folder) if name.endswith(_SUFFIX))
    if not names:
        older = sorted(name for name in os.listdir(folder) if name.endswith(_OLDER))
        helps = f"; save {_some(older)} anew as {_SUFFIX}, with save_pretrained" if older else ""
        raise ModelError(f"{folder} is not a checkpoint: it has no {_SUFFIX} files{helps}")
    return [os.path.join(folder, name) for name in names], told


def _named_by_index(folder: str) -> list[str] | None:
    """The files that an index names; None without one."""
    path = os.path.join(folder, _INDEX)
    index = read_json(path)
    if index is None:
        return None
    named = index.get("weight_map")
    if not isinstance(named, dict) or not all(isinstance(one, str) for one in named.values()):
        raise ModelError(f"{path} does not say where the weights are")
    names = sorted(set(named.values()))
    for name in names:
        check_plain(name, path)
    return names


def _refuse_pointer(path: str) -> None:
    """Refuse the note that git leaves in place of a large file that it has not fetched."""
    with _explained(path), open(path, "rb") as file:
        start = file.read(len(_POINTER))
    if start == _POINTER:
        raise ModelError(f"{path} only points to the weights; fetch them: git lfs pull")


@contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is cut short or damaged: {error}") from error


def _numbers(rows: NDArray[Any]) -> NDArray[np.float32]:
    return rows.astype(np.float32)


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a single number"


def _some(names: list[str], most: int = 5) -> str:
    rest = len(names) - most
    listed = ", ".join(bounded(name) for name in names[:most])
    return listed + (f", and {rest} more" if rest > 0 else "")
