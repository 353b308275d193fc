"""Outputs that are one file: stopped, killed, out of room, and gone on with."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from ppcli.errors import ExitCode
from ppcli.models.onnx.directory import SMALL_MODEL
from tests.cli.test_signals import SLOW, folder_of, running, surroundings
from tests.command import command_line, pixelprune, pixelprune_process
from tests.engine import hostile_decoder
from tests.store.test_single_file import without_times

__all__ = ["surroundings"]
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and limits")
linux = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
SIGNALS = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    **({} if sys.platform == "win32" else {signal.SIGKILL: -signal.SIGKILL}),
}


@pytest.mark.slow
@linux
@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("x.parquet", signal.SIGINT),
        ("x.csv", signal.SIGTERM),
        ("x.jsonl", signal.SIGKILL),
        ("x.csv.gz", signal.SIGKILL),
    ],
)
def test_statistics_that_are_stopped_go_on(
    tmp_path: Path, surroundings: dict[str, str], name: str, number: signal.Signals
) -> None:
    folder_of(tmp_path / "in", *SLOW)
    args = ["in", "--frames", "all", "-o", name, "--workers", "2", "--rows-per-shard", "3"]
    kept = tmp_path / f"{name}.partial"
    with running(args, surroundings, cwd=tmp_path) as job:
        assert job.waits_until((kept / "stats" / "part-00000.parquet").exists)
        job.signal(number)
        job.process.wait(60)
        assert job.process.returncode == SIGNALS[number], job.log
        if number != signal.SIGKILL:
            assert f"the rows so far are kept in {name}.partial; run the same command" in job.log
    assert not (tmp_path / name).exists()
    tame = surroundings | {hostile_decoder.TAME: "1"}
    again = pixelprune_process("analyze", *args, cwd=tmp_path, **tame)
    assert again.returncode == ExitCode.OK, again.stderr
    assert b"done by an earlier run" in again.stderr
    fresh = pixelprune_process("analyze", *args[:3], "-o", f"fresh-{name}", cwd=tmp_path, **tame)
    assert fresh.returncode == ExitCode.OK, fresh.stderr
    assert len(without_times(tmp_path / name)) == 16
    assert without_times(tmp_path / name) == without_times(tmp_path / f"fresh-{name}")
    assert not kept.exists()


@pytest.mark.slow
@linux
@pytest.mark.parametrize("number", SIGNALS)
def test_lines_of_an_openai_batch_that_are_stopped_go_on(
    tmp_path: Path, number: signal.Signals
) -> None:
    image = os.path.join(SMALL_MODEL, "..", "..", "sample_data", "form.png")
    lines = [{"custom_id": f"c{n}", "prompt": f"What is {n}?", "image": image} for n in range(8)]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    args = ["infer", "--requests", "r.jsonl", "--format", "openai", "--rows-per-shard", "1"]
    args += ["--batch-size", "1", "--max-new-tokens", "4", "--device", "cpu"]
    first = tmp_path / "x.jsonl.partial" / "answers" / "part-00000.parquet"
    with subprocess.Popen(
        command_line([*args, "-o", "x.jsonl"]), stderr=subprocess.PIPE, cwd=tmp_path
    ) as process:
        while not first.exists() and process.poll() is None:
            pass
        process.send_signal(number)
        said = process.communicate()[1].decode()
    assert process.returncode == SIGNALS[number], said
    assert not (tmp_path / "x.jsonl").exists()
    again = pixelprune(*args, "-o", "x.jsonl", cwd=tmp_path)
    assert again.returncode == ExitCode.OK, again.stderr
    assert b"done by an earlier run" in again.stderr
    assert pixelprune(*args, "-o", "whole.jsonl", cwd=tmp_path).returncode == ExitCode.OK
    assert (tmp_path / "x.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["r.jsonl", "whole.jsonl", "x.jsonl"]


@pytest.mark.slow
@posix
def test_no_room_for_the_file_itself(tmp_path: Path) -> None:
    """Its shards are small enough, and it is not; all rows are there for the next run."""
    (tmp_path / "in").mkdir()
    for number in range(300):
        Image.new("RGB", (8, 8), (number % 256, 0, 0)).save(tmp_path / "in" / f"{number}.png")
    args = ["analyze", "in", "-o", "x.jsonl", "--rows-per-shard", "60", "--workers", "1"]
    limited = f"ulimit -f 100; exec {' '.join(command_line(args))}"
    done = subprocess.run(["bash", "-c", limited], check=False, capture_output=True, cwd=tmp_path)
    said = done.stderr.decode()
    assert done.returncode == ExitCode.OUTPUT, said
    assert "x.jsonl cannot be written: File too large; all rows are kept in x.jsonl.partial" in said
    assert "Traceback" not in said
    assert sorted(os.listdir(tmp_path)) == ["in", "x.jsonl.partial"]
    again = pixelprune(*args, cwd=tmp_path)
    assert again.returncode == ExitCode.OK, again.stderr
    assert " ".join(again.stderr.decode().split()).count("done by an earlier run 300") == 1
    assert len(without_times(tmp_path / "x.jsonl")) == 300
    assert sorted(os.listdir(tmp_path)) == ["in", "x.jsonl"]


def test_a_file_that_is_read_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text('{"prompt": "?"}\n')
    for args in (
        ["infer", "--requests", "r.jsonl", "-o", "./r.jsonl"],
        ["eval", "--data", "r.jsonl", "-o", "r.jsonl"],
        ["analyze", "--files0-from", "r.jsonl", "-o", "r.jsonl"],
    ):
        done = pixelprune(*args, "--overwrite", cwd=tmp_path)
        assert done.returncode == ExitCode.USAGE
        assert b"which the run reads" in done.stderr
    assert (tmp_path / "r.jsonl").read_text() == '{"prompt": "?"}\n'


def test_other_outputs_make_their_folder_too_and_refuse_what_they_cannot_write(
    tmp_path: Path,
) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    for args in (
        ["view", "a.png", "-o", "s3://b/x.png"],
        ["view", "a.png", "-o", "x.zip"],
        ["view", "a.png", "-o", "x.jpg"],
        ["reconstruct", "out", "--to", "x.png"],
        ["reconstruct", "out", "--to", "gs://b"],
        ["report", "out", "-o", "s3://b/x.html"],
        ["report", "out", "-o", "x.html.gz"],
        ["bench", "a.png", "-o", "http://h/x.json"],
        ["bench", "a.png", "-o", "x.json.gz"],
        ["export", "nowhere", "s3://b/model"],
        ["eval", "--data", "q.jsonl", "-o", "x.xlsx"],
        ["infer", "a.png", "--prompt", "?", "-o", "x.tar"],
    ):
        done = pixelprune(*args, cwd=tmp_path)
        assert done.returncode == ExitCode.USAGE, args
        assert args[-1].encode() in done.stderr, args
        assert os.listdir(tmp_path) == ["a.png"], args
