"""The formulas against what the exported graphs hold, node by node."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from ppcli.models.families.family_registry import parse_config, read_config
from ppcli.models.onnx.export import Export
from tests.models.tiny_checkpoint import Tiny, write_checkpoint

SHAPES = [Tiny(), Tiny(tied=False, deepstack=(1,), layers=3), Tiny(layers=2, deepstack=(0, 1, 2))]


def counted(path: Path, sizes: dict[str, int]) -> int:
    """Operations of the Gemm and attention nodes of a graph, its free dimensions given."""
    model = onnx.load(path, load_external_data=False)
    weights = {one.name: list(one.dims) for one in model.graph.initializer}
    gemms = [node for node in model.graph.node if node.op_type == "Gemm"]
    attention = [node for node in model.graph.node if "Attention" in node.op_type]
    wanted = {name for node in (*gemms, *attention) for name in (node.input[0], node.output[0])}
    known = {one.name for one in (*model.graph.input, *model.graph.output)}
    for name in sorted(wanted - known):
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    big = path.with_name("with-values.onnx")
    onnx.save(model, big)
    session = ort.InferenceSession(big, providers=["CPUExecutionProvider"])
    return _total(session, gemms, attention, weights, sizes)


def _total(session, gemms, attention, weights, sizes) -> int:
    given = {one.name: _input(one, sizes) for one in session.get_inputs()}
    names = [one.name for one in session.get_outputs()]
    shapes = {
        name: value.shape for name, value in zip(names, session.run(names, given), strict=True)
    }
    total = 0
    for node in gemms:
        rows = shapes[node.output[0]][0]
        outputs, inputs = weights[node.input[1]]
        total += 2 * rows * outputs * inputs
    for node in attention:
        _, length, channels = shapes[node.output[0]]
        causal = node.op_type == "GroupQueryAttention"
        pairs = length * (length + 1) // 2 if causal else length * length
        total += 4 * pairs * channels
    return total


def _input(one, sizes):
    shape = [sizes[size] if isinstance(size, str) else size for size in one.shape]
    if one.name == "interp_w" or "float" in one.type:
        return np.zeros(shape, dtype=np.float32)
    if one.name == "visual_idx":
        return np.arange(shape[0], dtype=np.int64)
    if one.name in ("seqlens_k", "total_seq_len"):
        length = sizes["S"] - (one.name == "seqlens_k")
        return np.full(shape, length, dtype=np.int32)
    return np.zeros(shape, dtype=np.int64)


@pytest.mark.parametrize("tiny", SHAPES)
def test_as_many_as_in_the_graphs(tiny: Tiny, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint", tiny)
    Export(str(checkpoint), "float32", "a test").write(str(tmp_path / "model"))
    config = read_config(str(checkpoint))
    for patches in (4, 40):
        found = counted(tmp_path / "model" / "vision.onnx", {"N": patches})
        assert config.vision_operations(patches) == found
    for tokens in (1, 33):
        sizes = {"B": 1, "S": tokens, "V": 1, "length": 64}
        found = counted(tmp_path / "model" / "decoder.onnx", sizes)
        assert config.decoder_operations(tokens) == found


def test_past_tokens_are_attended_to() -> None:
    config = parse_config(Tiny().config())
    whole = config.decoder_operations(20)
    parts = config.decoder_operations(12) + config.decoder_operations(8, past=12)
    text = config.text
    head = 2 * text.hidden_size * text.vocab_size
    after = 2 * (text.num_heads * text.head_size + 3 * text.intermediate_size) * text.hidden_size
    assert parts - whole == head + after  # the logits of the first part, and what leads to them
