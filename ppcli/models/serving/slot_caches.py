"""Buffers for the caches of several sequences at once, as the layers of a decoder declare them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort

from ppcli.models.families.base import LayerCache
from ppcli.models.graphs.cache_tensor import CacheTensor
from ppcli.models.graphs.graph_builder import TYPES
from ppcli.models.onnx.execution_device import ExecutionDevice


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A declared tensor, and the type that it has in memory."""

    declared: CacheTensor
    onnx_type: int
    item_bytes: int

    def slot_shape(self, length: int) -> list[int]:
        return self.declared.shape_for(length)

    def slot_bytes(self, length: int) -> int:
        return math.prod(self.slot_shape(length)) * self.item_bytes


class SlotCaches:
    """The cache tensors of all layers, with one slot for each sequence.

    Each tensor has a buffer (slots, …) that the decoder graph updates in place. A step is bound to
    the first slots together, a prefill to its own slot.

    Keys and values need no care: the lengths hide what a sequence has not written. A recurrent
    state does, in two ways. It must be zero at the start of a sequence, so the first chunk of a
    prefill reads zeros instead of the slot. And a step between two chunks would advance the slot
    that is being prefilled, because steps run over all of the first slots; so a prefill keeps its
    states in a spare row behind the slots until its last chunk writes them to the slot. Therefore
    a prefill must be finished before the next one starts.

    Args of the constructor:
        caches: what the layers declare.
        dtype: of the model: float32, float16 or bfloat16.
        device: where the buffers are allocated.

    Attributes:
        slots: number of slots; 0 before the first allocation.
        length: tokens that a slot has room for.
    """

    def __init__(self, caches: Sequence[LayerCache], dtype: str, device: ExecutionDevice) -> None:
        self._tensors = [
            _Tensor(tensor, onnx_type, int(numpy_type.itemsize))
            for cache in caches
            for tensor in cache.tensors
            for onnx_type, numpy_type in [TYPES[tensor.dtype or dtype]]
        ]
        self._where = device.kind.value, device.index
        self._buffers: list[Any] = []
        self._zeros = {
            tensor.declared.name: _zeros(tensor)
            for tensor in self._tensors
            if not tensor.declared.grows
        }
        self._prefilling: int | None = None
        self.slots = 0
        self.length = 0

    def bytes_for(self, slots: int, length: int) -> int:
        """The size of buffers with so many slots of so many tokens."""
        return sum(
            tensor.slot_bytes(length) * (slots if tensor.declared.grows else slots + 1)
            for tensor in self._tensors
        )

    def slots_within(self, available: int, length: int) -> int:
        """How many slots of so many tokens fit into so many bytes; may be 0 or less."""
        spare = self.bytes_for(0, length)
        return (available - spare) // (self.bytes_for(1, length) - spare)

    def free(self) -> None:
        """Release all buffers."""
        self._buffers, self.slots, self.length = [], 0, 0

    def allocate(self, slots: int, length: int) -> None:
        """Replace the buffers; what they held is lost.

        Raises:
            Exception: from onnxruntime, if there is too little memory.
        """
        self.free()
        buffers = []
        for tensor in self._tensors:
            rows = slots if tensor.declared.grows else slots + 1
            shape = [rows, *tensor.slot_shape(length)]
            buffers.append(
                ort.OrtValue.ortvalue_from_shape_and_type(shape, tensor.onnx_type, *self._where)
            )
        self._buffers, self.slots, self.length = buffers, slots, length

    def bind_step(self, binding: Any, count: int) -> None:  # noqa: ANN401
        """Bind the caches of the first `count` slots to a run that feeds each of them a token."""
        for tensor, buffer in zip(self._tensors, self._buffers, strict=True):
            part = self._part(tensor, buffer, 0, count)
            binding.bind_input(tensor.declared.past, *part)
            binding.bind_output(tensor.declared.present, *part)

    def bind_prefill(self, binding: Any, slot: int, starts: bool, ends: bool) -> None:  # noqa: ANN401
        """Bind the caches of a slot to a run that feeds a chunk of its prompt.

        Args:
            binding: of the run.
            slot: of the sequence.
            starts: whether the chunk is the first of the prompt.
            ends: whether it is the last.
        """
        assert starts or self._prefilling == slot, "another prefill was started before"
        self._prefilling = None if ends else slot
        for tensor, buffer in zip(self._tensors, self._buffers, strict=True):
            own = self._part(tensor, buffer, slot, 1)
            if tensor.declared.grows:
                binding.bind_input(tensor.declared.past, *own)
                binding.bind_output(tensor.declared.present, *own)
                continue
            spare = self._part(tensor, buffer, self.slots, 1)
            if starts:
                binding.bind_ortvalue_input(tensor.declared.past, self._zeros[tensor.declared.name])
            else:
                binding.bind_input(tensor.declared.past, *spare)
            binding.bind_output(tensor.declared.present, *(own if ends else spare))

    def _part(self, tensor: _Tensor, buffer: Any, first: int, count: int) -> tuple[Any, ...]:  # noqa: ANN401
        """Device, type, shape and address of some rows of a buffer, as bindings take them."""
        address = buffer.data_ptr() + first * tensor.slot_bytes(self.length)
        shape = [count, *tensor.slot_shape(self.length)]
        return *self._where, tensor.onnx_type, shape, address


def _zeros(tensor: _Tensor) -> Any:  # noqa: ANN401
    """Zeros for one sequence, in the memory of the CPU; a run copies them to its device."""
    kind = np.float32 if tensor.item_bytes == 4 else np.uint16
    zeros = np.zeros([1, *tensor.slot_shape(0)], kind)
    return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(zeros, tensor.onnx_type)
