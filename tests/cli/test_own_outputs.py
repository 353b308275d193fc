"""What pixelprune wrote lies among the images of the next run, and is none of them."""

import json
import shutil
from pathlib import Path

from ppcli.models.onnx.directory import SMALL_MODEL
from tests.command import pixelprune


def names(*args: str, cwd: Path, code: int = 0) -> tuple[list[str], int]:
    """The identities that a run finds, and how many files it passes over."""
    done = pixelprune("analyze", *args, "-o", "-", "--log-format", "json", cwd=cwd)
    assert done.returncode == code, done.stderr
    last = json.loads(done.stderr.splitlines()[-1])
    return [json.loads(line)["image_id"] for line in done.stdout.splitlines()], last[
        "files_skipped"
    ]


def test_outputs_of_every_command_are_passed_over(folder: Path) -> None:
    (folder / "broken.png").unlink()
    before, skipped = names(".", cwd=folder)
    assert before == ["a.png", "b.jpg", "sub/a.png"]
    shutil.copytree(SMALL_MODEL, folder / "model")
    for command, *args in (
        ("view", "a.png", "b.jpg"),
        ("view", "a.png", "-o", "sub/seen.png"),
        ("analyze", "a.png"),
        ("analyze", "a.png", "-o", "stats.csv.gz"),
        ("analyze", "a.png", "-o", "stats.jsonl"),
        ("report", "pixelprune-out"),
    ):
        done = pixelprune(command, *args, "-q", cwd=folder)
        assert done.returncode == 0, done.stderr
    (folder / "pixelprune-view").rename(folder / "pictures")
    found, passed_over = names(".", cwd=folder)
    assert found == before
    files = [path for path in folder.rglob("[!.]*") if path.is_file()]
    assert passed_over == len(files) - len(before)
    assert passed_over > skipped + 8
    assert names("pictures", cwd=folder) == (["a.png", "b.jpg.png"], 0)
    assert names("sub/seen.png", "pictures/a.png", cwd=folder)[0] == [
        "sub/seen.png",
        "pictures/a.png",
    ]
    assert pixelprune("reconstruct", "pixelprune-out", "--to", "back", cwd=folder).returncode == 0
    assert names(".", cwd=folder)[0] == ["a.png", "b.jpg", "back/a.png", "sub/a.png"]
