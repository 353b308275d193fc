"""The formulas against what the exported graphs hold, node by node."""

from pathlib import Path

import pytest

from ppcli.models.families.family_registry import read_config
from ppcli.models.onnx.export import Export
from tests.models.families.graph_operations import counted
from tests.models.families.qwen3_5.tiny_qwen3_5 import FULL, LINEAR, TinyQwen35
from tests.models.tiny_checkpoint import write_checkpoint

SHAPES = [TinyQwen35(), TinyQwen35(tied=False, types=(LINEAR, FULL, LINEAR))]


@pytest.mark.parametrize("tiny", SHAPES)
def test_as_many_as_in_the_graphs(tiny: TinyQwen35, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint", tiny)
    Export(str(checkpoint), "float32", "a test").write(str(tmp_path / "model"))
    config = read_config(str(checkpoint))
    for patches in (4, 40):
        found = counted(tmp_path / "model" / "vision.onnx", {"N": patches})
        assert config.vision_operations(patches) == found
    state = 6 * tiny.value_heads * tiny.key_size * tiny.value_size  # read twice, written once
    for tokens in (1, 33):
        sizes = {"B": 1, "S": tokens, "V": 1, "length": 64}
        found = counted(tmp_path / "model" / "decoder.onnx", sizes)
        found += tokens * tiny.types.count(LINEAR) * state
        assert config.decoder_operations(tokens) == found
