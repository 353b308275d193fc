import csv
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ppcli.errors import DamagedError, ErrorCode
from ppcli.store.reader import read_rows
from tests.command import command_line, pixelprune
from tests.conftest import blocks

ORDER = ["a.png", "b.jpg", "broken.png", "sub/a.png"]


def ids(stdout: bytes) -> list[str]:
    return [json.loads(line)["image_id"] for line in stdout.splitlines()]


def read_ids(data: bytes, row_format: str) -> list[str]:
    if row_format == "jsonl":
        return ids(data)
    if row_format == "csv":
        return [row["image_id"] for row in csv.DictReader(io.StringIO(data.decode()))]
    if row_format == "arrow":
        return pa.ipc.open_stream(data).read_all()["image_id"].to_pylist()
    return pq.read_table(io.BytesIO(data))["image_id"].to_pylist()


def test_a_folder_becomes_a_dataset(folder: Path, tmp_path: Path) -> None:
    done = pixelprune("analyze", folder, cwd=tmp_path)
    assert done.returncode == 3
    assert done.stdout == b""
    stats = pq.read_table(tmp_path / "pixelprune-out" / "stats")
    assert stats["image_id"].to_pylist() == ORDER
    assert stats["status"].to_pylist() == ["ok", "ok", "error", "ok"]
    assert stats["error_code"].to_pylist()[2] == ErrorCode.TRUNCATED
    patches = pq.read_table(tmp_path / "pixelprune-out" / "patches")
    assert patches["image_id"].to_pylist() == ["a.png", "b.jpg", "sub/a.png"]
    table = done.stderr.decode()
    for words in ("images", "failed: truncated", "other files skipped", "keep ratio, median"):
        assert words in table
    assert "truncated: broken.png: " in table


def test_two_runs_differ_in_times_only(folder: Path) -> None:
    runs = [pixelprune("analyze", folder, "-o", "-").stdout for _ in range(2)]
    rows = [[json.loads(line) for line in run.splitlines()] for run in runs]
    for row in rows[0] + rows[1]:
        for name in ("decode_ms", "code_ms"):
            assert (row.pop(name) is None) == (row["status"] == "error")
    assert rows[0] == rows[1]


@pytest.mark.parametrize("row_format", ["jsonl", "csv", "arrow", "parquet"])
def test_standard_output(folder: Path, row_format: str) -> None:
    done = pixelprune("analyze", folder, "-o", "-", "--format", row_format)
    assert done.returncode == 3
    assert read_ids(done.stdout, row_format) == ORDER


@pytest.mark.parametrize("name", ["s.jsonl", "s.csv", "s.parquet"])
def test_one_file(folder: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    assert pixelprune("analyze", folder, "-o", target, "-q").returncode == 3
    content = target.read_bytes()
    assert b"sub/a.png" in content or pq.read_table(target).num_rows == 4
    again = pixelprune("analyze", folder, "-o", target, "-q")
    assert again.returncode == 5
    assert b"--overwrite" in again.stderr
    assert target.read_bytes() == content
    assert pixelprune("analyze", folder, "-o", target, "-q", "--overwrite").returncode == 3


@pytest.mark.slow
@pytest.mark.parametrize("row_format", ["jsonl", "csv", "arrow", "parquet"])
def test_a_reader_that_leaves_early_ends_the_run_quietly(tmp_path: Path, row_format: str) -> None:
    (tmp_path / "in").mkdir()
    for number in range(400):
        Image.new("RGB", (8, 8), (number % 256, 0, 0)).save(tmp_path / "in" / f"{number}.png")
    args = ["analyze", tmp_path / "in", "-o", "-", "--format", row_format]
    with subprocess.Popen(
        command_line(args), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(20)
        process.stdout.close()
        errors = process.stderr.read()
        process.stderr.close()
    assert b"Traceback" not in errors
    assert process.returncode == 0, errors


def test_lists(folder: Path) -> None:
    lines = pixelprune("analyze", "-", "-o", "-", stdin=b"sub/a.png\nnot there.png\n", cwd=folder)
    assert ids(lines.stdout) == ["sub/a.png", "not there.png"]
    assert json.loads(lines.stdout.splitlines()[1])["error_code"] == "not_found"
    zeros = pixelprune(
        "analyze", "--files0-from", "-", "-o", "-", stdin=b"b.jpg\0sub/a.png", cwd=folder
    )
    assert ids(zeros.stdout) == ["b.jpg", "sub/a.png"]


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="file names are UTF-8 there")
def test_odd_file_names(tmp_path: Path) -> None:
    names = [b"[red]with space.png", b"line\nbreak.png", b"byte\xff.png", b"n" * 251 + b".png"]
    folder = os.fsencode(tmp_path / "in")
    os.mkdir(folder)
    for name in names:
        with open(folder + b"/" + name, "wb") as file:
            Image.fromarray(blocks(64, 64)).save(file, "PNG")
    with open(folder + b"/\x1b[31mbad\xfe.png", "wb"):
        pass
    done = pixelprune("analyze", tmp_path / "in", "-o", tmp_path / "out", "--fit", "pad")
    assert done.returncode == 3
    assert b"\x1b" not in done.stderr
    assert b"\\x1b[31mbad\\xfe.png" in done.stderr
    found = pq.read_table(tmp_path / "out" / "stats")["image_id"].to_pylist()
    assert found == [
        "\x1b[31mbad\\xfe.png",
        "[red]with space.png",
        "byte\\xff.png",
        "line\nbreak.png",
        "n" * 251 + ".png",
    ]
    rebuilt = pixelprune("reconstruct", tmp_path / "out", "--to", tmp_path / "png", "-q")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert len(list((tmp_path / "png").iterdir())) == 4
    assert pixelprune("verify", tmp_path / "out", "--data").returncode == 0


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--method", "psychic"], 2, "psychic"),
        (["--threshold", "1.5"], 2, "between 0 and 1"),
        (["--threshold", "-1/255"], 2, "between 0 and 1"),
        (["--threshold", "nan"], 2, "not a number"),
        (["--threshold", "a lot"], 2, "not a number"),
        (["--metric", "exact", "--threshold", "0.1"], 2, "exact"),
        (["--preset", "gpt-7"], 2, "qwen3-vl"),
        (["--method", "random"], 2, "--no-patches"),
        (["--mode", "sliding", "--threshold", "0.1"], 2, "--no-patches"),
        (["--match-count"], 2, "conncomp"),
        (["--compression", "zstd:0"], 2, "zstd:1 to zstd:22"),
        (["--compression", "zstd:23"], 2, "zstd:1 to zstd:22"),
        (["--compression", "zstd"], 2, "zstd:1 to zstd:22"),
        (["--compression", "zstd:²"], 2, "zstd:1 to zstd:22"),
        (["--compression", "gzip:9"], 2, "gzip:9"),
        (["--compression", "zstd:9", "--no-patches"], 2, "this run writes none"),
        (["--compression", "zstd:9", "-o", "out.csv"], 2, "this run writes none"),
        (["--background", "sort of blue"], 2, "sort of blue"),
        (["--format", "csv"], 2, "-o -"),
        (["-o", "out.json"], 2, ".jsonl"),
        (["--min-pixels", "9", "--max-pixels", "8"], 2, "max pixels"),
        (["-o", "in/notes.txt/out.csv"], 5, "in/notes.txt/out.csv"),
        (["-o", "out.zip"], 2, "out.zip, which does not look like a folder"),
        (["-o", "s3://bucket/out.csv"], 2, "only to local paths"),
        (["-o", "in/notes.txt/out"], 5, "in/notes.txt/out"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(folder, args, code: int, words: str) -> None:
    done = pixelprune("analyze", "in", *args, cwd=folder.parent)
    message = " ".join(done.stderr.decode().replace("│", " ").split())
    assert done.returncode == code, message
    assert words in message
    assert "Traceback" not in message
    assert not (folder.parent / "pixelprune-out").exists()


def test_nothing_to_try(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("text")
    done = pixelprune("analyze", "in", cwd=tmp_path)
    assert done.returncode == 4
    assert b"1 other file skipped" in done.stderr
    assert not (tmp_path / "pixelprune-out").exists()


def test_another_configuration_is_refused_untouched(folder: Path, tmp_path: Path) -> None:
    assert pixelprune("analyze", folder, "-q", cwd=tmp_path).returncode == 3
    before = {p: p.read_bytes() for p in (tmp_path / "pixelprune-out").rglob("*") if p.is_file()}
    done = pixelprune("analyze", folder, "--threshold", "3/255", cwd=tmp_path)
    assert done.returncode == 5
    assert b"threshold" in done.stderr
    after = {p: p.read_bytes() for p in (tmp_path / "pixelprune-out").rglob("*") if p.is_file()}
    assert after == before


def test_a_rerun_over_failures_names_what_tries_them_again(folder: Path, tmp_path: Path) -> None:
    command = ("analyze", folder, "-o", tmp_path / "out")  # one of them is broken
    words = "1 failure from an earlier run; --retry-failed processes them again"
    assert words not in pixelprune(*command).stderr.decode()
    again = pixelprune(*command)
    assert again.returncode == 3
    assert words in again.stderr.decode()
    assert words in pixelprune(*command, "--log-format", "json").stderr.decode()
    assert words not in pixelprune(*command, "--retry-failed").stderr.decode()


def test_too_large_images_are_error_rows(folder: Path) -> None:
    done = pixelprune("analyze", folder / "a.png", "-o", "-", "--max-image-pixels", "1000")
    assert done.returncode == 3
    assert json.loads(done.stdout)["error_code"] == "too_large"


def test_quiet_and_json_logs(folder: Path) -> None:
    assert pixelprune("analyze", folder, "-q", "-o", "-").stderr == b""
    done = pixelprune("analyze", folder, "--log-format", "json", "-o", "-")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in lines] == ["warning", "info"]
    assert lines[0]["error_code"] == "truncated"
    assert lines[1]["images"] == 3
    assert lines[1]["failures"] == {"truncated": 1}


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_progress_is_drawn_on_a_terminal_only(folder: Path, tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    args = ["analyze", folder, "-o", tmp_path / "out"]
    with subprocess.Popen(command_line(args), stdout=subprocess.PIPE, stderr=follower) as process:
        os.close(follower)
        drawn = b""
        try:
            while block := os.read(leader, 4096):
                drawn += block
        except OSError:  # the other side has closed
            pass
    os.close(leader)
    assert process.returncode == 3
    assert b"of 4 images" in drawn
    assert b"of 4 images" not in pixelprune("analyze", folder, "-o", tmp_path / "2").stderr


def test_a_dataset_from_before_a_column_is_read(folder: Path, tmp_path: Path) -> None:
    """Columns that came later are null; one that is missing otherwise is damage."""
    out = tmp_path / "out"
    pixelprune("analyze", folder, "-o", out, "--no-patches")
    path = out / "stats" / "part-00000.parquet"
    table = pq.read_table(path)
    early = table.drop_columns(["kv_bytes", "vision_flops_kept"])
    pq.write_table(early, path)
    assert [row.kv_bytes for row in read_rows(str(path), "stats")] == [None] * 4
    pq.write_table(table.drop_columns(["tile"]), path)
    with pytest.raises(DamagedError, match="does not have the columns"):
        list(read_rows(str(path), "stats"))


def _patch_bytes(out: Path) -> int:
    return sum(map(len, pq.read_table(out / "patches")["tiles"].to_pylist()))


def test_a_level_of_compression_changes_bytes_and_nothing_else(folder, tmp_path: Path) -> None:
    rows = {}
    for level in ("1", "3", "19"):
        out = tmp_path / level
        pixelprune("analyze", folder, "-o", out, "--compression", f"zstd:{level}")
        assert pixelprune("verify", out, "--data").returncode == 0
        rows[level] = pq.read_table(out / "stats").drop(["decode_ms", "code_ms"])
    assert rows["1"] == rows["3"] == rows["19"]
    assert _patch_bytes(tmp_path / "1") > _patch_bytes(tmp_path / "19")
    pixelprune("analyze", folder, "-o", tmp_path / "usual")
    assert pq.read_table(tmp_path / "usual" / "patches") == pq.read_table(
        tmp_path / "3" / "patches"
    )


def test_a_dataset_is_resumed_at_another_level(folder: Path, tmp_path: Path) -> None:
    pixelprune("analyze", folder / "a.png", folder / "b.jpg", "-o", tmp_path / "out")
    inputs = [folder / name for name in ("a.png", "b.jpg", "sub/a.png")]
    args = ("analyze", *inputs, "-o", tmp_path / "out", "--compression", "zstd:19")
    done = pixelprune(*args)
    assert done.returncode == 0, done.stderr
    assert pixelprune("verify", tmp_path / "out", "--data").returncode == 0


def test_patch_sets_larger_than_the_files_are_told(folder: Path, tmp_path: Path) -> None:
    hint = "--no-patches writes statistics only"
    photo = tmp_path / "photo.jpg"
    Image.effect_noise((320, 320), 80).convert("RGB").save(photo, quality=30)
    for _ in range(2):  # the second run has rows of the first alone
        done = pixelprune("analyze", photo, "-o", tmp_path / "out")
        assert "of the image files)" in done.stderr.decode()
        assert hint in done.stderr.decode()
    picture = tmp_path / "flat.png"
    Image.fromarray(blocks(320, 320)).save(picture, compress_level=0)
    done = pixelprune("analyze", picture, "-o", tmp_path / "flat")
    assert "of the image files)" in done.stderr.decode()
    assert hint not in done.stderr.decode()
