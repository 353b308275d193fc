"""Runs `infer` and reads its rows; shared by the tests of the command."""

import json
import os
import subprocess
from pathlib import Path

import pyarrow.parquet as pq

from tests.command import command_line, pixelprune

PROMPT = ("--prompt", "What is the total?", "--max-new-tokens", "6", "--device", "cpu")


def infer(*args: str | Path, code: int = 0, **options: object) -> subprocess.CompletedProcess:
    """Run `infer` and check its exit code."""
    done = pixelprune("infer", *args, **options)
    assert done.returncode == code, done.stderr.decode()
    return done


def lines(data: bytes) -> list[dict]:
    """The objects of JSON Lines."""
    return [json.loads(line) for line in data.splitlines()]


def without_times(rows: list[dict]) -> list[dict]:
    """The rows without their times, which differ between runs."""
    return [{k: v for k, v in row.items() if not k.endswith("_ms")} for row in rows]


def answers_in(out: Path) -> list[dict]:
    """The rows of a dataset of answers, without their times."""
    paths = sorted((out / "answers").glob("*.parquet"))
    return without_times([row for path in paths for row in pq.read_table(path).to_pylist()])


def on_a_terminal(*args: str | Path, code: int = 0) -> str:
    """Run `infer` with its standard output on a pseudo-terminal.

    Returns:
        What the terminal shows.
    """
    import pty

    master, slave = pty.openpty()
    command = command_line(["infer", *args])
    with subprocess.Popen(command, stdout=slave, stderr=subprocess.DEVNULL) as run:
        os.close(slave)
        shown = b""
        while True:
            try:
                block = os.read(master, 4096)
            except OSError:  # the other end is closed
                break
            if not block:
                break
            shown += block
    os.close(master)
    assert run.returncode == code
    return shown.decode().replace("\r\n", "\n")
