"""A flag that ties the head to the embedding, and weights that say otherwise."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import Qwen3VLForConditionalGeneration

from ppcli.errors import ModelError
from ppcli.models.model_choices import Device, Head
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.onnx.execution_device import ExecutionDevice
from ppcli.models.onnx.export import Export
from ppcli.models.onnx.sessions import open_sessions
from ppcli.models.serving.runner import Runner
from tests.command import pixelprune
from tests.models.parity import NONE, assert_equal, difference, laid_out, our_answer
from tests.models.reference import Answer, pruned_answer
from tests.models.tiny_checkpoint import Tiny, write_checkpoint, write_json

pytestmark = pytest.mark.oracle

TINY = Tiny(layers=2, depth=1, deepstack=(), tied=False, seed=3)
EMBEDDING, HEAD = "model.language_model.embed_tokens.weight", "lm_head.weight"
STEPS = 8
FLAGS = [(True, None), (None, True), (True, True), (False, True), (True, False)]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """With a head of its own."""
    return write_checkpoint(tmp_path / "checkpoint", TINY)


def flagged(checkpoint: Path, top: bool | None, text: bool | None) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    for section, flag in ((config, top), (config["text_config"], text)):
        section.pop("tie_word_embeddings", None)
        if flag is not None:
            section["tie_word_embeddings"] = flag
    write_json(checkpoint / "config.json", config)


def change(checkpoint: Path, **tensors: np.ndarray | None) -> None:
    path = checkpoint / "model.safetensors"
    changed = load_file(path) | {name.replace("__", "."): one for name, one in tensors.items()}
    kept = {name: one for name, one in changed.items() if one is not None}
    save_file(kept, path, metadata={"format": "pt"})


def ours(checkpoint: Path, out: Path, head: Head | None = None) -> Answer:
    Export(str(checkpoint), "float32", "a test", head=head).write(str(out))
    model = ModelDirectory.open(str(out))
    runner = Runner(model, open_sessions(model, ExecutionDevice(Device.CPU)))
    return our_answer(runner, laid_out(NONE, []), [], STEPS)


def theirs(checkpoint: Path) -> Answer:
    model = Qwen3VLForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    return pruned_answer(model.eval(), NONE, [], STEPS)


@pytest.mark.parametrize(("top", "text"), FLAGS)
def test_tied_by_a_flag_and_another_head_in_the_file(checkpoint, tmp_path, top, text) -> None:
    flagged(checkpoint, top, text)
    with pytest.raises(ModelError) as refused:
        ours(checkpoint, tmp_path / "out")
    for word in (EMBEDDING, HEAD, "tie_word_embeddings", "--head own", "--head tied"):
        assert word in str(refused.value)
    own = ours(checkpoint, tmp_path / "own", Head.OWN)
    assert_equal(own, theirs(checkpoint))  # it takes both, if they differ
    tied = ours(checkpoint, tmp_path / "tied", Head.TIED)
    assert difference(own, tied) > 0.1
    change(checkpoint, lm_head__weight=None)
    flagged(checkpoint, True, True)
    assert_equal(tied, theirs(checkpoint))


@pytest.mark.parametrize(("top", "text"), [*FLAGS, (False, None), (False, False), (None, None)])
def test_the_same_head_in_the_file(checkpoint, tmp_path, top, text) -> None:
    embedding = load_file(checkpoint / "model.safetensors")[EMBEDDING]
    change(checkpoint, lm_head__weight=embedding)
    flagged(checkpoint, top, text)
    assert_equal(ours(checkpoint, tmp_path / "out"), theirs(checkpoint))


def test_rows_far_down_are_compared(tmp_path: Path, checkpoint: Path, monkeypatch) -> None:
    monkeypatch.setattr("ppcli.models.checkpoints.checkpoint_weights.ROWS_PER_READ", 100)
    embedding = load_file(checkpoint / "model.safetensors")[EMBEDDING]
    flagged(checkpoint, True, None)
    change(checkpoint, lm_head__weight=embedding)
    ours(checkpoint, tmp_path / "same")
    head = embedding.copy()
    head[-1, -1] += 1
    change(checkpoint, lm_head__weight=head)
    with pytest.raises(ModelError, match="they differ"):
        ours(checkpoint, tmp_path / "other")


def test_halves_are_compared_too(checkpoint: Path, tmp_path: Path) -> None:
    import ml_dtypes

    embedding = load_file(checkpoint / "model.safetensors")[EMBEDDING].astype(ml_dtypes.bfloat16)
    flagged(checkpoint, True, None)
    tensors = {"model__language_model__embed_tokens__weight": embedding}
    change(checkpoint, lm_head__weight=embedding, **tensors)
    ours(checkpoint, tmp_path / "same")
    change(checkpoint, lm_head__weight=embedding * 2, **tensors)
    with pytest.raises(ModelError, match="they differ"):
        ours(checkpoint, tmp_path / "other")


def test_a_head_that_is_nowhere(checkpoint: Path, tmp_path: Path) -> None:
    change(checkpoint, lm_head__weight=None)
    with pytest.raises(ModelError, match=r"has no tensor lm_head\.weight; --head tied"):
        ours(checkpoint, tmp_path / "out")
    tied = ours(checkpoint, tmp_path / "tied", Head.TIED)
    flagged(checkpoint, True, None)
    assert_equal(tied, theirs(checkpoint))
    with pytest.raises(ModelError, match=r"has no tensor lm_head\.weight"):
        ours(checkpoint, tmp_path / "own", Head.OWN)


def test_a_flag_that_is_no_flag(checkpoint: Path, tmp_path: Path) -> None:
    flagged(checkpoint, "false", None)
    with pytest.raises(ModelError, match="tie_word_embeddings must be true or false"):
        ours(checkpoint, tmp_path / "out")


def test_the_option_of_the_command(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint", replace(TINY, layers=1))
    flagged(checkpoint, True, None)
    done = pixelprune("export", checkpoint, tmp_path / "out")
    assert done.returncode == 2
    assert b"--head own" in done.stderr
    assert not (tmp_path / "out").exists()
    done = pixelprune("export", checkpoint, tmp_path / "out", "--head", "own")
    assert done.returncode == 0, done.stderr
