"""What a model is said to spend, against its exported graphs."""

from pathlib import Path

import onnx
import pytest

from ppcli.errors import ModelError, UsageError
from ppcli.models.costs import NamedModel
from ppcli.models.onnx.directory import SMALL_MODEL
from ppcli.models.onnx.export import Export
from tests.models.families.qwen3_vl.test_operation_counts import SHAPES, counted
from tests.models.tiny_checkpoint import Tiny, write_checkpoint


def kv_numbers(decoder: Path) -> int:
    """Numbers that the graph keeps of a token: those of its inputs of past keys and values."""
    graph = onnx.load(decoder, load_external_data=False).graph
    past = [one for one in graph.input if one.name.startswith("past")]
    assert past
    shapes = [[axis.dim_value for axis in one.type.tensor_type.shape.dim] for one in past]
    return sum(heads * size for _, heads, _, size in shapes)


@pytest.mark.parametrize("tiny", SHAPES)
def test_costs_are_those_of_the_graphs(tiny: Tiny, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint", tiny)
    Export(str(checkpoint), "float32", "a test").write(str(tmp_path / "model"))
    model = NamedModel.of(str(tmp_path / "model"))
    for tokens in (1, 17):
        costs = model.costs(tokens)
        vision, decoder = (tmp_path / "model" / f"{name}.onnx" for name in ("vision", "decoder"))
        sizes = {"B": 1, "S": tokens, "V": 1, "length": 64}
        assert costs.vision_flops == pytest.approx(counted(vision, {"N": 4 * tokens}), rel=0.02)
        assert costs.prefill_flops == pytest.approx(counted(decoder, sizes), rel=0.02)
        assert costs.kv_bytes == 2 * tokens * kv_numbers(decoder)


def test_named_models() -> None:
    """2B parameters take some 4 billion operations a token, and keys and values of 28 layers."""
    model = NamedModel.of("qwen3-vl-2b")
    one, many = model.costs(1000), model.costs(2000)
    assert 2.5e12 < one.prefill_flops < 4.5e12
    assert one.kv_bytes == 2 * 28 * 8 * 128 * 2 * 1000
    assert 2 < many.prefill_flops / one.prefill_flops < 2.2
    assert many.vision_flops > 2.1 * one.vision_flops
    assert NamedModel.of(SMALL_MODEL).tile == 32


def test_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="qwen3-vl-8b"):
        NamedModel.of("qwen3-vl-9b")
    with pytest.raises(ModelError, match=r"config\.json"):
        NamedModel.of(str(tmp_path))
