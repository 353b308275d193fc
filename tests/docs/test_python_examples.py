"""The Python examples give what the text beside them says."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ppcli.models.text.chat_tokenizer import ChatTokenizer
from tests.command import pixelprune
from tests.docs.pages import DOCS, ROOT, blocks
from tests.models.tiny_checkpoint import Tiny, write_checkpoint


def example(page: str, containing: str) -> str:
    """The one Python block of a page that contains a text."""
    [code] = [
        block.code
        for block in blocks(DOCS / "tasks" / page)
        if block.language == "python" and containing in block.code
    ]
    return code


def run(code: str) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    exec(code, scope)
    return scope


@pytest.mark.oracle
def test_the_example_with_transformers_answers_as_infer_does(tmp_path: Path, monkeypatch) -> None:
    checkpoint = write_checkpoint(tmp_path / "Qwen3-VL-2B-Instruct", Tiny(seed=3))
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "sample_data" / "invoice.png", tmp_path)
    scope = run(example("python.md", "DynamicCache"))
    assert not scope["given"].keeps[0].all()
    assert pixelprune("export", checkpoint, "model").returncode == 0
    options = ("--prompt", "What is the total?", "--max-new-tokens", "32", "--device", "cpu")
    done = pixelprune("infer", "invoice.png", "--model", "model", *options)
    answer = json.loads(done.stdout)
    assert answer["answer_tokens"] == len(scope["answer"]) > 1
    assert answer["answer"] == ChatTokenizer(str(checkpoint)).decode(scope["answer"])


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:'pin_memory' argument")
def test_the_example_of_training_learns_on_pruned_patches(tmp_path: Path, monkeypatch) -> None:
    write_checkpoint(tmp_path / "Qwen3-VL-2B-Instruct", Tiny(seed=3))
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "sample_data" / "invoice.png", tmp_path)
    scope = run(example("train.md", "PrunedCollator"))
    [given] = scope["examples"]
    batch = scope["collator"]([given])
    assert len(batch["pixel_values"]) < 0.8 * len(given["pixel_values"])
    history = scope["trainer"].state.log_history
    assert scope["trainer"].state.global_step == 10
    assert np.isfinite(history[-1]["train_loss"])
    import torch

    with torch.no_grad():
        assert scope["model"](**batch).loss < history[-1]["train_loss"]


def test_a_dataset_is_read_alike_with_and_without_pixelprune(tmp_path: Path, monkeypatch) -> None:
    assert pixelprune("analyze", ROOT / "sample_data", "-o", tmp_path / "out").returncode == 0
    monkeypatch.chdir(tmp_path)
    stored = run(example("python.md", "read_patch_sets"))["stored"]
    without = run(example("python.md", "pa.decompress"))
    assert (stored.patch_set.tiles == without["tiles"]).all()
    assert (stored.patch_set.keep == without["keep"]).all()


def test_the_example_of_masks_gives_the_shapes_that_it_names() -> None:
    scope = run(example("python.md", "keep_mask(raster"))
    mask = scope["keep_mask"](scope["raster"], tile=32)
    assert mask.tolist() == [[True, False, False], [False, False, False]]
    assert scope["patch_set"].reconstruct().shape == (64, 96, 3)
