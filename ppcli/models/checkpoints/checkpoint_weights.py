"""Reads the weights of a checkpoint folder, from one safetensors file or from several."""

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import ml_dtypes  # noqa: F401 registers bfloat16 with NumPy
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from ppcli.errors import ModelError, bounded
from ppcli.models.model_files import check_plain_name, check_regular, read_json

_INDEX, _SINGLE, _ADAPTER = (
    "model.safetensors.index.json",
    "model.safetensors",
    "adapter_config.json",
)
_SUFFIX = ".safetensors"
_PYTORCH_SUFFIXES = (".bin", ".pt", ".pth")
_LFS_POINTER = b"version https://git-lfs"
FLOAT_TYPES = ("F32", "F16", "BF16")
ROWS_PER_READ = 4096


class CheckpointWeights:
    """The tensors of a checkpoint by name; a tensor is read when it is asked for.

    Args of the constructor:
        folder: of the checkpoint.
        canonical_name: maps the name of a stored tensor to the name that graphs use.

    Attributes:
        folder: of the checkpoint.
        files: paths of the files with weights.
        warnings: sentences for the user, if it is unclear which files are meant.
        readable_types: types of tensors that `tensor` reads, in the terms of safetensors.

    Raises:
        ModelError: if the folder has no weights, a file of them is missing or truncated, or two
            tensors have the same name.
    """

    readable_types: ClassVar[tuple[str, ...]] = FLOAT_TYPES

    def __init__(self, folder: str, canonical_name: Callable[[str], str]) -> None:
        self.folder = folder
        self.files, self.warnings = _weight_files(folder)
        self._canonical_name = canonical_name
        self._open: dict[str, Any] = {}
        self._stored: dict[str, tuple[str, str]] = {}
        for path in self.files:
            if not check_regular(path):
                raise ModelError(f"{path} is missing; the index of the checkpoint names it")
            _refuse_lfs_pointer(path)
            with as_model_error(path):
                self._open[path] = safe_open(path, "np")
                stored = self._open[path].keys()
            for name in stored:
                self._add(name, path)

    def __contains__(self, name: str) -> bool:
        return name in self._stored

    def types(self) -> dict[str, str]:
        """The type of each tensor by its stored name, in the terms of safetensors."""
        return {self.place_of(name)[1]: self.type_of(name) for name in self._stored}

    def place_of(self, name: str) -> tuple[str, str]:
        """The file that has a tensor, and the tensor's name in it."""
        return self._stored[name]

    def type_of(self, name: str) -> str:
        """The type of a tensor, in the terms of safetensors."""
        return str(self._slice(name).get_dtype())

    def shape_of(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor."""
        return tuple(self._slice(name).get_shape())

    def check(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Check that all these tensors exist, with these shapes and a supported type.

        Raises:
            ModelError: with the names of those that do not.
        """
        missing = [name for name in shapes if name not in self]
        if missing:
            raise ModelError(f"{self.folder} has no tensor {_shortlist(missing)}")
        wrong = []
        for name, shape in shapes.items():
            found, kind = self.shape_of(name), self.type_of(name)
            if found != shape:
                wrong.append(f"{name} (it is {by(found)}, expected {by(shape)})")
            elif kind not in self.readable_types:
                wrong.append(f"{name} (its type {kind} is not supported)")
        if wrong:
            raise ModelError(f"{self.folder} has unsuitable tensors: {_shortlist(wrong)}")

    def unused(self, used: Collection[str], ignored: Callable[[str], bool]) -> str:
        """List the tensors that are not used.

        Args:
            used: names of those that are.
            ignored: tells which unused ones to leave out.

        Returns:
            Their names for a message; empty if there are none.
        """
        names = [name for name in self._stored if name not in used]
        return _shortlist([name for name in names if not ignored(name)])

    def tensor(self, name: str) -> NDArray[Any]:
        """Read a tensor as it is stored: float32, float16 or bfloat16.

        Raises:
            ModelError: if it cannot be read.
        """
        path, stored = self._stored[name]
        with as_model_error(path):
            tensor: NDArray[Any] = self._open[path].get_tensor(stored)
            return np.ascontiguousarray(tensor)

    def rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Read some rows of a tensor, as `tensor` does.

        Raises:
            ModelError: if they cannot be read.
        """
        with as_model_error(self.place_of(name)[0]):
            rows: NDArray[Any] = self._slice(name)[start:stop]
            return rows

    def are_equal(self, name: str, other: str) -> bool:
        """Whether two matrices have the same values; they are compared some rows at a time.

        Raises:
            ModelError: if one cannot be read.
        """
        shape = self.shape_of(name)
        if shape != self.shape_of(other):
            return False
        for start in range(0, shape[0] if shape else 0, ROWS_PER_READ):
            stop = min(start + ROWS_PER_READ, shape[0])
            ours, theirs = (self.rows(one, start, stop) for one in (name, other))
            if not np.array_equal(_as_float32(ours), _as_float32(theirs)):
                return False
        return True

    def _add(self, stored: str, path: str) -> None:
        name = self._canonical_name(stored)
        if name in self._stored:
            other_path, other = self._stored[name]
            both = " and ".join(
                f"{one} in {os.path.basename(where)}"
                for one, where in ((other, other_path), (stored, path))
            )
            raise ModelError(
                f"{self.folder} has a tensor twice: {both}; keep only the files of one model "
                f"there, or name its file {_SINGLE}"
            )
        self._stored[name] = path, stored

    def _slice(self, name: str) -> Any:  # noqa: ANN401
        path, stored = self._stored[name]
        with as_model_error(path):
            return self._open[path].get_slice(stored)


def _weight_files(folder: str) -> tuple[list[str], list[str]]:
    """The files with weights, and warnings about them."""
    if check_regular(os.path.join(folder, _ADAPTER)):
        raise ModelError(
            f"{folder} has an adapter ({_ADAPTER}); merge it into its model "
            "(merge_and_unload in peft) and export that; if the weights are merged already, "
            f"remove {_ADAPTER}"
        )
    warnings = []
    names = _files_of_index(folder)
    if check_regular(os.path.join(folder, _SINGLE)) and _SINGLE not in (names or ()):
        if names:
            warnings.append(
                f"{_SINGLE} is exported, which transformers reads too; other programs read the "
                f"files that {_INDEX} names: {_shortlist(names)}"
            )
        names = [_SINGLE]
    if names is None:
        names = sorted(name for name in os.listdir(folder) if name.endswith(_SUFFIX))
    if not names:
        pytorch = sorted(name for name in os.listdir(folder) if name.endswith(_PYTORCH_SUFFIXES))
        advice = (
            f"; convert {_shortlist(pytorch)} to {_SUFFIX} with save_pretrained" if pytorch else ""
        )
        raise ModelError(f"{folder} is not a checkpoint: it has no {_SUFFIX} files{advice}")
    return [os.path.join(folder, name) for name in names], warnings


def _files_of_index(folder: str) -> list[str] | None:
    """The files that the index names; None without an index."""
    path = os.path.join(folder, _INDEX)
    index = read_json(path)
    if index is None:
        return None
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not all(
        isinstance(one, str) for one in weight_map.values()
    ):
        raise ModelError(f"{path} has no valid weight_map")
    names = sorted(set(weight_map.values()))
    for name in names:
        check_plain_name(name, path)
    return names


def _refuse_lfs_pointer(path: str) -> None:
    """Refuse the pointer that git leaves in place of a large file that it has not fetched."""
    with as_model_error(path), open(path, "rb") as file:
        start = file.read(len(_LFS_POINTER))
    if start == _LFS_POINTER:
        raise ModelError(f"{path} is a Git LFS pointer; fetch the weights: git lfs pull")


@contextmanager
def as_model_error(path: str) -> Iterator[None]:
    """Tell errors of a file of weights as errors of the model."""
    try:
        yield
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is truncated or damaged: {error}") from error


def _as_float32(rows: NDArray[Any]) -> NDArray[np.float32]:
    return rows.astype(np.float32)


def by(shape: tuple[int, ...]) -> str:
    """A shape as messages show it."""
    return "×".join(map(str, shape)) or "a scalar"


def _shortlist(names: list[str], most: int = 5) -> str:
    rest = len(names) - most
    listed = ", ".join(bounded(name) for name in names[:most])
    return listed + (f", and {rest} more" if rest > 0 else "")
