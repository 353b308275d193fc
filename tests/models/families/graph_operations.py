"""Counts the operations that an exported graph holds, node by node."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

Given = Mapping[str, np.ndarray]


def counted(path: Path, sizes: dict[str, int], given: Given | None = None) -> int:
    """Operations of the Gemm and attention nodes of a graph; linear attention is left out.

    Args:
        sizes: of its free dimensions.
        given: inputs by name; the others are made up.
    """
    model = onnx.load(path, load_external_data=False)
    weights = {one.name: list(one.dims) for one in model.graph.initializer}
    gemms = [node for node in model.graph.node if node.op_type == "Gemm"]
    kinds = ("GroupQueryAttention", "MultiHeadAttention")
    attention = [node for node in model.graph.node if node.op_type in kinds]
    wanted = {name for node in (*gemms, *attention) for name in (node.input[0], node.output[0])}
    known = {one.name for one in (*model.graph.input, *model.graph.output)}
    for name in sorted(wanted - known):
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    big = path.with_name("with-values.onnx")
    onnx.save(model, big)
    session = ort.InferenceSession(big, providers=["CPUExecutionProvider"])
    inputs = {one.name: _input(one, sizes) for one in session.get_inputs()} | dict(given or {})
    return _total(session, inputs, gemms, attention, weights)


def _total(
    session: ort.InferenceSession,
    inputs: Given,
    gemms: list[Any],
    attention: list[Any],
    weights: dict[str, list[int]],
) -> int:
    names = [one.name for one in session.get_outputs()]
    shapes = {
        name: value.shape for name, value in zip(names, session.run(names, inputs), strict=True)
    }
    total = 0
    for node in gemms:
        rows = shapes[node.output[0]][0]
        outputs, columns = weights[node.input[1]]
        total += 2 * rows * outputs * columns
    for node in attention:
        rows, length, channels = shapes[node.output[0]]
        causal = node.op_type == "GroupQueryAttention"
        pairs = length * (length + 1) // 2 if causal else length * length
        total += 4 * rows * pairs * channels
    return total


def _input(one: Any, sizes: dict[str, int]) -> np.ndarray:
    shape = [sizes[size] if isinstance(size, str) else size for size in one.shape]
    if "float" in one.type:
        return np.zeros(shape, dtype=np.float32)
    if one.name == "visual_idx":
        return np.arange(shape[0], dtype=np.int64)
    if one.name in ("seqlens_k", "total_seq_len"):
        length = sizes["S"] - (one.name == "seqlens_k")
        return np.full(shape, length, dtype=np.int32)
    return np.zeros(shape, dtype=np.int64)
