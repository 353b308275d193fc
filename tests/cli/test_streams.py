"""Standard streams that are closed, full, slow, or read by nobody; outputs with odd names."""

import json
import os
import pty
import resource
import select
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from ppcli.errors import ExitCode
from ppcli.store.verify import verify
from tests.command import command_line, pixelprune, pixelprune_process
from tests.conftest import blocks

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX streams")
NOT_UTF8 = os.fsdecode(b"out\xff")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for seed in range(3):
        Image.fromarray(blocks(seed=seed)).save(tmp_path / "in" / f"{seed}.png")
    return tmp_path / "in"


def closing(*numbers: int):
    def close() -> None:
        for number in numbers:
            os.close(number)

    return close


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("row_format", ["jsonl", "csv", "arrow", "parquet"])
def test_a_full_standard_output(images: Path, row_format: str) -> None:
    args = ["analyze", images, "-q", "-o", "-", "--format", row_format, "--workers", "0"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command_line(args), check=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == ExitCode.OUTPUT
    [line] = done.stderr.decode().splitlines()
    assert line == "pixelprune: standard output cannot be written: No space left on device"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("args", [["--help"], ["-V"], ["view", "--help"]], ids=" ".join)
def test_help_and_version_to_a_full_disk_and_to_nobody(args: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command_line(args), check=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == ExitCode.OUTPUT
    [line] = done.stderr.decode().splitlines()
    assert line == "pixelprune: standard output cannot be written: No space left on device"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command_line(args), check=False, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (ExitCode.OK, b"")


@pytest.mark.parametrize("workers", ["0", "1"])
def test_closed_streams_do_not_matter_to_a_folder(images, tmp_path, workers: str) -> None:
    args = ["analyze", images, "-o", tmp_path / "out", "--workers", workers]
    done = subprocess.run(command_line(args), check=False, preexec_fn=closing(0, 1, 2))
    assert done.returncode == ExitCode.OK
    report = verify(str(tmp_path / "out"), data=True)
    assert (report.damage, report.rows) == ([], 3)


def test_a_closed_standard_output_cannot_take_rows(images) -> None:
    args = command_line(["analyze", images, "-o", "-", "--workers", "0"])
    done = subprocess.run(args, check=False, stderr=subprocess.PIPE, preexec_fn=closing(1))
    assert done.returncode == ExitCode.OUTPUT
    assert b"standard output is closed" in done.stderr


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_lost_reader_of_messages_does_not_stop_the_run(images, tmp_path, log_format) -> None:
    (images / "0-broken.png").write_bytes(b"")
    args = ["analyze", images, "-o", tmp_path / "out", "--log-format", log_format]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command_line(args), check=False, stderr=write)
    os.close(write)
    assert done.returncode == ExitCode.INPUTS_FAILED
    assert verify(str(tmp_path / "out")).rows == 4


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_messages_to_a_full_disk_stop_nothing(images, tmp_path, log_format) -> None:
    (images / "0-broken.png").write_bytes(b"")
    args = ["analyze", images, "-v", "-o", tmp_path / "out", "--log-format", log_format]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command_line(args), check=False, stderr=full)
        assert done.returncode == ExitCode.INPUTS_FAILED
        assert verify(str(tmp_path / "out")).rows == 4
        usage = subprocess.run(command_line(["analyze", "--no"]), check=False, stderr=full)
        assert usage.returncode == ExitCode.USAGE


def test_a_terminal_that_has_gone_stops_nothing(images, tmp_path) -> None:
    (images / "0-broken.png").write_bytes(b"")
    names = [b"0-broken.png\n", b"0.png\n", b"1.png\n", b"2.png\n"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command_line(["analyze", "-", "-o", tmp_path / "out", "--workers", "0"]),
        stdin=subprocess.PIPE,
        stderr=theirs,
        cwd=images,
    ) as process:
        assert process.stdin is not None
        os.close(theirs)
        assert os.read(ours, 100)  # its bar
        os.close(ours)
        process.stdin.writelines(names)
        process.stdin.close()
    assert process.returncode == ExitCode.INPUTS_FAILED
    assert verify(str(tmp_path / "out")).rows == 4


@pytest.mark.slow
def test_a_reader_of_messages_that_is_slow_gets_them_all(images, tmp_path) -> None:
    """Its pipe does not wait: some programs leave it like this to others."""
    args = ["analyze", "-", "-v", "-o", tmp_path / "out.jsonl", "--workers", "0"]
    read, write = os.pipe()
    os.set_blocking(write, False)
    with subprocess.Popen(
        command_line(args), stdin=subprocess.PIPE, stderr=write, cwd=images
    ) as process:
        os.close(write)
        assert process.stdin is not None
        process.stdin.write(b"0.png\n" * 2500)
        process.stdin.close()
        said = b""
        while piece := os.read(read, 1000):
            said += piece
    os.close(read)
    assert process.returncode == ExitCode.OK
    assert said.count(b"tokens kept") == 2500


@pytest.mark.slow
def test_names_are_utf8_whatever_the_locale_says(images, tmp_path) -> None:
    (images / "0.png").rename(images / "größe.png")
    (images / "kaputt-é.png").write_bytes(b"")
    surroundings = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    rows = []
    for args, stdin in ((["."], None), (["-"], "größe.png\nkaputt-é.png\n1.png\n2.png\n".encode())):
        done = pixelprune_process(
            "analyze", *args, "-o", "-", cwd=images, stdin=stdin, **surroundings
        )
        assert done.returncode == ExitCode.INPUTS_FAILED, done.stderr
        rows.append({json.loads(line)["image_id"] for line in done.stdout.splitlines()})
    assert rows[0] == rows[1] == {"1.png", "2.png", "größe.png", "kaputt-é.png"}
    assert (
        pixelprune_process("analyze", "größe.png", "-o", "ö", cwd=images, **surroundings).returncode
        == 0
    )
    assert (images / "ö" / "manifest.json").exists()


def test_rows_leave_while_the_list_idles(images, tmp_path) -> None:
    args = ["analyze", "-", "-q", "-o", "-", "--workers", "1"]
    with subprocess.Popen(
        command_line(args), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=images
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for name in (b"0.png", b"1.png", b"2.png"):  # each is waited for with the list open
            process.stdin.write(name + b"\n")
            process.stdin.flush()
            assert select.select([process.stdout], [], [], 60)[0]
            row = json.loads(process.stdout.readline())
            assert row["image_id"] == name.decode()
        process.stdin.close()
    assert process.returncode == ExitCode.OK


@pytest.mark.skipif(sys.platform == "darwin", reason="file names are UTF-8 there")
def test_outputs_whose_names_are_not_utf8(images, tmp_path) -> None:
    for _ in range(2):  # the second run resumes
        assert pixelprune("analyze", images, "-o", NOT_UTF8, cwd=tmp_path).returncode == 0
    done = pixelprune("verify", "--data", NOT_UTF8, cwd=tmp_path)
    assert b"3 rasters rebuilt: 0 faults" in done.stderr
    done = pixelprune("reconstruct", NOT_UTF8, "--to", "pngs" + NOT_UTF8, cwd=tmp_path)
    assert done.returncode == 0
    assert b"3 images written to pngsout\\xff" in done.stderr
    assert len(os.listdir(tmp_path / ("pngs" + NOT_UTF8))) == 3


def test_lines_of_json_stay_json(images, tmp_path) -> None:
    (images / os.fsdecode("line\nbreak é\u2028 \x1b[31m.png".encode())).write_bytes(b"")
    args = ["analyze", images, "--log-format", "json", "-o"]
    done = pixelprune(*args, tmp_path / "out")
    first, *_ = lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert first["image_id"] == "line\nbreak é\u2028 \x1b[31m.png"
    assert first["message"].startswith("empty: line\\nbreak é")
    assert {line["level"] for line in lines} == {"warning", "info"}
    done = pixelprune(*args, tmp_path / "out", "--threshold", "0.1")
    assert done.returncode == ExitCode.OUTPUT
    [line] = [json.loads(line) for line in done.stderr.splitlines()]
    assert line["level"] == "error"
    assert "another configuration (threshold: 0.0, now 0.1)" in line["message"]


def test_a_name_of_nothing_is_a_usage_error(images) -> None:
    done = pixelprune("analyze", images, "-o", "")
    assert done.returncode == ExitCode.USAGE
    assert b"-o is empty" in done.stderr


def test_verbose_names_every_image(images, tmp_path) -> None:
    done = pixelprune("analyze", images, "-v", "-o", tmp_path / "out", "--workers", "0")
    lines = [line for line in done.stderr.decode().splitlines() if line.endswith("tokens kept")]
    assert [line.split()[0] for line in lines] == ["0.png:", "1.png:", "2.png:"]


@pytest.mark.slow
def test_a_disk_too_full_for_compiled_kernels_costs_no_image(images, tmp_path) -> None:
    cache = tmp_path / "cache"
    done = subprocess.run(
        command_line(["analyze", images, "-o", "-", "--workers", "0"]),
        check=False,
        capture_output=True,
        env=os.environ | {"NUMBA_CACHE_DIR": str(cache)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )
    assert done.returncode == ExitCode.OK, done.stderr
    assert len(done.stdout.splitlines()) == 3
    assert not [path for path in cache.rglob("*") if path.is_file() and path.stat().st_size]


def test_workers_that_cannot_start_are_named(images, tmp_path) -> None:
    done = subprocess.run(
        command_line(["analyze", images, "-o", "-", "--workers", "1"]),
        check=False,
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )
    assert done.returncode == ExitCode.UNEXPECTED
    assert b"use --workers 0 to run without them" in done.stderr
    assert b"Traceback" not in done.stderr


def test_verify_tells_leftovers_from_damage(images, tmp_path) -> None:
    out = tmp_path / "out"
    pixelprune("analyze", images, "-o", out, "--workers", "0")
    (out / "stats" / ".0123.pixelprune-tmp").write_bytes(b"half")
    done = pixelprune("verify", out)
    assert done.returncode == ExitCode.OK
    assert b"1 unfinished file, which resuming removes" in done.stderr
    (out / "stats" / "other.parquet").write_bytes(b"half")
    assert pixelprune("verify", out).returncode == ExitCode.DAMAGED
    pixelprune("analyze", images, "-o", out, "--workers", "0")
    assert verify(str(out)).leftovers == 0


def test_a_manifest_that_cannot_be_read(images, tmp_path) -> None:
    out = tmp_path / "out"
    (out / "manifest.json").mkdir(parents=True)
    for command, code in (
        (["verify", out], ExitCode.DAMAGED),
        (["analyze", images, "-o", out], ExitCode.OUTPUT),
        (["reconstruct", out, "--to", tmp_path / "pngs"], ExitCode.DAMAGED),
    ):
        done = pixelprune(*command)
        assert done.returncode == code
        assert b"manifest.json is not a regular file" in done.stderr
        assert b"Traceback" not in done.stderr


def test_options_without_effect_are_no_other_configuration(images, tmp_path) -> None:
    command = ["analyze", images, "-o", tmp_path / "out", "--workers", "0"]
    pixelprune(*command)
    assert pixelprune(*command, "--seed", "3", "--skip-ratio", "0.5").returncode == ExitCode.OK
    done = pixelprune(*command, "--fit", "pad", "--background", "black")
    words = 'background: "#ffffff", now "#000000"; fit: "resize", now "pad"'
    assert words in " ".join(done.stderr.decode().split())


def test_other_attempts_at_failures_can_be_limited(images, tmp_path) -> None:
    for number in range(4):
        (images / f"broken{number}.png").write_bytes(b"")
    out = tmp_path / "out"
    command = ["analyze", images, "-o", out, "--workers", "0"]
    assert pixelprune(*command).returncode == ExitCode.INPUTS_FAILED
    before = pq.read_table(out / "stats").to_pylist()
    done = pixelprune(*command, "--retry-failed", "--fail-fast")
    assert done.returncode == ExitCode.INPUTS_FAILED
    assert b"stopped after the first failure (--fail-fast)" in done.stderr
    assert pq.read_table(out / "stats").to_pylist() == before

    for number in range(4):
        Image.fromarray(blocks(seed=9)).save(images / f"broken{number}.png")
    done = pixelprune(*command, "--retry-failed", "--fail-fast")
    assert done.returncode == ExitCode.OK
    words = " ".join(done.stderr.decode().split())
    assert "images 7 tokens" in words
    assert "files done by an earlier run 3 " in words


def test_reconstruct_takes_no_image(images, tmp_path) -> None:
    done = pixelprune("reconstruct", images / "0.png", "--to", tmp_path / "pngs")
    assert done.returncode == ExitCode.USAGE
