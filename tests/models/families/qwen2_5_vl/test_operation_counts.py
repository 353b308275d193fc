"""The formulas against what the exported graphs hold, node by node."""

from pathlib import Path

import numpy as np
import pytest

from ppcli.models.families.family_registry import published_config, read_config
from ppcli.models.onnx.export import Export
from tests.models.families.graph_operations import counted
from tests.models.families.qwen2_5_vl.tiny_qwen25 import TinyQwen25
from tests.models.tiny_checkpoint import write_checkpoint

SHAPES = [
    TinyQwen25(),
    TinyQwen25(tied=False, full_attention=(), layers=1),
    TinyQwen25(window_size=28, full_attention=(0, 1, 3)),
]


@pytest.mark.parametrize("tiny", SHAPES)
def test_as_many_as_in_the_graphs(tiny: TinyQwen25, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint", tiny)
    Export(str(checkpoint), "float32", "a test").write(str(tmp_path / "model"))
    config = read_config(str(checkpoint))
    for grid in ((1, 1), (4, 6)):  # in the second all windows are whole
        keep = np.ones(grid, dtype=bool)
        patches = 4 * keep.size
        given = config.vision_inputs(keep)
        found = counted(tmp_path / "model" / "vision.onnx", {"N": patches}, given)
        assert config.vision_operations(patches) == found
    for tokens in (1, 33):
        sizes = {"B": 1, "S": tokens, "V": 1, "length": 64}
        found = counted(tmp_path / "model" / "decoder.onnx", sizes)
        assert config.decoder_operations(tokens) == found


def test_windows_that_are_not_whole_are_hardly_counted_too_high(tmp_path: Path) -> None:
    """As documented: the lower bound is that no patch attends to another one within windows."""
    config = published_config("qwen2.5-vl-7b")
    patches, hidden, windowed = 4000, 1280, 28
    counted_for_windows = 4 * hidden * patches * 64 * windowed
    assert counted_for_windows < 0.01 * config.vision_operations(patches)
