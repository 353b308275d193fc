"""`bench` as a user runs it."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.command import command_line, pixelprune

QUICK = ("--device", "cpu", "--repeats", "1", "--batch-sizes", "1,2", "--new-tokens", "3")


def bench(*args: str | Path, code: int = 0) -> subprocess.CompletedProcess:
    done = pixelprune("bench", *args)
    assert done.returncode == code, done.stderr.decode()
    return done


def test_tables_and_json(folder: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    done = bench(folder, "--model", model, *QUICK, "-o", out, code=3)
    text = done.stderr.decode()
    for words in (
        "a.png",
        "sub/a.png",
        "truncated: broken.png",
        "vision",
        "prefill",
        "first token",
    ):
        assert words in text
    for words in ("decode", "total", "batch of 2", "peak memory with 2 requests", "ideal"):
        assert words in text
    assert done.stdout == b""
    figures = json.loads(out.read_text())
    assert [one["image_id"] for one in figures["images"]] == ["a.png", "b.jpg", "sub/a.png"]
    for one in (*figures["images"], figures["together"], *figures["batches"]):
        for name, factor in one["faster"].items():
            assert factor == pytest.approx(one["full"][name] / one["pruned"][name])
        assert min(one["ideal"][name] for name in ("vision_ms", "prefill_ms")) >= 1
    first = figures["images"][0]
    assert first["keep_ratio"] == first["pruned_size"]["tiles"] / first["full_size"]["tiles"]
    both = figures["batches"][1]
    assert (both["batch_size"], both["requests"]) == (2, 4)
    assert both["answers_unlike_alone"] == {"full": 0, "pruned": 0}
    assert both["requests_a_minute"]["full"] == pytest.approx(240 / both["seconds"]["full"])
    assert figures["setting"]["providers"] == ["CPUExecutionProvider"]
    assert figures["extrapolated"] is None
    [failure] = figures["failures"]
    assert set(failure) == {"name", "error_code", "error_message"}
    assert (failure["name"], failure["error_code"]) == ("broken.png", "truncated")
    assert failure["error_message"].startswith("broken.png: ")


def test_json_to_standard_output(folder: Path, model: Path) -> None:
    done = bench(folder / "a.png", "--model", model, *QUICK, "-q", "-o", "-")
    assert json.loads(done.stdout)["together"]["faster"]["total_ms"] > 0
    assert done.stderr == b""
    done = bench(folder / "a.png", "--model", model, *QUICK, "--log-format", "json")
    last = json.loads(done.stderr.splitlines()[-1])
    assert (last["message"], len(last["images"])) == ("finished", 1)


@pytest.mark.slow
def test_random_weights_of_a_true_shape(folder: Path) -> None:
    quick = (*QUICK[:-4], "--batch-sizes", "1", "--new-tokens", "2")
    shape = ("--random-weights", "qwen3-vl-2b", "--layers", "1")
    done = bench(folder / "a.png", *shape, *quick, "-o", "-")
    figures = json.loads(done.stdout)
    setting = figures["setting"]
    assert setting["model"] == "qwen3-vl-2b with random weights"
    assert (setting["vision_layers"], setting["text_layers"]) == (1, 1)
    assert (setting["dtype"], setting["weights"]) == ("float32", "float")
    measured, whole = figures["together"]["full"], figures["extrapolated"]["full"]
    assert whole["prefill_ms"] > 10 * measured["prefill_ms"]
    assert "all 24 + 28 layers" in done.stderr.decode()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            ("--model", "m", "--random-weights", "qwen3-vl-2b"),
            "give --model DIR or --random-weights SIZE, not both",
        ),
        (("--model", "m", "--layers", "2"), "are for --random-weights"),
        (("--model", "m", "--batch-sizes", "1,x"), "write whole numbers"),
        (("--model", "m", "--batch-sizes", "0"), "write whole numbers"),
        (("--model", "MODEL", "-o", "figures.txt"), "name a .json file"),
        (("--model", "nowhere"), "nowhere is not a folder"),
        (("--random-weights", "gpt"), "gpt"),
        (("--random-weights", "qwen3-vl-8b", "--dtype", "bfloat16", *QUICK), "runs on CUDA only"),
        (("--model", "MODEL", *QUICK, "--prompt", "<|image_pad|>"), "contains image tokens"),
        (("--model", "MODEL", *QUICK, "--prompt", "caf\udce9"), "not valid Unicode"),
    ],
)
def test_usage(folder: Path, model: Path, args: tuple[str, ...], said: str) -> None:
    given = [str(model) if one == "MODEL" else one for one in args]
    assert said in bench(folder, *given, code=2).stderr.decode()


def test_figures_are_not_replaced(folder: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    out.write_text("mine")
    done = bench(folder, "--model", model, *QUICK, "-o", out, code=5)
    assert "exists" in done.stderr.decode()
    assert out.read_text() == "mine"
    done = bench(folder, "--model", model, *QUICK, "-o", out / "a.json", code=5)
    assert "cannot be written" in done.stderr.decode()
    assert "faster" not in done.stderr.decode()  # noticed before anything is measured


def test_files_that_fail_alone(folder: Path, model: Path) -> None:
    done = bench(folder / "broken.png", "--model", model, *QUICK, code=3)
    assert "truncated" in done.stderr.decode()
    assert "ideal" not in done.stderr.decode()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
def test_figures_that_cannot_be_written_are_shown(folder: Path, model: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command_line(["bench", folder / "a.png", "--model", model, *QUICK, "-o", "-"]),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 5
    assert b"batch of 2" in done.stderr


def test_nothing_to_measure(tmp_path: Path, model: Path) -> None:
    done = bench(tmp_path, "--model", model, *QUICK, code=4)
    assert b"no image among the inputs" in done.stderr
