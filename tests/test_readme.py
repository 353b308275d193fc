"""The README says what is true."""

import json
import re
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ppcli.models.text.chat_prompts import Prompter

from ppcli.errors import ErrorCode, ExitCode
from ppcli.store.rows import AnswerRow, PatchRow, ScoreRow, StatsRow
from tests.command import pixelprune
from tests.models.checkpoints import Tiny, write_checkpoint

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def names_in_first_column(title: str) -> list[str]:
    cells = re.findall(r"^\| (.*?) \|", section(title), re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([a-z_0-9]+)`", cell)]


@pytest.mark.parametrize(
    ("title", "row_type"),
    [
        ("Columns of the statistics", StatsRow),
        ("Columns of the patch sets", PatchRow),
        ("Columns of the answers", AnswerRow),
        ("Columns of the scores", ScoreRow),
    ],
)
def test_column_references_are_complete_and_in_order(title: str, row_type: type) -> None:
    assert names_in_first_column(title) == [field.name for field in fields(row_type)]


def test_every_error_code_is_explained() -> None:
    assert names_in_first_column("Error codes")[1:] == [code.value for code in ErrorCode]


def test_every_exit_code_is_explained() -> None:
    codes = re.findall(r"^\| (\d+) \|", section("Exit codes"), re.MULTILINE)
    assert [int(code) for code in codes] == [code.value for code in ExitCode]


def test_the_table_is_that_of_the_samples(tmp_path: Path) -> None:
    done = pixelprune("analyze", ROOT / "sample_data", "-o", tmp_path / "out")
    assert done.returncode == 0
    shown = README.split("```text\n")[1].split("```")[0]
    printed = done.stderr.decode()
    for line in shown.strip().splitlines():
        if line.startswith((" images/s", " bytes of patch", "written", " other files")) or not line:
            continue
        assert re.sub(r"\s+", " ", line.strip()) in re.sub(r"\s+", " ", printed)


def test_the_claim_is_what_eval_shows(tmp_path: Path) -> None:
    """All but the times; one answer may differ where a processor rounds a close call."""
    shown = README.split("```text\n")[2].split("```")[0]
    questions = ROOT / "sample_data" / "questions" / "questions.jsonl"
    out = tmp_path / "out"
    arguments = ("--no-controls", "--device", "cpu", "-o", out)
    done = pixelprune("eval", "--data", questions, *arguments, COLUMNS="100")
    assert done.returncode == 0
    printed = done.stderr.decode()
    for line in shown.strip().splitlines():
        words = line.split()
        if line.startswith((" questions", " image tokens")) or "every token" in line:
            assert words in [one.split() for one in printed.splitlines()], printed
    right = [int(number) for number in re.findall(r"(\d+) \(", shown.split("right answers")[1])]
    found = [int(one) for one in re.findall(r"(\d+) \(", printed.split("right answers")[1])]
    assert len(right) == 2
    assert all(abs(one - other) <= 1 for one, other in zip(right, found, strict=True))


def test_the_picture_is_what_view_draws(tmp_path: Path) -> None:
    [command] = re.findall(r"`pixelprune (view sample_data/\S+ [^`]+)`", README)
    done = pixelprune(*command.split()[:-1], tmp_path / "form.png", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    [shown] = re.findall(r"\]\((docs/\S+\.png)\)", README)
    drawn, in_readme = (
        np.asarray(Image.open(one)) for one in (tmp_path / "form.png", ROOT / shown)
    )
    assert drawn.shape == in_readme.shape
    assert np.array_equal(drawn[:1000], in_readme[:1000])  # letters below depend on FreeType
    assert "418 of 775" in README


def python_examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.oracle
def test_the_example_with_transformers_answers_as_infer_does(tmp_path: Path, monkeypatch) -> None:
    checkpoint = write_checkpoint(tmp_path / "Qwen3-VL-2B-Instruct", Tiny(seed=3))
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "sample_data" / "invoice.png", tmp_path)
    [example] = [one for one in python_examples() if "DynamicCache" in one]
    scope: dict[str, Any] = {}
    exec(example, scope)
    assert not scope["given"].keeps[0].all()
    assert pixelprune("export", checkpoint, "model").returncode == 0
    asked = ("--prompt", "What is the total?", "--max-new-tokens", "32", "--device", "cpu")
    done = pixelprune("infer", "invoice.png", "--model", "model", *asked)
    answer = json.loads(done.stdout)
    assert answer["answer_tokens"] == len(scope["answer"]) > 1
    assert answer["answer"] == Prompter(str(checkpoint)).answer(scope["answer"])


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:'pin_memory' argument")
def test_the_example_of_training_learns_on_pruned_patches(tmp_path: Path, monkeypatch) -> None:
    write_checkpoint(tmp_path / "Qwen3-VL-2B-Instruct", Tiny(seed=3))
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "sample_data" / "invoice.png", tmp_path)
    [example] = [one for one in python_examples() if "PrunedCollator" in one]
    scope: dict[str, Any] = {}
    exec(example, scope)
    [given] = scope["examples"]
    batch = scope["collator"]([given])
    assert len(batch["pixel_values"]) < 0.8 * len(given["pixel_values"])
    history = scope["trainer"].state.log_history
    assert scope["trainer"].state.global_step == 10
    assert np.isfinite(history[-1]["train_loss"])
    import torch

    with torch.no_grad():
        assert scope["model"](**batch).loss < history[-1]["train_loss"]


def test_the_python_examples_run(tmp_path: Path, monkeypatch) -> None:
    assert pixelprune("analyze", ROOT / "sample_data", "-o", tmp_path / "out").returncode == 0
    monkeypatch.chdir(tmp_path)
    examples = [one for one in python_examples() if "import torch" not in one]
    assert len(examples) == 4
    scopes = []
    for example in examples:
        scope: dict[str, object] = {}
        exec(example, scope)
        scopes.append(scope)
    stored, tiles = scopes[1]["stored"], scopes[2]["tiles"]
    assert (stored.patch_set.tiles == tiles).all()
    assert (stored.patch_set.keep == scopes[2]["keep"]).all()


def test_the_sql_examples_run(tmp_path: Path, monkeypatch) -> None:
    import duckdb

    assert pixelprune("analyze", ROOT / "sample_data", "-o", tmp_path / "out").returncode == 0
    monkeypatch.chdir(tmp_path)
    [example] = re.findall(r"```sql\n(.*?)```", README, re.DOTALL)
    top, failures = [duckdb.sql(query).fetchall() for query in example.split(";")[:2]]
    assert len(top) == 10
    assert failures == []


def test_every_command_and_option_that_the_readme_names_exists() -> None:
    help_text = "".join(
        pixelprune(name, "--help", COLUMNS="200").stdout.decode()
        for name in (
            "analyze",
            "infer",
            "export",
            "bench",
            "eval",
            "view",
            "report",
            "reconstruct",
            "verify",
        )
    )
    options = set(re.findall(r"(?<![\w-])(--[a-z0-9][a-z0-9-]+)", README)) - {"--help"}
    assert options
    assert {option for option in options if option not in help_text} == set()
