"""Reads the weights of a checkpoint folder with FP8 matrices, which are dequantized."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppcli.errors import ModelError, bounded
from ppcli.models.checkpoints.checkpoint_weights import (
    FLOAT_TYPES,
    ROWS_PER_READ,
    CheckpointWeights,
    as_model_error,
    by,
)
from ppcli.models.checkpoints.fp8_file import Fp8File
from ppcli.models.checkpoints.fp8_layout import Fp8Layout
from ppcli.models.checkpoints.quantized_checkpoints import (
    FP8,
    is_scale_of_activations,
    refuse_quantized_tensors,
)

_DEQUANTIZED = (
    "its FP8 weights are dequantized; activations, and cached keys and values, are not rounded to "
    "FP8, although programs made for FP8 checkpoints may do that"
)


def open_weights(
    folder: str, canonical_name: Callable[[str], str], layout: Fp8Layout | None
) -> CheckpointWeights:
    """Open the weights of a checkpoint.

    Args:
        folder: of the checkpoint.
        canonical_name: maps the name of a stored tensor to the name that graphs use.
        layout: how its FP8 weights are scaled; None if it has none.

    Raises:
        ModelError: if they are missing, or quantized in another way.
    """
    if layout is None:
        weights = CheckpointWeights(folder, canonical_name)
    else:
        weights = Fp8Weights(folder, canonical_name, layout)
    refuse_quantized_tensors(folder, weights.types(), layout)
    return weights


class Fp8Weights(CheckpointWeights):
    """The tensors of a checkpoint by name; those in FP8 are read as float32.

    A value of a matrix is the product of the stored number and the scale of its block, rounded
    once to float32.

    Args of the constructor:
        folder: of the checkpoint.
        canonical_name: maps the name of a stored tensor to the name that graphs use.
        layout: how its FP8 weights are scaled.
    """

    readable_types = (*FLOAT_TYPES, FP8)

    def __init__(
        self, folder: str, canonical_name: Callable[[str], str], layout: Fp8Layout
    ) -> None:
        super().__init__(folder, canonical_name)
        self._layout = layout
        self._fp8_files: dict[str, Fp8File] = {}
        self.warnings.append(_DEQUANTIZED)
        if layout.unread:
            names = bounded(", ".join(layout.unread))
            self.warnings.append(f"the quantization settings have what is not applied: {names}")

    def check(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Check that all these tensors exist, with these shapes, a supported type, and scales.

        Raises:
            ModelError: with the names of those that do not.
        """
        super().check(shapes)
        for name in shapes:
            if self.type_of(name) == FP8:
                self._scales(name)
            else:
                self._refuse_scale(name)

    def unused(self, used: Collection[str], ignored: Callable[[str], bool]) -> str:
        """List the tensors that are not used; scales belong to their weights.

        Args:
            used: names of those that are.
            ignored: tells which unused ones to leave out.

        Returns:
            Their names for a message; empty if there are none.
        """

        def is_scale(name: str) -> bool:
            weights = self._layout.weight_names(name)
            return any(one in self for one in weights) or is_scale_of_activations(name)

        return super().unused(used, lambda name: ignored(name) or is_scale(name))

    def tensor(self, name: str) -> NDArray[Any]:
        """Read a tensor: as it is stored, or float32 for one in FP8.

        Raises:
            ModelError: if it cannot be read, or its scale does not belong to it.
        """
        if self.type_of(name) != FP8:
            return super().tensor(name)
        shape = self.shape_of(name)
        scales = self._scales(name)
        values = np.empty(shape, np.float32)
        for start in range(0, shape[0], ROWS_PER_READ):
            stop = min(start + ROWS_PER_READ, shape[0])
            values[start:stop] = self._dequantized(name, scales, start, stop)
        return values

    def rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Read some rows of a matrix, in the type that `tensor` gives.

        Raises:
            ModelError: if they cannot be read, or their scale does not belong to them.
        """
        if self.type_of(name) != FP8:
            return super().rows(name, start, stop)
        return self._dequantized(name, self._scales(name), start, stop)

    def _dequantized(
        self, name: str, scales: NDArray[np.float32], start: int, stop: int
    ) -> NDArray[np.float32]:
        path, stored = self.place_of(name)
        with as_model_error(path):
            if path not in self._fp8_files:
                self._fp8_files[path] = Fp8File(path)
            rows = self._fp8_files[path].rows(stored, start, stop)
        return dequantize(rows, scales, start, self._layout.block_in(*self.shape_of(name)))

    def _scales(self, name: str) -> NDArray[np.float32]:
        """The scales of an FP8 matrix, (blocks of rows, blocks of columns).

        Raises:
            ModelError: if they are missing, or do not belong to the matrix.
        """
        path, stored = self.place_of(name)
        shape = self.shape_of(name)
        if len(shape) != 2:
            raise ModelError(f"{path}: {stored} is FP8, but not a matrix: it is {by(shape)}")
        known = self._layout.scale_names(name)
        found = [scale for scale in known if scale in self]
        if len(found) != 1:
            names = bounded(" or ".join(known))
            count = "both" if found else "no tensor"
            raise ModelError(f"{path}: {stored} is FP8, and there is {count} {names} to scale it")
        return self._read_scales(found[0], shape[0], shape[1])

    def _read_scales(self, name: str, rows: int, columns: int) -> NDArray[np.float32]:
        path, stored = self.place_of(name)
        shape, kind = self.shape_of(name), self.type_of(name)
        grid = self._layout.grid(rows, columns)
        if not self._layout.fits(shape, rows, columns):
            raise ModelError(
                f"{path}: {stored} is {by(shape)}; by the quantization settings the scales of a "
                f"matrix of {rows}×{columns} are {by(grid)}"
            )
        if kind not in FLOAT_TYPES:
            raise ModelError(f"{path}: {stored} is of type {kind}, which is not supported")
        scales: NDArray[np.float32] = super().tensor(name).astype(np.float32).reshape(grid)
        if not np.isfinite(scales).all():
            raise ModelError(f"{path}: {stored} has a scale that is not a finite number")
        return scales

    def _refuse_scale(self, name: str) -> None:
        for scale in self._layout.scale_names(name):
            if scale in self:
                path, stored = self.place_of(scale)
                raise ModelError(
                    f"{path}: {stored} scales a weight that is not FP8 but {self.type_of(name)}"
                )


def dequantize(
    rows: NDArray[np.generic], scales: NDArray[np.float32], first: int, block: tuple[int, int]
) -> NDArray[np.float32]:
    """Multiply some rows of a matrix by the scales of their blocks.

    Args:
        rows: float8 (rows, columns), a part of the matrix.
        scales: float32 (blocks of rows, blocks of columns), of the whole matrix.
        first: index of the first of the rows in the matrix.
        block: rows and columns of a block.

    Returns:
        float32 (rows, columns).
    """
    of_rows = scales[np.arange(first, first + len(rows)) // block[0]]
    of_values = np.repeat(of_rows, block[1], axis=1)[:, : rows.shape[1]]
    values: NDArray[np.float32] = rows.astype(np.float32)
    values *= of_values
    return values
