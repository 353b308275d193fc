"""`infer` stopped, killed, or run again on inputs that have changed."""

import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.commands.answers import PROMPT, answers_in, infer
from tests.command import command_line, pixelprune
from tests.conftest import blocks
from tests.processes import eventually


@pytest.mark.slow
def test_going_on_after_a_kill(model: Path, tmp_path: Path) -> None:
    images = tmp_path / "in"
    images.mkdir()
    for seed in range(12):
        Image.fromarray(blocks(256, 224, seed=seed)).save(images / f"{seed:02}.png")
    options = (images, "--model", model, *PROMPT, "-q", "--rows-per-shard", "3")
    out = tmp_path / "killed"
    slow = ("--max-new-tokens", "200")  # 12 × 200 steps take a while
    with subprocess.Popen(command_line(["infer", *options, *slow, "-o", out])) as run:
        assert eventually((out / "answers" / "part-00001.parquet").exists)
        run.send_signal(signal.SIGKILL)
    before = (out / "answers" / "part-00000.parquet").stat().st_mtime_ns
    refused = infer(*options, "-o", out, code=5)
    assert b"max_new_tokens: 200, now 6" in refused.stderr
    infer(*options, *slow, "-o", out)
    assert (out / "answers" / "part-00000.parquet").stat().st_mtime_ns == before
    infer(*options, *slow, "-o", tmp_path / "undisturbed")
    assert answers_in(out) == answers_in(tmp_path / "undisturbed")


@pytest.mark.slow
def test_an_interrupt_gives_the_answer_in_hand_up(model: Path, tmp_path: Path) -> None:
    Image.fromarray(blocks(256, 224)).save(tmp_path / "a.png")
    command = ["infer", tmp_path / "a.png", tmp_path / "a.png", "--model", model, *PROMPT[:2]]
    endless = ("--max-new-tokens", "30000", "--device", "cpu", "-v", "-o", tmp_path / "out")
    with subprocess.Popen(command_line([*command, *endless]), stderr=subprocess.PIPE) as run:
        assert eventually((tmp_path / "out" / "manifest.json").exists)
        with pytest.raises(subprocess.TimeoutExpired):
            run.wait(3)
        run.send_signal(signal.SIGINT)
        _, text = run.communicate(timeout=30)
    assert run.returncode == 130
    assert b"run the same command to resume" in text


def test_retrying_what_failed(folder: Path, model: Path, tmp_path: Path) -> None:
    options = (folder, "--model", model, *PROMPT, "-q", "-o", tmp_path / "out")
    infer(*options, code=3)
    shutil.copy(folder / "a.png", folder / "broken.png")
    infer(*options, "--retry-failed")
    rows = answers_in(tmp_path / "out")
    assert [row["status"] for row in rows] == ["ok"] * 4
    assert rows[2]["answer"] == rows[0]["answer"]


def test_a_request_that_was_put_right_is_asked_again(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_text('{"custom_id": "a", "prompt": "x"}\n{"custom_id": "b", "promt": "y"}\n')
    options = ("--requests", file, "--model", model, "--max-new-tokens", "3", "--device", "cpu")
    infer(*options, "-q", "-o", tmp_path / "out", code=3)
    file.write_text('{"custom_id": "a", "prompt": "x"}\n{"custom_id": "b", "prompt": "y"}\n')
    infer(*options, "-q", "-o", tmp_path / "out", "--retry-failed")
    assert [row["prompt"] for row in answers_in(tmp_path / "out")] == ["x", "y"]
    file.write_text('{"custom_id": "a", "prompt": "z"}\n{"custom_id": "b", "prompt": "y"}\n')
    done = infer(*options, "-q", "-o", tmp_path / "out", code=5)
    assert b"the prompt of a has changed" in done.stderr


def test_an_image_that_was_mended_in_the_dataset_too(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    analyzed = ("analyze", folder, "-o", tmp_path / "stored", "-q", "--min-pixels", "4096")
    assert pixelprune(*analyzed).returncode == 3
    options = (tmp_path / "stored", "--model", model, *PROMPT, "-q", "-o", tmp_path / "out")
    infer(*options, code=3)
    shutil.copy(folder / "a.png", folder / "broken.png")
    assert pixelprune(*analyzed, "--retry-failed").returncode == 0
    infer(*options, "--retry-failed")
    rows = answers_in(tmp_path / "out")
    assert rows[2]["answer"] == rows[0]["answer"] is not None


def test_a_model_that_cannot_run_leaves_no_folder(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    half = tmp_path / "half"
    pixelprune("export", model.parent / "checkpoint", half, "--dtype", "bfloat16")
    out = tmp_path / "out"
    done = infer(folder / "a.png", "--model", half, *PROMPT, "-o", out, code=2)
    assert b"runs on CUDA only" in done.stderr
    assert not out.exists()
