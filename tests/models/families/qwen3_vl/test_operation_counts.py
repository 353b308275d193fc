"""The formulas against what the exported graphs hold, node by node."""

from pathlib import Path

import pytest

from ppcli.models.families.family_registry import parse_config, read_config
from ppcli.models.onnx.export import Export
from tests.models.families.graph_operations import counted
from tests.models.tiny_checkpoint import Tiny, write_checkpoint

SHAPES = [Tiny(), Tiny(tied=False, deepstack=(1,), layers=3), Tiny(layers=2, deepstack=(0, 1, 2))]


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
