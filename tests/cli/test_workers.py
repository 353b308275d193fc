import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from ppcli.errors import ErrorCode, ExitCode
from ppcli.store.verify import verify
from tests.command import command_line, pixelprune, pixelprune_process
from tests.conftest import blocks
from tests.engine import hostile_decoder
from tests.engine.hostile_decoder import hostile
from tests.processes import alive, eventually

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX processes")
NOISE = """\
import os
from PIL import Image

def noisy(*args, open=Image.open, **options):
    print("a library prints", flush=True)
    os.write(1, b"a library writes\\n")
    return open(*args, **options)

Image.open = noisy
"""


def rows_of(stdout: bytes) -> list[dict]:
    """The rows of JSON lines, without what differs between two runs."""
    rows = [json.loads(line) for line in stdout.splitlines()]
    for row in rows:
        del row["decode_ms"], row["code_ms"]
    return rows


def dataset_rows(root: Path) -> list[dict]:
    table = pq.read_table(root / "stats").drop_columns(["decode_ms", "code_ms"])
    return table.to_pylist()


def damage(root: Path) -> list[str]:
    """What `verify` finds wrong with a dataset."""
    return verify(str(root)).damage


def sentence(done: subprocess.CompletedProcess[bytes]) -> str:
    """Standard error as one line, without the frame around usage errors."""
    return " ".join(done.stderr.decode().replace("│", " ").split())


@pytest.fixture(scope="module")
def hostile_files(corpus: Path) -> list[str]:
    files = sorted(entry.path for entry in os.scandir(corpus / "hostile") if entry.is_file())
    assert len(files) > 60
    return files


def over_hostile_files(files: list[str], workers: int) -> subprocess.CompletedProcess[bytes]:
    names = b"\0".join(map(os.fsencode, files))
    args = ["--files0-from", "-", "--frames", "all", "-o", "-", "--workers", str(workers)]
    return pixelprune("analyze", *args, stdin=names)


@pytest.fixture(scope="module")
def in_process(hostile_files: list[str]) -> list[dict]:
    """The rows of the hostile files, worked on in the process of the command itself."""
    done = over_hostile_files(hostile_files, 0)
    assert done.returncode == ExitCode.INPUTS_FAILED
    assert b"Traceback" not in done.stderr
    return rows_of(done.stdout)


def test_every_hostile_file_gets_its_rows(hostile_files, in_process) -> None:
    in_order = list(dict.fromkeys(row["path"] for row in in_process))
    assert in_order == hostile_files
    assert len({row["image_id"] for row in in_process}) == len(in_process)
    for row in in_process:
        name = row["image_id"]
        if row["status"] == "error":
            assert row["error_code"] in set(ErrorCode)
            assert row["error_message"].startswith(f"{name}: ")
            assert "\n" not in row["error_message"]
            assert " at 0x" not in row["error_message"]
        else:
            assert 0 < row["kept"] <= row["tokens"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_gives_the_same_rows(hostile_files, in_process, workers: int) -> None:
    done = over_hostile_files(hostile_files, workers)
    assert done.returncode == ExitCode.INPUTS_FAILED
    assert b"Traceback" not in done.stderr
    assert rows_of(done.stdout) == in_process


def beside_noise(folder: Path, *args: str) -> subprocess.CompletedProcess[bytes]:
    """Analyze a folder while a library prints at every image."""
    site = folder.parent / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(NOISE)
    surroundings = {"PYTHONPATH": hostile_decoder.first_on_path(site)}
    done = pixelprune_process("analyze", folder, *args, cwd=folder.parent, **surroundings)
    assert done.returncode == ExitCode.INPUTS_FAILED
    return done


@pytest.mark.parametrize("workers", ["0", "2"])
def test_standard_output_is_data_only_though_a_library_prints(folder: Path, workers: str) -> None:
    done = beside_noise(folder, "-o", "-", "--workers", workers, "-v")
    assert done.stderr.count(b"a library prints") >= 4, "the library has to have printed"
    assert done.stderr.count(b"a library writes") >= 4
    rows = [(row["image_id"], row["status"]) for row in rows_of(done.stdout)]
    assert rows == [("a.png", "ok"), ("b.jpg", "ok"), ("broken.png", "error"), ("sub/a.png", "ok")]


@pytest.mark.slow
def test_binary_data_is_whole_though_a_library_prints(folder: Path) -> None:
    done = beside_noise(folder, "-o", "-", "--workers", "1", "--format", "parquet")
    assert b"a library" not in done.stdout + done.stderr, "decoders are heard when asked for"
    assert pq.read_table(io.BytesIO(done.stdout)).num_rows == 4


@pytest.mark.slow
@pytest.mark.parametrize("output", ["out", "out.csv"])
@pytest.mark.parametrize("workers", ["0", "2"])
def test_standard_output_is_empty_though_a_library_prints(folder, workers: str, output) -> None:
    assert beside_noise(folder, "-o", output, "--workers", workers).stdout == b""


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Twelve images, every third of which is broken."""
    root = tmp_path / "in"
    root.mkdir()
    for number in range(12):
        path = root / f"{number:02}.png"
        Image.fromarray(blocks(64, 64, seed=number)).save(path)
        if number % 3 == 2:
            path.write_bytes(path.read_bytes()[:60])
    return root


@pytest.mark.parametrize(
    ("workers", "options", "failures"),
    [("2", ["--max-failures", "3"], 3), ("0", ["--fail-fast"], 1)],
)
def test_failures_stop_the_run_and_the_same_command_goes_on(
    mixed: Path, tmp_path: Path, workers: str, options: list[str], failures: int
) -> None:
    command = ["analyze", mixed, "-o", tmp_path / "out", "--workers", workers]
    done = pixelprune(*command, *options)
    assert done.returncode == ExitCode.INPUTS_FAILED
    assert options[0] in sentence(done)
    assert "run the same command to resume" in sentence(done)
    assert b"Traceback" not in done.stderr
    rows = dataset_rows(tmp_path / "out")
    assert len(rows) == 3 * failures
    assert [row["status"] for row in rows] == ["ok", "ok", "error"] * failures
    assert damage(tmp_path / "out") == []

    assert pixelprune(*command).returncode == ExitCode.INPUTS_FAILED
    undisturbed = pixelprune("analyze", mixed, "-o", "-", "--workers", "0")
    assert dataset_rows(tmp_path / "out") == rows_of(undisturbed.stdout)
    assert damage(tmp_path / "out") == []


def test_the_same_command_goes_on_until_all_failures_are_known(mixed: Path, tmp_path: Path) -> None:
    """Failures of an earlier run do not count against the limit of this one."""
    command = ["analyze", mixed, "-o", tmp_path / "out", "--workers", "0"]
    lengths = []
    for _ in range(3):
        assert pixelprune(*command, "--max-failures", "2").returncode == ExitCode.INPUTS_FAILED
        lengths.append(len(dataset_rows(tmp_path / "out")))
    assert lengths == [6, 12, 12]


def test_as_many_failures_as_there_are_inputs_is_no_early_stop(mixed: Path) -> None:
    done = pixelprune("analyze", mixed, "-o", "-", "--max-failures", "5", "--workers", "1")
    assert done.returncode == ExitCode.INPUTS_FAILED
    assert len(rows_of(done.stdout)) == 12
    assert "--max-failures" not in sentence(done)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--worker-memory", "a lot"], "'a lot' is not a size"),
        (["--worker-memory", "-4GB"], "is not a size"),
        (["--worker-memory", "4XB"], "is not a size"),
        (["--worker-memory", ""], "is not a size"),
        (["--worker-memory", "1e9"], "is not a size"),
        (["--workers", "-1"], "--workers"),
        (["--workers", "two"], "--workers"),
        (["--timeout", "0"], "--timeout"),
        (["--timeout", "nan"], "--timeout"),
        (["--timeout", "-3"], "--timeout"),
        (["--max-failures", "0"], "--max-failures"),
    ],
)
def test_limits_that_make_no_sense_are_usage_errors(folder: Path, args, words: str) -> None:
    done = pixelprune("analyze", "in", *args, cwd=folder.parent)
    assert done.returncode == ExitCode.USAGE
    assert words in sentence(done)
    assert not (folder.parent / "pixelprune-out").exists()


def test_a_limit_that_is_enough_changes_nothing(folder: Path) -> None:
    args = ["analyze", folder, "-o", "-"]
    limited = pixelprune(*args, "--worker-memory", "2GB", "--workers", "1")
    assert limited.returncode == ExitCode.INPUTS_FAILED
    assert rows_of(limited.stdout) == rows_of(pixelprune(*args, "--workers", "0").stdout)


def test_a_limit_that_lets_no_worker_start_leaves_nothing_behind(folder: Path) -> None:
    done = pixelprune("analyze", "in", "--worker-memory", "20MB", cwd=folder.parent)
    assert done.returncode == ExitCode.USAGE
    assert (
        "20MB are too little memory for a worker (--worker-memory); use at least 256MB"
        in sentence(done)
    )
    assert not (folder.parent / "pixelprune-out").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="needs memory limits of Linux")
def test_the_least_limit_lets_workers_start(folder: Path) -> None:
    args = ["analyze", folder, "-o", "-", "--workers", "2"]
    done = pixelprune(*args, "--worker-memory", "256MB")
    assert done.returncode == ExitCode.INPUTS_FAILED
    assert len(rows_of(done.stdout)) == 4


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs memory limits of Linux")
def test_without_a_limit_a_worker_takes_no_more_than_its_share(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "site").mkdir()
    for name, verb in {"a": "ok", "b": "memory", "c": "ok"}.items():
        (tmp_path / "in" / f"{name}.png").write_bytes(hostile(verb))
    surroundings = hostile_decoder.environment(tmp_path / "site")
    args = ["analyze", tmp_path / "in", "-o", "-", "--max-image-pixels", "1000000"]
    done = pixelprune_process(*args, "--workers", "2", **surroundings)
    codes = [row["error_code"] for row in rows_of(done.stdout)]
    assert codes == [None, "out_of_memory", None]


@pytest.mark.slow
@posix
def test_what_goes_wrong_with_a_worker_is_a_row_and_a_line(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "site").mkdir()
    verbs = {"a": "ok", "b": "hang", "c": "ok", "d": "crash", "e": "exit", "f": "ok"}
    for name, verb in verbs.items():
        (tmp_path / "in" / f"{name}.png").write_bytes(hostile(verb))
    surroundings = hostile_decoder.environment(tmp_path / "site")
    command = ["analyze", tmp_path / "in", "-o", tmp_path / "out", "--workers", "2"]
    done = pixelprune_process(*command, "--timeout", "2.5", "--log-format", "json", **surroundings)
    assert done.returncode == ExitCode.INPUTS_FAILED
    assert done.stdout == b""
    logged = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in logged].count("error") == 0
    failed = [(line["image_id"], line["error_code"]) for line in logged if "image_id" in line]
    expected = [("b.png", "timeout"), ("d.png", "worker_died"), ("e.png", "worker_died")]
    assert failed == expected
    rows = dataset_rows(tmp_path / "out")
    assert [row["image_id"] for row in rows] == [f"{name}.png" for name in verbs]
    assert [(r["image_id"], r["error_code"]) for r in rows if r["status"] != "ok"] == expected
    assert (
        rows[1]["error_message"]
        == "b.png: not finished within 2.5 seconds, in two attempts (--timeout)"
    )
    assert rows[3]["error_message"].endswith("was ended by SIGSEGV, in two attempts")
    assert rows[4]["error_message"].endswith("ended with exit code 7, in two attempts")

    tame = surroundings | {hostile_decoder.TAME: "1"}
    again = pixelprune_process(*command, "--retry-failed", **tame)
    assert again.returncode == ExitCode.OK, again.stderr
    rows = dataset_rows(tmp_path / "out")
    assert [(row["image_id"], row["status"]) for row in rows] == [(f"{n}.png", "ok") for n in verbs]
    assert pixelprune("verify", tmp_path / "out", "--data").returncode == ExitCode.OK


BAD_START = """
import os, signal, sys
from pathlib import Path

if "--multiprocessing-fork" in sys.orig_argv and "TAME" not in os.environ:
    marks = Path(os.environ["START_MARKS"])
    (marks / str(os.getpid())).touch()
    if len(list(marks.iterdir())) > int(os.environ["GOOD_STARTS"]):
        {end}
"""


def bad_starts(tmp_path: Path, end: str, good: int) -> dict[str, str]:
    """What lets so many workers start and ends the others; each leaves its number."""
    for name in ("bad-site", "starts"):
        (tmp_path / name).mkdir()
    (tmp_path / "bad-site" / "sitecustomize.py").write_text(BAD_START.format(end=end))
    return {
        "PYTHONPATH": hostile_decoder.first_on_path(tmp_path / "bad-site"),
        "START_MARKS": str(tmp_path / "starts"),
        "GOOD_STARTS": str(good),
    }


def started(args: list[str | Path], surroundings: dict) -> subprocess.CompletedProcess[bytes]:
    """As `pixelprune`, and not for ever."""
    args, env = command_line(args), os.environ | surroundings
    return subprocess.run(args, check=False, capture_output=True, env=env, timeout=300)


def none_is_left(tmp_path: Path) -> bool:
    pids = [int(path.name) for path in (tmp_path / "starts").iterdir()]
    return bool(pids) and eventually(lambda: not any(map(alive, pids)))


@pytest.mark.slow
@posix
@pytest.mark.parametrize(
    ("end", "how"),
    [
        ("os._exit(0)", "ended with exit code 0"),
        ("os._exit(9)", "ended with exit code 9"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "was ended by SIGKILL"),
    ],
)
def test_workers_that_end_before_they_work_are_an_error(folder: Path, end: str, how: str) -> None:
    root = folder.parent
    surroundings = bad_starts(root, end, good=0)
    args = ["analyze", folder, "-o", root / "out", "--workers", "2"]
    done = started(args, surroundings)
    assert done.returncode == ExitCode.UNEXPECTED
    said = sentence(done)
    assert f"cannot start the worker processes (one {how}); use --workers 0 to run" in said
    assert "run the same command to resume" in said
    assert b"Traceback" not in done.stderr
    assert none_is_left(root)
    assert pixelprune_process(*args, **surroundings, TAME="1").returncode == ExitCode.INPUTS_FAILED


@pytest.mark.slow
@posix
@pytest.mark.parametrize("end", ["os._exit(0)", "os._exit(1)"])
def test_workers_that_cannot_be_replaced_cost_nothing_finished(mixed: Path, end: str) -> None:
    """Both workers die of an image, and no other one starts."""
    root = mixed.parent
    (root / "site").mkdir()
    surroundings = hostile_decoder.environment(root / "site")
    bad = bad_starts(root, end, good=2)
    path = os.pathsep.join([bad["PYTHONPATH"], surroundings["PYTHONPATH"]])
    with open(root / "bad-site" / "sitecustomize.py", "a") as site:
        site.write((root / "site" / "sitecustomize.py").read_text())
    surroundings |= bad | {"PYTHONPATH": path}
    for name in ("06.png", "07.png"):
        (mixed / name).write_bytes(hostile("crash"))
    args = ["analyze", mixed, "-o", root / "out", "--workers", "2", "--rows-per-shard", "2"]
    done = started(args, surroundings)
    assert done.returncode == ExitCode.UNEXPECTED
    assert "cannot start the worker processes" in sentence(done)
    assert none_is_left(root)
    assert damage(root / "out") == []
    codes = [row["error_code"] for row in dataset_rows(root / "out")]
    assert codes[:6] == [None, None, "truncated"] * 2
    assert set(codes[6:]) <= {"worker_died"}

    again = pixelprune_process(*args, **surroundings, TAME="1")
    assert again.returncode == ExitCode.INPUTS_FAILED
    codes = [row["error_code"] for row in dataset_rows(root / "out")]
    assert codes[6:] == ["worker_died", "worker_died", "truncated", None, None, "truncated"]
    assert damage(root / "out") == []
