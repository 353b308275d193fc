"""Qwen3.5 in the types of the GPU: what is computed in float32 anyway, and with which weights."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

from ppcli.models.model_choices import Weights
from ppcli.models.onnx.export import Export
from tests.models.families.qwen3_5.tiny_qwen3_5 import LINEAR, TinyQwen35
from tests.models.tiny_checkpoint import write_checkpoint

TINY = TinyQwen35()
NORM = "model.language_model.layers.0.input_layernorm.weight"
EXACT = ("LinearAttention", "CausalConvWithState", "GatedRMSNorm")


def written(tmp_path: Path, dtype: str, weights: Weights = Weights.FLOAT) -> Path:
    checkpoint = write_checkpoint(tmp_path / "checkpoint", TINY)
    out = tmp_path / f"{dtype} {weights.value}"
    Export(str(checkpoint), dtype, "a test", weights).write(str(out))
    return out


def logits(folder: Path, tokens: int = 20) -> np.ndarray:
    """After a text, from a decoder on the CPU."""
    session = ort.InferenceSession(folder / "decoder.onnx", providers=["CPUExecutionProvider"])
    given = {
        "input_ids": np.arange(10, 10 + tokens)[None],
        "position_ids": np.tile(np.arange(tokens), (3, 1, 1)),
        "visual_idx": np.empty(0, np.int64),
        "image_embeds": np.empty((0, TINY.hidden), np.float32),
        "seqlens_k": np.array([tokens - 1], np.int32),
        "total_seq_len": np.array(tokens, np.int32),
    }
    for one in session.get_inputs():
        if one.name.startswith("past_"):
            shape = [{"B": 1, "length": tokens}.get(size, size) for size in one.shape]
            kind = np.float16 if one.type == "tensor(float16)" else np.float32
            given[one.name] = np.zeros(shape, kind)
    return session.run(["logits"], given)[0]


def test_float16_on_the_cpu_stays_near(tmp_path: Path) -> None:
    exact, half = (logits(written(tmp_path, dtype)) for dtype in ("float32", "float16"))
    assert np.abs(half - exact).max() < 0.01 * np.abs(exact).max()
    assert not np.array_equal(half, exact)


def test_rounded_matrices_stay_near(tmp_path: Path) -> None:
    exact, eight, four = (
        logits(written(tmp_path, "float32", one))
        for one in (Weights.FLOAT, Weights.INT8, Weights.INT4)
    )
    moved, moved_far = (np.sqrt(np.mean((one - exact) ** 2)) for one in (eight, four))
    assert 0 < moved < 0.1 * np.sqrt(np.mean(exact**2))
    assert 4 * moved < moved_far


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_recurrences_are_in_float32(tmp_path: Path, dtype: str) -> None:
    model = onnx.load(written(tmp_path, dtype) / "decoder.onnx")
    kinds = {one.name: one.type.tensor_type.elem_type for one in model.graph.input}
    states = [name for name in kinds if name.endswith((".recurrent", ".convolution"))]
    assert len(states) == 2 * TINY.types.count(LINEAR)
    assert {kinds[name] for name in states} == {onnx.TensorProto.FLOAT}
    weights = {one.name: one.data_type for one in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in EXACT:
            used = [weights[name] for name in node.input if name in weights]
            assert set(used) <= {onnx.TensorProto.FLOAT}


def test_types_of_a_graph_in_bfloat16_agree(tmp_path: Path) -> None:
    """onnxruntime checks them before it looks for kernels, of which a CPU has none."""
    with pytest.raises(NoKernel):
        ort.InferenceSession(
            written(tmp_path, "bfloat16") / "decoder.onnx", providers=["CPUExecutionProvider"]
        )


@pytest.mark.parametrize(("dtype", "exact"), [("bfloat16", True), ("float16", False)])
def test_a_norm_is_not_rounded_to_bfloat16(tmp_path: Path, dtype: str, exact: bool) -> None:
    """1 + w would lose a small w."""
    model = onnx.load(written(tmp_path, dtype) / "decoder.onnx")
    (found,) = (one for one in model.graph.initializer if one.name == NORM)
    stored = onnx.numpy_helper.to_array(found).astype(np.float32)
    wanted = 1 + TINY.weights()[NORM]
    assert np.array_equal(stored, wanted) is exact
    assert np.abs(stored - wanted).max() < 2**-10
