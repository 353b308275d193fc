"""Checkpoints of Qwen3.5 in the wild, against transformers on the same files."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import Qwen3_5ForConditionalGeneration

from ppcli.errors import ModelError
from ppcli.models.families.family_registry import PRESETS
from ppcli.models.model_choices import Head
from ppcli.models.onnx.export import Export
from tests.models.families.qwen3_5.tiny_qwen3_5 import FULL, LINEAR, TinyQwen35
from tests.models.parity import assert_equal, difference, images_of, laid_out, opened, our_answer
from tests.models.random_images import ONE, patches
from tests.models.reference import Answer, pruned_answer
from tests.models.tiny_checkpoint import write_checkpoint, write_json

pytestmark = pytest.mark.oracle

TINY = TinyQwen35(tied=False, types=(LINEAR, FULL), depth=2)
IMAGES = images_of(TINY, [(5, 4)], 0.6)
EMBEDDING, HEAD = "model.language_model.embed_tokens.weight", "lm_head.weight"
STEPS = 8
Weights = dict[str, np.ndarray]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "checkpoint", TINY)


def ours(checkpoint: Path, out: Path, head: Head | None = None) -> Answer:
    runner = opened(checkpoint, out, head)
    return our_answer(runner, laid_out(ONE, IMAGES), patches(IMAGES, TINY), STEPS)


def theirs(checkpoint: Path) -> Answer:
    model = Qwen3_5ForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    return pruned_answer(model.eval(), ONE, IMAGES, STEPS)


def changed(checkpoint: Path, change: Callable[[Weights], Weights]) -> Path:
    file = checkpoint / "model.safetensors"
    save_file(change(load_file(file)), file, {"format": "pt"})
    return checkpoint


def test_what_transformers_saves(tmp_path: Path, checkpoint: Path) -> None:
    """Its own file and its own spelling of the settings."""
    model = Qwen3_5ForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    model.save_pretrained(tmp_path / "saved")
    for path in checkpoint.iterdir():
        if not (tmp_path / "saved" / path.name).exists():
            (tmp_path / "saved" / path.name).write_bytes(path.read_bytes())
    assert_equal(ours(tmp_path / "saved", tmp_path / "out"), theirs(checkpoint))


def test_the_head_that_guesses_further_tokens_is_passed_over(
    checkpoint: Path, tmp_path: Path
) -> None:
    def with_mtp(weights: Weights) -> Weights:
        layer = {
            name.replace("model.language_model.layers.1", "mtp.layers.0"): weight
            for name, weight in weights.items()
            if ".layers.1." in name and "language" in name
        }
        return weights | layer | {"mtp.fc.weight": np.ones((64, 128), np.float32)}

    changed(checkpoint, with_mtp)
    config = json.loads((checkpoint / "config.json").read_text())
    config["text_config"] |= {"mtp_num_hidden_layers": 1, "mtp_use_dedicated_embeddings": False}
    write_json(checkpoint / "config.json", config)
    # its tiny tokenizer splits text in its own way, which is told; nothing else is
    (said,) = Export(str(checkpoint), "float32", "a test").warnings
    assert said.startswith("tokenizer.json splits text differently")
    assert_equal(ours(checkpoint, tmp_path / "out"), theirs(checkpoint))


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.module."])
def test_names_of_wrappers(checkpoint: Path, tmp_path: Path, prefix: str) -> None:
    expected = theirs(checkpoint)
    changed(checkpoint, lambda weights: {f"{prefix}{name}": one for name, one in weights.items()})
    assert_equal(ours(checkpoint, tmp_path / "out"), expected)


def test_a_head_that_contradicts_the_settings(checkpoint: Path, tmp_path: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    config["text_config"]["tie_word_embeddings"] = True
    write_json(checkpoint / "config.json", config | {"tie_word_embeddings": True})
    with pytest.raises(ModelError, match="--head own"):
        Export(str(checkpoint), "float32", "a test")
    own = ours(checkpoint, tmp_path / "own", Head.OWN)
    tied = ours(checkpoint, tmp_path / "tied", Head.TIED)
    assert difference(own, tied) > 0.01


def test_the_language_model_alone_is_refused(checkpoint: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    for name in ("Qwen3_5ForCausalLM", "Qwen3_5ForSequenceClassification"):
        write_json(checkpoint / "config.json", config | {"architectures": [name]})
        with pytest.raises(ModelError, match=f"{name} is not supported"):
            Export(str(checkpoint), "float32", "a test")


def test_a_tensor_of_another_shape_is_named(checkpoint: Path) -> None:
    name = "model.language_model.layers.0.linear_attn.conv1d.weight"

    def shorter(weights: Weights) -> Weights:
        return weights | {name: np.ascontiguousarray(weights[name][:, :, 1:])}

    with pytest.raises(ModelError, match=r"conv1d\.weight \(it is \d+×1×3, expected \d+×1×4\)"):
        Export(str(changed(checkpoint, shorter)), "float32", "a test")


def test_images_are_prepared_as_those_of_qwen3_vl() -> None:
    assert PRESETS["qwen3.5"] == PRESETS["qwen3-vl"]
