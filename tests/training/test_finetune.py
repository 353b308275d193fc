"""The examples of fine-tuning on pruned patches, run as they stand on a small model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import Qwen3VLForConditionalGeneration

from ppcli import PrunedCollator
from tests.command import pixelprune
from training.examples import QuestionExamples
from training.network import small_config
from training.samples import TRAIN, document
from training.train import write_checkpoint

pytestmark = pytest.mark.oracle

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that knows nothing, and a few questions with the same answer."""
    folder: Path = tmp_path_factory.mktemp("finetune")
    torch.manual_seed(0)
    write_checkpoint(Qwen3VLForConditionalGeneration(small_config()), folder / "checkpoint")
    lines = []
    for seed in range(6):
        document(TRAIN, seed, (4, 3)).image.save(folder / f"{seed}.png")
        lines.append({"image": f"{seed}.png", "question": "Total?", "answers": ["12.50"]})
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("module", ["finetune_loop", "finetune_trainer"])
def test_it_learns(given: Path, tmp_path: Path, module: str) -> None:
    paths = (given / "checkpoint", given / "questions.jsonl", tmp_path / "out")
    command = [sys.executable, "-m", f"training.{module}", *map(str, paths)]
    options = ("--steps", "20", "--batch", "3")
    done = subprocess.run([*command, *options], capture_output=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr.decode()
    before, after = (loss_of(path, given) for path in (given / "checkpoint", tmp_path / "out"))
    assert after < 0.7 * before
    exported = pixelprune("export", tmp_path / "out", tmp_path / "model")
    assert exported.returncode == 0, exported.stderr.decode()


def loss_of(checkpoint: Path, given: Path) -> float:
    """Over all examples at once."""
    model = Qwen3VLForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    examples = QuestionExamples(given / "questions.jsonl", given / "checkpoint")
    batch = PrunedCollator(examples.images, model.config)([*examples])
    with torch.no_grad():
        return float(model(**batch).loss)
