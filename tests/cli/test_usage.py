"""Command lines that make no sense, and those that a shell completes."""

import json
import os
import pty
import select
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ppcli
from ppcli.errors import ExitCode, pluralize
from tests.command import pixelprune
from tests.processes import surroundings

SENSELESS = [
    ["analyze", "x", "--method", "pred2d"],
    ["analyze", "x", "--metod", "raster"],
    ["analyze", "x", "--limit", "none"],
    ["analyze", "x", "--threshold", "high"],
    ["analyze", "x", "--preset", "qwen3vl"],
    ["analyze", "no-such-file.png"],
    ["infer", "x"],
    ["verify", "no-such-folder"],
    ["reconstruct", "x"],
    ["no-such-command"],
]


@pytest.mark.parametrize("args", SENSELESS, ids=" ".join)
def test_a_usage_error_is_one_line_of_json_where_that_is_asked_for(args: list[str]) -> None:
    for spelled in (["--log-format", "json"], ["--log-format=json"]):
        done = pixelprune(*args, *spelled)
        assert done.returncode == ExitCode.USAGE
        assert done.stdout == b""
        [line] = [json.loads(line) for line in done.stderr.splitlines()]
        assert line["level"] == "error"
        assert line["message"]


@pytest.mark.parametrize(
    ("args", "meant"),
    [
        (["analyze", "x", "--method", "pred2d"], "Did you mean 'pred_2d'?"),
        (["analyze", "x", "--method=rastr"], "Did you mean 'raster'?"),
        (["analyze", "x", "--fit", "resise"], "Did you mean 'resize'?"),
        (["analyze", ".", "--preset", "qwen3vl"], "Did you mean 'qwen3-vl'?"),
        (["analyze", ".", "--estimate", "qwen3-vl-8"], "Did you mean 'qwen3-vl-8b'?"),
        (["analze", "x"], "Did you mean 'analyze'?"),
    ],
)
def test_a_name_that_is_nearly_right_is_told(args: list[str], meant: str) -> None:
    done = pixelprune(*args)
    assert done.returncode == ExitCode.USAGE
    assert meant in done.stderr.decode()


def test_a_name_that_is_nothing_like_it_is_no_suggestion() -> None:
    done = pixelprune("analyze", "x", "--method", "zzz")
    assert done.returncode == ExitCode.USAGE
    assert b"Did you mean" not in done.stderr
    assert b"Invalid value for '--method': 'zzz' is not one of 'pred_2d'" in done.stderr


def test_the_short_option_of_the_version() -> None:
    assert pixelprune("-V").stdout == f"pixelprune {ppcli.__version__}\n".encode()


def test_one_thing_is_no_plural() -> None:
    said = [pluralize(number, "image") for number in (0, 1, 2, 1200)]
    assert said == ["0 images", "1 image", "2 images", "1,200 images"]


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """A home folder, and the command on the path."""
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "pixelprune"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m ppcli "$@"\n')
    command.chmod(0o755)
    path = os.pathsep.join([os.fspath(tmp_path / "bin"), os.environ["PATH"]])
    return surroundings() | {"HOME": os.fspath(tmp_path), "PATH": path, "TERM": "dumb"}


COMPLETED = [
    ("pixelprune reconst", "reconstruct"),
    ("pixelprune analyze --match-c", "--match-count"),
    ("pixelprune analyze --method serp", "serpentine"),
    ("pixelprune verify some-f", "some-folder"),
]


class Typist:
    """Someone at a shell."""

    def __init__(self, args: list[str], environment: dict[str, str], folder: Path) -> None:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            args,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
        os.close(theirs)

    def types(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def sees(self, text: str, seconds: float = 60.0) -> bool:
        """Whether it appears behind what was seen before."""
        seen, deadline = "", time.monotonic() + seconds
        while text not in seen and time.monotonic() < deadline:
            if select.select([self._ours], [], [], 0.1)[0]:
                seen += os.read(self._ours, 4096).decode(errors="replace")
        return text in seen

    def leaves(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)


def with_completion(shell: str, home: dict[str, str]) -> str:
    """The shell, in which completion was installed."""
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"there is no {shell} here")
    install = [found, "-c", "pixelprune --install-completion; true"]
    done = subprocess.run(install, env=home, check=True, capture_output=True)
    assert f"{shell} completion installed" in done.stdout.decode(), done
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_shells_complete_commands_options_values_and_files(shell: str, home, tmp_path) -> None:
    (tmp_path / "some-folder").mkdir()
    for typed, completed in COMPLETED:
        typist = Typist([with_completion(shell, home), "-i"], home, tmp_path)
        try:
            typist.types("echo re''ady\r")
            assert typist.sees("ready")
            typist.types(typed + "\t")
            assert typist.sees(completed)
        finally:
            typist.leaves()


@pytest.mark.slow
def test_fish_completes_them(home, tmp_path) -> None:
    (tmp_path / "some-folder").mkdir()
    fish = with_completion("fish", home)
    for typed, completed in COMPLETED:
        ask = [fish, "-c", f'complete --do-complete "{typed}"']
        done = subprocess.run(ask, env=home, cwd=tmp_path, check=True, capture_output=True)
        assert done.stdout.decode().startswith(completed)
