"""Answers of `infer` on a terminal."""

import json
import sys
from pathlib import Path

import pytest

from tests.cli.commands.answers import PROMPT, infer, lines, on_a_terminal


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_one_image_is_answered_on_the_terminal(folder: Path, model: Path) -> None:
    command = (folder / "a.png", "--model", model, *PROMPT, "-q")
    (row,) = lines(infer(*command).stdout)
    assert on_a_terminal(*command) == row["answer"].replace("\r\n", "\n") + "\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_several_answers_are_lines_on_the_terminal(folder: Path, model: Path) -> None:
    requests = folder / "r.jsonl"
    asked = (("a.png", "Who\nis it?"), ("gone.png", "Where?"), ("b.jpg", "And?"))
    requests.write_text("\n".join(json.dumps({"image": n, "prompt": p}) for n, p in asked))
    for inputs, names in (
        (
            ("--requests", requests, *PROMPT[2:]),
            ["line-1: Who is it?", "line-2: Where?", "line-3: And?"],
        ),
        ((folder, *PROMPT), ["a.png", "b.jpg", "broken.png", "sub/a.png"]),
    ):
        command = (*inputs, "--model", model, "-q")
        rows = lines(infer(*command, code=3).stdout)
        assert len(rows) == len(names)
        assert on_a_terminal(*command, code=3) == "".join(
            " ".join(f"{name} → {row['answer']}".splitlines()) + "\n"
            for name, row in zip(names, rows, strict=True)
            if row["answer"] is not None
        )
