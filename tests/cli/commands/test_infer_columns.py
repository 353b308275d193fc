"""`infer` with another name for the column of the answers."""

import csv
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cli.commands.answers import PROMPT, infer, lines, without_times
from tests.command import pixelprune


def renamed(row: dict) -> dict:
    return {"markdown" if name == "answer" else name: value for name, value in row.items()}


def test_answers_are_written_under_another_name(folder: Path, model: Path, tmp_path: Path) -> None:
    run = ("--model", model, *PROMPT, "-q")
    usual = without_times(lines(infer(folder, *run, code=3).stdout))
    expected = [renamed(row) for row in usual]
    run += ("--answer-column", "markdown")
    assert without_times(lines(infer(folder, *run, code=3).stdout)) == expected
    for name in ("a.jsonl", "a.csv", "a.parquet", "folder"):
        infer(folder, *run, "-o", tmp_path / name, code=3)
    assert without_times(lines((tmp_path / "a.jsonl").read_bytes())) == expected
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        assert [row["markdown"] for row in csv.DictReader(file)] == [
            row["answer"] or "" for row in usual
        ]
    for path in (tmp_path / "a.parquet", tmp_path / "folder" / "answers" / "part-00000.parquet"):
        table = pq.read_table(path)
        assert table.column_names == list(renamed(lines((tmp_path / "a.jsonl").read_bytes())[0]))
        assert without_times(table.to_pylist()) == expected
    assert pixelprune("verify", tmp_path / "folder").returncode == 0
    assert pixelprune("verify", tmp_path / "a.parquet").returncode == 0


def test_the_name_belongs_to_the_configuration(folder: Path, model: Path, tmp_path: Path) -> None:
    run = (folder / "a.png", "--model", model, *PROMPT, "-o", tmp_path / "out")
    named = (*run, "--answer-column", "markdown")
    infer(*named)
    assert "done by an earlier run" in infer(*named).stderr.decode()
    done = infer(*run, code=5)
    assert b'answer_column: "markdown", now not set' in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--answer-column", "page"), "'page', which is the name of another column"),
        (("--answer-column", ""), "which is empty"),
        (("--answer-column", "md", "--format", "openai"), "--format openai has no columns"),
    ],
)
def test_names_that_cannot_be_are_refused(folder: Path, model: Path, options, words: str) -> None:
    done = infer(folder, "--model", model, *PROMPT, *options, code=2)
    assert words in " ".join(done.stderr.decode().replace("│", " ").split())
