"""Checkpoints written without torch are those that transformers writes."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from tests.models.families.qwen2_5_vl.tiny_qwen25 import TinyQwen25
from tests.models.reference import transformers_model
from tests.models.tiny_checkpoint import Tiny, write_checkpoint
from tests.models.tiny_model import TinyModel

pytestmark = pytest.mark.oracle

SHAPES = [
    Tiny(),
    Tiny(tied=False, deepstack=(), bias=True),
    Tiny(depth=2, layers=1, deepstack=(1,), side=7, head_size=80, section=(16, 12, 12), seed=3),
    TinyQwen25(),
    TinyQwen25(tied=False, layers=1, full_attention=(0, 3), window_size=112, seed=4),
]


@pytest.mark.parametrize("tiny", SHAPES)
def test_configuration_and_weights_are_those_of_transformers(
    tiny: TinyModel, tmp_path: Path
) -> None:
    ours = write_checkpoint(tmp_path / "ours", tiny)
    transformers_model(tiny).save_pretrained(tmp_path / "theirs")
    configs = [json.loads((tmp_path / of / "config.json").read_text()) for of in ("ours", "theirs")]
    assert configs[0] == configs[1]
    weights = load_file(ours / "model.safetensors")
    expected = load_file(tmp_path / "theirs" / "model.safetensors")
    assert weights.keys() == expected.keys()
    assert all(np.array_equal(weights[name], expected[name]) for name in weights)
    with safe_open(tmp_path / "theirs" / "model.safetensors", "np") as file:
        assert file.metadata() == {"format": "pt"}


def test_shards_hold_the_same_weights(tmp_path: Path) -> None:
    tiny = SHAPES[0]
    write_checkpoint(tmp_path, tiny, shards=3)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    assert len(set(index.values())) == 3
    weights = tiny.weights()
    assert index.keys() == weights.keys()
    for name, file in index.items():
        assert np.array_equal(load_file(tmp_path / file)[name], weights[name])
