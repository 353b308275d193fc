"""`--update` of analyze and infer, as a user sees it."""

import json
import os
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from ppcli import api
from tests.chat_server import chat_server
from tests.cli.commands.answers import PROMPT, answers_in, infer
from tests.command import pixelprune
from tests.conftest import blocks

WORDS = ("new", "changed", "unchanged", "vanished, rows kept", "vanished, dropped")


def analyze(*args: str | Path, code: int = 0, **more) -> str:
    """Run analyze and return what it says."""
    done = pixelprune("analyze", *args, **more)
    assert done.returncode == code, done.stderr.decode()
    return done.stderr.decode()


def found(said: str) -> list[int | None]:
    """Return the numbers of new, changed, unchanged, vanished and dropped inputs in a table."""
    rows = [re.search(rf"^ {word} +([0-9,]+) *$", said, re.MULTILINE) for word in WORDS]
    return [row and int(row[1]) for row in rows]


def ids(out: Path) -> list[str]:
    return pq.read_table(out / "stats")["image_id"].to_pylist()


def change(folder: Path) -> None:
    """Add one image, change one, repair one and remove one."""
    Image.fromarray(blocks(300, 260, seed=7)).save(folder / "aa.png")
    Image.fromarray(blocks(300, 260, seed=8)).save(folder / "a.png")
    shutil.copy(folder / "aa.png", folder / "broken.png")
    (folder / "b.jpg").unlink()


def test_a_folder_that_changes(folder: Path, tmp_path: Path) -> None:
    run = (folder, "-o", tmp_path / "out", "--rows-per-shard", "2")
    assert found(analyze(*run, "--update", code=3)) == [4, 0, 0, 0, None]
    assert found(analyze(*run, "--update", code=3)) == [0, 0, 4, 0, None]
    change(folder)
    refused = analyze(*run, code=5)
    assert "use --update to work on what is new or changed" in refused
    said = analyze(*run, "--update")
    assert "out: 1 new, 2 changed, 1 unchanged, 1 vanished (rows kept)\n" in said
    assert found(said) == [1, 2, 1, 1, None]
    assert ids(tmp_path / "out") == ["a.png", "b.jpg", "broken.png", "sub/a.png", "aa.png"]
    assert found(analyze(*run, "--update", "--drop-missing")) == [0, 0, 4, None, 1]
    assert ids(tmp_path / "out") == ["a.png", "broken.png", "sub/a.png", "aa.png"]
    assert pixelprune("verify", tmp_path / "out", "--data").returncode == 0
    assert pixelprune("report", tmp_path / "out", "-o", tmp_path / "r.html").returncode == 0
    assert "use --update" in analyze(*run, code=5)


def test_the_log_has_the_numbers(folder: Path, tmp_path: Path) -> None:
    run = (folder, "-o", tmp_path / "out", "--update", "--log-format", "json")
    analyze(*run, code=3)
    change(folder)
    logged = [json.loads(line) for line in analyze(*run).splitlines()]
    of_change = {"new": 1, "changed": 2, "unchanged": 1, "vanished": 1, "dropped": False}
    with_numbers = [line for line in logged if of_change.items() <= line.items()]
    assert [line["message"].partition(":")[0] for line in with_numbers] == [
        str(tmp_path / "out"),
        "finished",
    ]


def test_failed_inputs(folder: Path, tmp_path: Path) -> None:
    run = (folder, "-o", tmp_path / "out", "--update")
    assert "truncated: broken.png" in analyze(*run, code=3)
    assert "truncated: broken.png" not in analyze(*run, code=3)
    said = analyze(*run, "--retry-failed", code=3)
    assert "truncated: broken.png" in said
    assert found(said) == [0, 0, 4, 0, None]
    shutil.copy(folder / "a.png", folder / "broken.png")
    assert found(analyze(*run)) == [0, 1, 3, 0, None]


def test_a_first_run_that_was_stopped_goes_on(folder: Path, tmp_path: Path) -> None:
    run = (folder, "-o", tmp_path / "out", "--rows-per-shard", "1")
    analyze(*run, "--fail-fast", code=3)
    assert len(ids(tmp_path / "out")) == 3
    Image.fromarray(blocks(300, 260, seed=7)).save(folder / "aa.png")
    assert found(analyze(*run, "--update", code=3)) == [2, 0, 3, 0, None]
    assert ids(tmp_path / "out") == ["a.png", "b.jpg", "broken.png", "aa.png", "sub/a.png"]


def test_lists(folder: Path, tmp_path: Path) -> None:
    """Vanished means: not in the list. A listed file that is not there keeps its rows."""
    run = ("-", "-o", "out", "--update")
    paths = [str(folder / name) for name in ("a.png", "b.jpg", "sub/a.png")]
    stdin = "\n".join(paths).encode()
    assert found(analyze(*run, stdin=stdin, cwd=tmp_path)) == [3, 0, 0, 0, None]
    shutil.move(folder / "b.jpg", folder / "elsewhere.jpg")
    (folder / "sub" / "a.png").unlink()
    stdin = "\n".join(paths[:2]).encode()
    said = analyze(*run, "--drop-missing", stdin=stdin, cwd=tmp_path)
    assert found(said) == [0, 0, 1, None, 1]
    assert re.search(r"cannot be read now, rows kept +1\b", said)
    assert ids(tmp_path / "out") == paths[:2]
    assert "no image" in analyze(*run, "--drop-missing", stdin=b"", cwd=tmp_path, code=4)
    assert ids(tmp_path / "out") == paths[:2]


def test_disks_that_are_absent_drop_nothing(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    run = (folder, other, "-o", tmp_path / "out", "--update")
    analyze(*run, code=3)
    before = ids(tmp_path / "out")
    shutil.rmtree(other)
    other.mkdir()
    assert "nothing was changed" in analyze(*run, "--drop-missing", code=5)
    said = analyze(*run, code=3)
    assert "other has no image; the rows of 4 inputs that were not found are kept" in said
    assert found(said) == [0, 0, 4, 0, None]
    names = tmp_path / "names"
    names.write_bytes(b"\0".join(bytes(one) for one in (folder, other)))
    other.rmdir()
    run = ("--files0-from", names, "-o", tmp_path / "out", "--update")
    assert "other does not exist, so that" in analyze(*run, "--drop-missing", code=5)
    assert ids(tmp_path / "out") == before


def test_folders_that_cannot_be_listed_drop_nothing(folder: Path, tmp_path: Path) -> None:
    run = (folder, "-o", tmp_path / "out", "--update")
    analyze(*run, code=3)
    real = os.scandir

    def scandir(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        said = analyze(*run, "--drop-missing", code=5)
        assert "sub cannot be listed, so that inputs may be missing" in said
        assert found(analyze(*run, code=3)) == [1, 0, 3, 0, None]
    assert ids(tmp_path / "out") == ["a.png", "b.jpg", "broken.png", "sub/a.png", "sub"]
    assert found(analyze(*run, "--drop-missing", code=3)) == [0, 0, 4, None, 1]
    assert ids(tmp_path / "out") == ["a.png", "b.jpg", "broken.png", "sub/a.png"]


def test_a_limit_leaves_inputs_out_that_have_not_vanished(folder: Path, tmp_path: Path) -> None:
    run = (folder, "-o", tmp_path / "out", "--update")
    analyze(*run, code=3)
    said = analyze(*run, "--limit", "1", code=3)
    assert found(said) == [0, 0, 1, 0, None]
    assert len(ids(tmp_path / "out")) == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--drop-missing"], "--drop-missing needs --update"),
        (["--update", "-o", "a.jsonl"], "--update needs a folder; -o is a.jsonl"),
        (["--update", "-o", "-"], "--update needs a folder; -o is -"),
        (["--update", "--overwrite"], "--overwrite starts again, --update goes on"),
        (["--update", "--no-resume"], "--no-resume refuses an earlier run"),
        (["--update", "--drop-missing", "--limit", "3"], "--limit leaves inputs out"),
    ],
)
def test_options_that_contradict_one_another(
    folder: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    assert words in analyze(folder, *options, cwd=tmp_path, code=2)
    asked = ("--prompt", "?", *options, *(() if "-o" in options else ("-o", "out")))
    assert words.encode() in infer(folder, *asked, cwd=tmp_path, code=2).stderr
    assert not (tmp_path / "out").exists()


def test_another_configuration_is_refused(folder: Path, tmp_path: Path) -> None:
    run = (folder, "-o", tmp_path / "out", "--update")
    analyze(*run, code=3)
    assert "another configuration" in analyze(*run, "--threshold", "0.1", code=5)


def test_answers_of_new_and_changed_images_only(folder: Path, model: Path, tmp_path: Path) -> None:
    run = (folder, "--model", model, *PROMPT, "-o", tmp_path / "out", "--rows-per-shard", "2")
    infer(*run, "--update", code=3)
    before = {row["image_id"]: row for row in answers_in(tmp_path / "out")}
    change(folder)
    times = {row["image_id"]: row["prefill_ms"] for row in raw_answers(tmp_path / "out")}
    assert found(infer(*run, "--update").stderr.decode()) == [1, 2, 1, 1, None]
    after = {row["image_id"]: row for row in answers_in(tmp_path / "out")}
    assert list(after) == [*before, "aa.png"]
    asked = {name for name in before if before[name] != after[name]}
    assert asked == {"a.png", "broken.png"}
    now = {row["image_id"]: row["prefill_ms"] for row in raw_answers(tmp_path / "out")}
    assert now["sub/a.png"] == times["sub/a.png"] != None  # noqa: E711
    fresh = tmp_path / "fresh"
    infer(*run[:-3], fresh)
    assert answers_in(fresh) == [row for name, row in sorted(after.items()) if name != "b.jpg"]


def raw_answers(out: Path) -> list[dict]:
    return pq.read_table(out / "answers").to_pylist()


def test_answers_about_a_dataset_that_is_updated_too(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    stored = (folder, "-o", tmp_path / "stored", "--min-pixels", "4096", "--rows-per-shard", "2")
    run = (tmp_path / "stored", "--model", model, *PROMPT, "-o", tmp_path / "out", "--update")
    analyze(*stored, "--update", code=3)
    infer(*run, code=3)  # all in one shard
    change(folder)
    analyze(*stored, "--update", "--drop-missing")
    assert found(infer(*run).stderr.decode()) == [1, 2, 1, 1, None]
    shutil.copy(folder / "a.png", folder / "b.jpg")  # in the stored dataset it is now the last
    shutil.copy(folder / "sub" / "a.png", folder / "a.png")
    shutil.copy(folder / "sub" / "a.png", folder / "broken.png")
    analyze(*stored, "--update")
    assert found(infer(*run).stderr.decode()) == [0, 3, 2, 0, None]
    fresh = tmp_path / "fresh"
    infer(*run[:-2], fresh)
    by_name = [
        {row["image_id"]: row for row in answers_in(out)} for out in (tmp_path / "out", fresh)
    ]
    assert by_name[0] == by_name[1]


def test_requests_of_a_file_that_grows(folder: Path, tmp_path: Path) -> None:
    asked = [{"custom_id": f"q#{n}", "image": "a.png", "prompt": f"{n}?"} for n in range(4)]

    def update(server, *lines) -> list[int | None]:
        (folder / "r.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        run = ("--requests", folder / "r.jsonl", "-o", tmp_path / "out", "--server", server.url)
        return found(infer(*run, "--update").stderr.decode())

    with chat_server() as server:
        assert update(server, *asked[:3]) == [3, 0, 0, 0, None]
        assert len(server.questions) == 3
        changed = asked[1] | {"prompt": "another?"}
        assert update(server, asked[3], asked[0], changed) == [1, 1, 1, 1, None]
        assert len(server.questions) == 5
        Image.fromarray(blocks(300, 260, seed=8)).save(folder / "a.png")
        assert update(server, *asked) == [0, 4, 0, 0, None]
        assert len(server.questions) == 9
    rows = answers_in(tmp_path / "out")
    assert [(row["custom_id"], row["prompt"]) for row in rows] == [
        (f"q#{n}", f"{n}?") for n in range(4)
    ]


def test_the_counts_of_progress(folder: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    control = api.RunControl(on_progress=lambda now: seen.append((now.done, now.total)))
    output = api.GrowingOutputOptions(str(tmp_path / "out"), update=True, rows_per_shard=2)
    for step in range(3):
        if step == 2:
            change(folder)
        seen.clear()
        api.analyze(folder, output=output, workers=api.WorkerOptions(0), control=control)
        assert [done for done, _ in seen] == [0, 1, 2, 3, 4]
        assert seen[-1] == (4, 4)
