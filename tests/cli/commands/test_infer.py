"""`infer` as a user runs it, on a tiny model with random weights."""

import csv
import io
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.cli.commands.answers import PROMPT, infer, lines, without_times
from tests.command import pixelprune, pixelprune_process
from tests.conftest import blocks


def test_a_folder_of_images(folder: Path, model: Path) -> None:
    Image.new("RGB", (256, 256)).save(folder / "plain.png")
    done = infer(folder, "--model", model, *PROMPT, code=3)
    rows = lines(done.stdout)
    names = [row["image_id"] for row in rows]
    assert names == ["a.png", "b.jpg", "broken.png", "plain.png", "sub/a.png"]
    assert [row["status"] for row in rows] == ["ok", "ok", "error", "ok", "ok"]
    assert (rows[3]["kept"], rows[3]["tokens"]) == (1, 64)
    assert rows[2]["error_code"] == "truncated"
    assert rows[2]["error_message"].startswith("broken.png: ")
    good = [row for row in rows if row["status"] == "ok"]
    assert all(row["answer_tokens"] == 6 and 0 < row["kept"] <= row["tokens"] for row in good)
    assert len({row["answer"] for row in good}) > 1
    text = done.stderr.decode()
    for words in ("requests", "failed: truncated", "image tokens fed", "prefill", "decode"):
        assert words in text


def test_every_output_has_the_same_rows(folder: Path, model: Path, tmp_path: Path) -> None:
    expected = without_times(lines(infer(folder, "--model", model, *PROMPT, code=3).stdout))
    for name in ("a.jsonl", "a.parquet", "a.csv", "folder"):
        infer(folder, "--model", model, *PROMPT, "-q", "-o", tmp_path / name, code=3)
    assert without_times(lines((tmp_path / "a.jsonl").read_bytes())) == expected
    for path in (tmp_path / "a.parquet", tmp_path / "folder" / "answers" / "part-00000.parquet"):
        assert without_times(pq.read_table(path).to_pylist()) == expected
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        answers = [row["answer"] for row in csv.DictReader(file)]
    assert answers == [row["answer"] or "" for row in expected]
    found = duckdb.sql(
        f"SELECT image_id, answer FROM '{tmp_path}/folder/answers/*.parquet' WHERE status = 'ok'"
    ).fetchall()
    assert found == [(row["image_id"], row["answer"]) for row in expected if row["status"] == "ok"]
    assert pixelprune("verify", tmp_path / "folder").returncode == 0
    done = pixelprune("reconstruct", tmp_path / "folder", "--to", tmp_path / "png")
    assert done.returncode == 2
    assert b"has no patch sets: it was made by infer" in done.stderr


def test_an_image_on_standard_input_is_answered(folder: Path, model: Path, tmp_path: Path) -> None:
    content = (folder / "a.png").read_bytes()
    spare = tmp_path / "spare"
    spare.mkdir()
    options = ("--model", model, *PROMPT, "-q")
    done = pixelprune_process("infer", "-", *options, stdin=content, TMPDIR=str(spare))
    [row] = lines(done.stdout)
    assert list(spare.glob("pixelprune-*")) == [], "the copy is gone"
    [same] = lines(infer(folder / "a.png", "--model", model, *PROMPT, "-q").stdout)
    assert (row["image_id"], row["answer"]) == ("-", same["answer"])


def test_a_folder_with_a_manifest_of_somebody_else(folder: Path, model: Path) -> None:
    (folder / "manifest.json").write_text('{"name": "My app"}')
    rows = lines(infer(folder, "--model", model, *PROMPT, "-q", code=3).stdout)
    assert len(rows) == 4


@pytest.mark.parametrize("size", ["1", "3", "auto"])
def test_answers_are_the_same_at_every_batch_size(folder: Path, model: Path, size: str) -> None:
    for seed in range(5):
        Image.fromarray(blocks(200 + 40 * seed, 128, seed=seed)).save(folder / f"{seed}.png")
    options = ("--model", model, *PROMPT, "-q", "--temperature", "1.5")
    one = without_times(lines(infer(folder, *options, "--batch-size", "1", code=3).stdout))
    found = without_times(lines(infer(folder, *options, "--batch-size", size, code=3).stdout))
    assert found == one


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--model", "MODEL"], 2, "give one of --prompt TEXT, --prompt-file FILE"),
        (
            ["--model", "MODEL", "--prompt", "x", "--prompt-file", "y"],
            2,
            "give one of --prompt TEXT, --prompt-file FILE",
        ),
        (["--model", "MODEL", "--prompt-file", "gone"], 2, "gone cannot be read"),
        (["--model", ".", "--prompt", "x"], 2, "not a model directory"),
        (["--model", "MODEL", "--requests", "gone.jsonl"], 2, "leave the other inputs out"),
        (["--model", "MODEL", "--prompt", "x", "--format", "csv", "-o", "a"], 2, "--format is for"),
        (["--model", "MODEL", "--prompt", "x", "--top-p", "2"], 2, "top-p is 2"),
        (
            ["--model", "MODEL", "--prompt", "x", "--no-prune", "--threshold", "0.1"],
            2,
            "--no-prune feeds every patch",
        ),
        (["--model", "MODEL", "--prompt", "x", "--device", "cuda"], 2, "is in float32"),
        (["--model", "MODEL", "--prompt", "x", "--batch-size", "0"], 2, "must be auto or"),
        (["--model", "MODEL", "--prompt", "<|image_pad|>"], 2, "contains image tokens"),
        (["--model", "MODEL", "--prompt", "caf\udce9"], 2, "not valid Unicode"),
        (
            ["--model", "MODEL", "--requests", "r", "--include", "*"],
            2,
            "leave the other inputs out",
        ),
    ],
)
def test_what_cannot_be_meant(folder: Path, model: Path, args, code: int, words: str) -> None:
    given = [str(model) if one == "MODEL" else one for one in args]
    done = infer(folder / "a.png", *given, code=code, cwd=folder)
    assert words in done.stderr.decode()
    assert done.stdout == b""


def test_a_prompt_from_a_file(folder: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("What is the total?")
    options = ("--model", model, "--max-new-tokens", "6", "--device", "cpu", "-q")
    (row,) = lines(
        infer(folder / "a.png", *options, "--prompt-file", tmp_path / "prompt.txt").stdout
    )
    (same,) = lines(infer(folder / "a.png", "--model", model, *PROMPT, "-q").stdout)
    assert row["answer"] == same["answer"]
    other = infer(folder / "a.png", "--model", model, *PROMPT, "-q", "--system", "Be brief.")
    assert lines(other.stdout)[0]["prompt_tokens"] > same["prompt_tokens"]


def test_a_run_over_csv_keeps_answers_whole(folder: Path, model: Path) -> None:
    done = infer(folder, "--model", model, *PROMPT, "-q", "--format", "csv", code=3)
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode(), newline="")))
    assert len(rows) == 4
