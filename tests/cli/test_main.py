import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

import ppcli
from ppcli.cli.main import app
from ppcli.errors import ExitCode
from tests.command import command_line, pixelprune
from tests.conftest import blocks


def imported_by(statement: str) -> set[str]:
    script = f"import sys\n{statement}\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    return {name.partition(".")[0] for name in done.stderr.decode().split()}


@pytest.mark.parametrize("args", [["--help"], ["analyze", "--help"], ["--version"]])
def test_help_is_light(args: list[str]) -> None:
    loaded = imported_by(
        f"import sys\nsys.argv[1:] = {args}\nfrom ppcli.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass"
    )
    assert "typer" in loaded
    assert not loaded & {"numba", "numpy", "pyarrow", "PIL", "onnxruntime", "xxhash"}


def test_analyze_imports_only_what_it_uses(folder: Path, tmp_path: Path) -> None:
    args = ["analyze", "-q", str(folder), "-o", str(tmp_path / "out")]
    loaded = imported_by(
        f"import sys\nsys.argv[1:] = {args}\n"
        "from ppcli.cli.main import main\ntry: main()\nexcept SystemExit: pass"
    )
    assert {"pyarrow", "PIL"} <= loaded
    assert not loaded & {"numba", "onnxruntime", "torch", "transformers", "duckdb", "polars"}


def test_the_package_itself_is_light() -> None:
    assert not imported_by("import ppcli") & {"numba", "numpy", "pyarrow", "PIL", "typer"}


def test_exported_names() -> None:
    assert ppcli.__all__ == [
        "CoderOptions",
        "PatchSet",
        "PrunedCollator",
        "PrunedInputs",
        "__version__",
        "analyze",
        "bench",
        "evaluate",
        "export",
        "infer",
        "keep_mask",
        "prune",
        "pruned_inputs",
        "read_patch_sets",
        "reconstruct",
        "report",
        "sweep",
        "verify",
        "view",
    ]
    for name in ppcli.__all__:
        assert getattr(ppcli, name) is not None
    assert set(ppcli.__all__) <= set(dir(ppcli))
    with pytest.raises(AttributeError):
        ppcli.nothing  # noqa: B018


def test_exit_codes_are_the_contract() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "UNEXPECTED": 1,
        "USAGE": 2,
        "INPUTS_FAILED": 3,
        "NOTHING_TO_DO": 4,
        "OUTPUT": 5,
        "DAMAGED": 6,
        "MISSING_DEPENDENCY": 7,
        "SERVER": 8,
        "INTERRUPTED": 130,
        "TERMINATED": 143,
    }


def test_version() -> None:
    done = pixelprune("--version")
    assert done.stdout.decode().split() == ["pixelprune", ppcli.__version__]


@pytest.mark.parametrize("args", [["analyze"], ["verify"], ["reconstruct", "x"], ["no-such"]])
def test_usage_errors_exit_with_two(args: list[str]) -> None:
    assert pixelprune(*args).returncode == ExitCode.USAGE


def test_a_fault_in_the_program_exits_with_one(tmp_path: Path) -> None:
    script = (
        "import sys\nimport ppcli.store.verify as v\n"
        "def fault(*_): raise RuntimeError('inner fault')\nv.verify = fault\n"
        "sys.argv[1:] = ['verify', '.']\nfrom ppcli.cli.main import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert done.returncode == ExitCode.UNEXPECTED
    assert b"inner fault" in done.stderr
    assert b"please report" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)],
)
def test_signals(tmp_path: Path, number: signal.Signals, code: ExitCode) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(blocks(64, 64)).save(tmp_path / "in" / "a.png")
    names = b"in/a.png\n" * 50
    with subprocess.Popen(
        command_line(["analyze", "-", "-o", tmp_path / "out.jsonl"]),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(names)
        process.stdin.flush()
        while not list(tmp_path.glob("*.partial/stats/.*.pixelprune-tmp")):
            time.sleep(0.05)
        process.send_signal(number)
        errors = process.stderr.read().decode()
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out.jsonl.partial"}
    assert f"the rows so far are kept in {tmp_path}/out.jsonl.partial; run the same" in errors
    again = pixelprune("analyze", "-", "-o", "out.jsonl", stdin=names, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert b"done by an earlier run" in again.stderr
    assert len((tmp_path / "out.jsonl").read_bytes().splitlines()) == 50
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out.jsonl"}


def test_every_command_has_help() -> None:
    names = [command.name for command in app.registered_commands]
    assert names == [
        *("analyze", "sweep", "infer", "export", "bench", "eval"),
        *("view", "report", "reconstruct", "verify"),
    ]
    for name in names:
        assert pixelprune(name, "--help").returncode == 0
