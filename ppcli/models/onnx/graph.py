"""Writing ONNX graphs whose weights lie in a file beside them."""

from collections.abc import Sequence
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ppcli.errors import ModelError
from ppcli.models.onnx.quantize import BLOCK, quantized

OPSET, IR_VERSION = 20, 10
CONTRIB = "com.microsoft"
_INT8_PRODUCTS = 4  # rounds the activations too: without it int8 takes a hundred times as long
_ALIGNMENT = 4096  # of weights in their file, so that they can be mapped
TYPES = {
    "float32": (TensorProto.FLOAT, np.dtype(np.float32)),
    "float16": (TensorProto.FLOAT16, np.dtype(np.float16)),
    "bfloat16": (TensorProto.BFLOAT16, np.dtype(ml_dtypes.bfloat16)),
}
Shape = Sequence[int | str]


class WeightFile:
    """Appends arrays to a file, aligned; tells where each of them went."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self._file = file
        self._size = 0

    def append(self, array: NDArray[Any]) -> tuple[int, int]:
        """Write an array; gives its offset and length in bytes."""
        gap = -self._size % _ALIGNMENT
        self._file.write(bytes(gap))
        self._file.write(array.reshape(-1).view(np.uint8).data)
        offset = self._size + gap
        self._size = offset + array.nbytes
        return offset, array.nbytes


class GraphBuilder:
    """An ONNX graph in the making.

    Operators are added in the order they are computed. A tensor is the name of a value.

    Args of the constructor:
        name: of the graph.
        dtype: of weights and activations: float32, float16 or bfloat16.
        weights: where the weights go.
        bits: of the matrices that `linear_of` multiplies by; None leaves them as they are.
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
        """Declare an output that gives a value."""
        self._nodes.append(helper.make_node("Identity", [value], [name], name=name))
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def named_output(self, name: str, kind: int, shape: Shape) -> str:
        """Declare an output that a node will write to directly."""
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def weight(self, name: str, array: NDArray[Any]) -> str:
        """A weight, converted to the graph's type, in the file of weights.

        Raises:
            ModelError: when float16 is too narrow for it.
        """
        with np.errstate(over="ignore"):
            own = np.ascontiguousarray(array, dtype=self._numpy_type).reshape(array.shape)
        if own.dtype == np.float16 and (np.isinf(own) & np.isfinite(array)).any():
            raise ModelError(
                f"{name} holds numbers that are too large for float16; "
                "export with --dtype bfloat16 or float32"
            )
        return self._external(name, own, self.type)

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
        """A small constant within the graph, of its own type."""
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
            outputs: how many, or their names; one that is empty is not computed.

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
        """Add an operator with one output, and give that."""
        return self.add(kind, *inputs, domain=domain, **attributes)[0]

    def cast(self, value: str, kind: int) -> str:
        """The value in another type."""
        return self.op("Cast", value, to=kind)

    def to_own_type(self, value: str) -> str:
        """A float32 value in the type of the graph."""
        return value if self.type == TensorProto.FLOAT else self.cast(value, self.type)

    def to_float(self, value: str) -> str:
        """A value of the graph's type in float32."""
        return value if self.type == TensorProto.FLOAT else self.cast(value, TensorProto.FLOAT)

    def linear_of(self, value: str, name: str, array: NDArray[Any], bias: str | None = None) -> str:
        """As `linear`, with a matrix that is rounded to a few bits if the graph is to have that."""
        if self.bits is None:
            return self.linear(value, self.weight(name, array), bias)
        levels, scales = quantized(array.astype(np.float32), self.bits)
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
        """x·Wᵀ + b of a matrix x, with W as checkpoints store it: (outputs, inputs)."""
        inputs = (value, weight) if bias is None else (value, weight, bias)
        return self.op("Gemm", *inputs, transB=1)

    def reshape(self, value: str, *shape: int) -> str:
        """Another shape; 0 keeps a dimension, −1 is what is left."""
        return self.op("Reshape", value, self.integers(*shape))

    def model(self) -> onnx.ModelProto:
        """The finished model; its weights are named by the file that they lie in."""
        graph = helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, list(self._initializers.values())
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="pixelprune"
        )
