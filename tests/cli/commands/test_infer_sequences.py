"""`infer --requests --sequence`: rows against `pruned_inputs`, resuming, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ppcli import pruned_inputs
from tests.cli.commands.answers import answers_in, infer, lines
from tests.coding.rasters import of_letters
from tests.command import pixelprune
from tests.models.frames import LEVELS, TILE, frames

LIMITS = ("--max-new-tokens", "3", "--device", "cpu", "-q")
BOTH = ("forward", "reverse")
Images = dict[str, list[str]]


@pytest.fixture
def shown(tmp_path: Path) -> Images:
    """Requests by their names, and the images of each; all share the folder of the file."""
    for number, pixels in enumerate(frames()):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    for number, letters in enumerate((["ABA", "BAA"], ["BBA", "BBA"])):
        Image.fromarray(of_letters(letters, TILE)).save(tmp_path / f"turned-{number}.png")
    save_pages(tmp_path / "pages.tif", frames()[1:5])
    save_pages(tmp_path / "pages.pdf", [frames()[0], *frames()[:3]])
    save_pages(tmp_path / "many.tif", frames()[:2] * 20)
    return {
        "all": [f"{number}.png" for number in range(6)],
        "mixed": ["0.png", "pages.tif", "5.png"],
        "pdf": ["pages.pdf", "0.png", "pages.pdf"],
        "twice": ["1.png", "1.png"],
        "long": ["many.tif", "0.png"],
        "turned": ["turned-0.png", "turned-1.png"],
        "one": ["0.png"],
    }


def save_pages(path: Path, pages: list[np.ndarray]) -> None:
    first, *others = map(Image.fromarray, pages)
    first.save(path, save_all=True, append_images=others)


def write(folder: Path, requests: Images) -> Path:
    path = folder / "requests.jsonl"
    asked = [
        {"custom_id": name, "images": images, "prompt": "What is the total?"}
        for name, images in requests.items()
    ]
    path.write_text("".join(f"{json.dumps(one)}\n" for one in asked))
    return path


def rows_of(*args: str | Path, code: int = 0) -> dict[str, dict[str, Any]]:
    done = infer(*args, *LIMITS, code=code)
    return {row["custom_id"]: row for row in lines(done.stdout)}


def chosen(sequence: str | None) -> list[str]:
    return [] if sequence is None else ["--sequence", sequence]


@pytest.mark.parametrize("threshold", [0, LEVELS / 255])
def test_rows_are_those_of_pruned_inputs(
    shown: Images, model: Path, tmp_path: Path, threshold: float
) -> None:
    """Which codes all images of a prompt at once, those of other sizes and pages included."""
    line = ["--requests", write(tmp_path, shown), "--model", model, "--threshold", str(threshold)]
    kept: dict[str | None, list[int]] = {}
    for sequence in (None, *BOTH):
        rows = rows_of(*line, *chosen(sequence))
        for name, images in shown.items():
            given = pruned_inputs(
                [tmp_path / one for one in images],
                "What is the total?",
                model,
                threshold=threshold,
                sequence=sequence,
            )
            counts = rows[name]["tokens"], rows[name]["kept"], rows[name]["prompt_tokens"]
            whole = sum(one.size for one in given.keeps)
            assert counts == (whole, int(given.visual.sum()), given.input_ids.size)
        kept[sequence] = [row["kept"] for row in rows.values()]
    *several, turned, alone = zip(*kept.values(), strict=True)
    assert all(whole > max(forward, reverse) for whole, forward, reverse in several)
    assert turned == (7, 6, 4)
    assert len(set(alone)) == 1


def test_pages_that_a_request_names(shown: Images, model: Path, tmp_path: Path) -> None:
    """One page of each file, in an order of its own."""
    pages = [{"image": "pages.tif", "page": number} for number in (2, 1)]
    path = write(tmp_path, {"named": [*pages, "0.png"], "files": ["2.png", "1.png", "0.png"]})
    for sequence in BOTH:
        rows = rows_of("--requests", path, "--model", model, "--sequence", sequence)
        assert rows["named"]["kept"] == rows["files"]["kept"] < rows["files"]["tokens"]
        assert rows["named"]["answer"] == rows["files"]["answer"]
    gone = write(tmp_path, {"gone": ["0.png", {"image": "pages.tif", "page": 9}]})
    for sequence in BOTH:
        [row] = rows_of(
            "--requests", gone, "--model", model, "--sequence", sequence, code=3
        ).values()
        assert row["error_code"] == "no_such_page"


@pytest.mark.parametrize("sequence", BOTH)
def test_an_image_that_fails_fails_its_request_alone(
    shown: Images, model: Path, tmp_path: Path, sequence: str
) -> None:
    (tmp_path / "cut.png").write_bytes((tmp_path / "1.png").read_bytes()[:200])
    asked = {
        "before": shown["all"],
        "cut": ["0.png", "cut.png", "1.png"],
        "after": shown["mixed"],
    }
    line = ["--requests", write(tmp_path, asked), "--model", model, "--sequence", sequence]
    rows = rows_of(*line, code=3)
    assert rows["cut"]["error_code"] == "truncated"
    assert "cut.png" in rows["cut"]["error_message"]
    assert rows["cut"]["kept"] is None
    assert rows["before"]["kept"] == rows["after"]["kept"]  # the same pixels in other files


def test_a_run_goes_on_with_the_same_sequence_only(
    shown: Images, model: Path, tmp_path: Path
) -> None:
    path, out, plain = write(tmp_path, shown), tmp_path / "out", tmp_path / "plain"
    line = ["--requests", path, "--model", model, *LIMITS]
    infer(*line, "--sequence", "forward", "-o", out)
    refused = infer(*line, "--sequence", "reverse", "-o", out, code=5)
    assert b'sequence: "forward", now "reverse"' in refused.stderr
    assert b"sequence" in infer(*line, "-o", out, code=5).stderr
    before = answers_in(out)
    infer(*line, "--sequence", "forward", "-o", out)
    assert answers_in(out) == before
    infer(*line, "-o", plain)
    config = json.loads((plain / "manifest.json").read_text())["config"]
    assert [name for name in config if "sequence" in name] == []
    with_sequence = json.loads((out / "manifest.json").read_text())["config"]
    assert with_sequence == config | {"sequence": "forward"}


@pytest.mark.parametrize("mended", ["--retry-failed", "--update"])
def test_what_has_changed_is_asked_again(
    shown: Images, model: Path, tmp_path: Path, mended: str
) -> None:
    """No other request depends on it."""
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[:200] if mended == "--retry-failed" else b"")
    path, out = write(tmp_path, shown), tmp_path / "out"
    line = ["--requests", path, "--model", model, "--sequence", "forward", *LIMITS]
    infer(*line, "-o", out, code=3)
    assert [row["status"] for row in answers_in(out)].count("error") == 2
    (tmp_path / "1.png").write_bytes(whole)
    again = [mended] if mended == "--retry-failed" else [mended, "--retry-failed"]
    infer(*line, "-o", out, *again)
    infer(*line, "-o", tmp_path / "fresh")
    assert answers_in(out) == answers_in(tmp_path / "fresh")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["0.png", "--prompt", "?"], "--requests FILE; here each question shows one page alone"),
        (["--requests", "requests.jsonl", "--no-prune"], "leave the options of the coder out"),
        (["--requests", "requests.jsonl", "--method", "conncomp"], "cannot be decoded"),
        (["--requests", "requests.jsonl", "--method", "random"], "cannot be decoded"),
        (["--requests", "requests.jsonl", "--sequence-by", "all"], "--sequence-by"),
    ],
)
def test_what_cannot_be_is_refused(
    shown: Images, tmp_path: Path, line: list[str], said: str
) -> None:
    write(tmp_path, shown)
    done = pixelprune("infer", *line, "--sequence", "forward", cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr.decode()
    assert done.stdout == b""


def test_one_stored_image_at_a_time_is_no_sequence(tmp_path: Path, shown: Images) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(tmp_path / "0.png", folder)
    fit = ("--min-pixels", "4096", "--max-pixels", "786432")  # of the small model
    assert pixelprune("analyze", folder, *fit, "-o", tmp_path / "data").returncode == 0
    done = pixelprune("infer", tmp_path / "data", "--prompt", "?", "--sequence", "forward")
    assert done.returncode == 2
    assert b"--requests FILE" in done.stderr
