"""Builds an ONNX graph whose weights are stored in a file beside it."""

from collections.abc import Sequence
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ppcli.errors import ModelError
from ppcli.models.graphs.block_quantization import BLOCK, quantize
from ppcli.models.graphs.cache_tensor import CacheTensor

OPSET, IR_VERSION = 20, 10
CONTRIB = "com.microsoft"
_INT8_PRODUCTS = 4  # also rounds the activations; without it int8 is a hundred times slower
_ALIGNMENT = 4096  # of weights in their file, so that they can be memory-mapped
TYPES = {
    "float32": (TensorProto.FLOAT, np.dtype(np.float32)),
    "float16": (TensorProto.FLOAT16, np.dtype(np.float16)),
    "bfloat16": (TensorProto.BFLOAT16, np.dtype(ml_dtypes.bfloat16)),
}
Shape = Sequence[int | str]


class WeightFile:
    """Appends arrays to a file, each aligned to a page.

    Args of the constructor:
        file: open for writing.
        name: of the file, as the graph refers to it.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self._file = file
        self._size = 0

    def append(self, array: NDArray[Any]) -> tuple[int, int]:
        """Write an array; return its offset and length in bytes."""
        gap = -self._size % _ALIGNMENT
        self._file.write(bytes(gap))
        self._file.write(array.reshape(-1).view(np.uint8).data)
        offset = self._size + gap
        self._size = offset + array.nbytes
        return offset, array.nbytes


class GraphBuilder:
    """Collects the operators of an ONNX graph in the order of their computation.

    A value is represented by its name.

    Args of the constructor:
        name: of the graph.
        dtype: of weights and activations: float32, float16 or bfloat16.
        weights: file for the weights.
        bits: 4 or 8 to quantize the matrices of `quantizable_linear`; None to keep them.
    """

    def __init__(self, name: str, dtype: str, weights: WeightFile, bits: int | None = None) -> None:
        self.bits = bits
        self.type, self._numpy_type = TYPES[dtype]
        self._name = name
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._initializers: dict[str, TensorProto] = {}

    def input(self, name: str, kind: int, shape: Shape) -> str:
        """Declare an input."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, value: str, name: str, kind: int, shape: Shape) -> None:
        """Declare an output with the given value."""
        self._nodes.append(helper.make_node("Identity", [value], [name], name=name))
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def cache(self, tensor: CacheTensor) -> tuple[str, str]:
        """Declare the input `past_NAME` and the output `present_NAME` of a cache tensor.

        Returns:
            Both names. A node must write to the output directly, because it is bound to the
            memory of the input.
        """
        kind = self.type if tensor.dtype is None else TYPES[tensor.dtype][0]
        shape = ["B", *("length" if size is None else size for size in tensor.shape)]
        names = tensor.past, tensor.present
        for name, declared in zip(names, (self._inputs, self._outputs), strict=True):
            declared.append(helper.make_tensor_value_info(name, kind, shape))
        return names

    def weight(self, name: str, array: NDArray[Any]) -> str:
        """Store a weight in the weight file, converted to the type of the graph.

        Raises:
            ModelError: if it has a value that float16 cannot represent.
        """
        with np.errstate(over="ignore"):
            converted = np.ascontiguousarray(array, dtype=self._numpy_type).reshape(array.shape)
        if converted.dtype == np.float16 and (np.isinf(converted) & np.isfinite(array)).any():
            raise ModelError(
                f"{name} has values too large for float16; export with --dtype bfloat16 or float32"
            )
        return self._external(name, converted, self.type)

    def float_weight(self, name: str, array: NDArray[Any]) -> str:
        """Store a weight in the weight file in float32, whatever the type of the graph."""
        return self._external(name, np.ascontiguousarray(array, np.float32), TensorProto.FLOAT)

    def _external(self, name: str, array: NDArray[Any], kind: int) -> str:
        offset, length = self._weights.append(array)
        tensor = TensorProto(name=name, data_type=kind, dims=array.shape)
        tensor.data_location = TensorProto.EXTERNAL
        where = {"location": self._weights.name, "offset": offset, "length": length}
        for key, value in where.items():
            tensor.external_data.add(key=key, value=str(value))
        self._initializers[name] = tensor
        return name

    def constant(self, array: NDArray[Any]) -> str:
        """A small constant, stored within the graph in its own type."""
        name = f"constant_{array.dtype}_{array.shape}_{array.tobytes().hex()}"
        if len(name) > 60:
            name = f"constant_{len(self._initializers)}"
        self._initializers.setdefault(name, numpy_helper.from_array(array, name))
        return name

    def integers(self, *values: int) -> str:
        """A constant list of int64."""
        return self.constant(np.array(values, dtype=np.int64))

    def add(  # noqa: D417
        self,
        kind: str,
        *inputs: str,
        domain: str = "",
        outputs: Sequence[str] | int = 1,
        **attributes: Any,  # noqa: ANN401
    ) -> list[str]:
        """Add an operator.

        Args:
            kind: its ONNX name.
            domain: of the operator.
            outputs: how many, or their names; an empty name skips an optional output.

        Returns:
            The names of its outputs.
        """
        label = f"{kind}_{len(self._nodes)}"
        if isinstance(outputs, int):
            outputs = [f"{label}_{number}" for number in range(outputs)]
        node = helper.make_node(kind, inputs, outputs, name=label, domain=domain, **attributes)
        self._nodes.append(node)
        return list(outputs)

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:  # noqa: ANN401
        """Add an operator with one output, and return its name."""
        return self.add(kind, *inputs, domain=domain, **attributes)[0]

    def cast(self, value: str, kind: int) -> str:
        """The value in another type."""
        return self.op("Cast", value, to=kind)

    def to_graph_type(self, value: str) -> str:
        """A float32 value in the type of the graph."""
        return value if self.type == TensorProto.FLOAT else self.cast(value, self.type)

    def to_float(self, value: str) -> str:
        """A value of the type of the graph in float32."""
        return value if self.type == TensorProto.FLOAT else self.cast(value, TensorProto.FLOAT)

    def quantizable_linear(
        self, value: str, name: str, array: NDArray[Any], bias: str | None = None
    ) -> str:
        """Multiply like `linear`, by a matrix that is quantized if the graph has `bits`."""
        if self.bits is None:
            return self.linear(value, self.weight(name, array), bias)
        levels, scales = quantize(array.astype(np.float32), self.bits)
        inputs = [
            value,
            self._external(f"{name}.levels", levels, TensorProto.UINT8),
            self.weight(f"{name}.scales", scales.reshape(-1)),
            *(["", "", bias] if bias is not None else []),
        ]
        return self.op(
            "MatMulNBits",
            *inputs,
            domain=CONTRIB,
            N=array.shape[0],
            K=array.shape[1],
            bits=self.bits,
            block_size=BLOCK,
            accuracy_level=_INT8_PRODUCTS,
        )

    def linear(self, value: str, weight: str, bias: str | None = None) -> str:
        """x·Wᵀ + b for a matrix x, with W as checkpoints store it, (outputs, inputs)."""
        inputs = (value, weight) if bias is None else (value, weight, bias)
        return self.op("Gemm", *inputs, transB=1)

    def reshape(self, value: str, *shape: int) -> str:
        """The value in another shape; 0 keeps a dimension, −1 takes the rest."""
        return self.op("Reshape", value, self.integers(*shape))

    def model(self) -> onnx.ModelProto:
        """The finished model; its weights refer to the weight file."""
        graph = helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, list(self._initializers.values())
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="pixelprune"
        )
