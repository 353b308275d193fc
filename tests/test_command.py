"""A command in this process gives what one in a process of its own gives, and leaves no trace."""

import gc
import logging
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from tests.command import pixelprune, pixelprune_process

slow = pytest.mark.slow


def state() -> list[object]:
    """What a command could change for the tests after it."""
    signals = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    loggers = [logging.getLogger(name) for name in (None, "pixelprune")]
    streams = [sys.stdin, sys.stdout, sys.stderr]
    return [
        *(os.getcwd(), dict(os.environ), sys.argv[:], sys.warnoptions[:], signals, streams),
        *([one.level, one.handlers[:], one.propagate] for one in loggers),
        *(sys.modules["__main__"], threading.active_count(), open_descriptors()),
        [os.fstat(number).st_ino for number in range(3)],
    ]


def open_descriptors() -> int:
    gc.collect()
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


@pytest.mark.parametrize(
    ("args", "stdin"),
    [
        (["--version"], None),
        (["analyze", "--help"], None),
        (["analyze", "gone.png"], None),
        (["analyze", "in", "-o", "OUT"], None),
        pytest.param(["analyze", "in", "-o", "OUT", "--workers", "2"], None, marks=slow),
        pytest.param(
            ["analyze", "-", "-o", "OUT", "-v", "--log-format", "text"],
            b"in/a.png\nin/gone.png\n",
            marks=slow,
        ),
        pytest.param(
            ["analyze", "-", "-o", "OUT"],
            b"in/a.png\n" * 50_000 + b"in/b.jpg",
            marks=slow,
        ),
        pytest.param(["view", "in/b.jpg", "-o", "OUT.png"], None, marks=slow),
        (["verify", "in"], None),
        (["no-such-command"], None),
    ],
    ids=lambda value: "-".join(value).replace("/", "") if isinstance(value, list) else None,
)
def test_both_ways_give_the_same(folder: Path, args: list[str], stdin: bytes | None) -> None:
    pixelprune("--version")  # starts what stays for all commands
    import onnxruntime  # noqa: F401 which keeps files open

    before = state()
    if stdin is not None and len(stdin) > 100_000:
        args = [*args, "--limit", "3"]  # most of the list is never read
    results = []
    for run, out in ((pixelprune, "rows-1"), (pixelprune_process, "rows-2")):
        line = [one.replace("OUT", out) for one in args]
        done = run(*line, stdin=stdin, cwd=folder.parent, COLUMNS="90")
        shown = done.stderr.replace(out.encode(), b"OUT")
        results.append((done.returncode, done.stdout, without_speed(shown)))
    assert results[0] == results[1]
    assert state() == before


def without_speed(messages: bytes) -> list[bytes]:
    return [line for line in messages.splitlines() if b"images/s" not in line]


def test_rows_on_standard_output_are_the_same_bytes(folder: Path) -> None:
    args = ("analyze", folder, "-o", "-", "--format", "csv")
    rows = [run(*args).stdout.splitlines() for run in (pixelprune, pixelprune_process)]
    assert len(rows[0]) == 5
    names = [[line.partition(b",")[0] for line in one] for one in rows]
    assert names[0] == names[1]


def test_a_warning_is_an_error_in_both(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def warn(*_: object) -> None:
        import warnings

        warnings.warn("too old", DeprecationWarning, stacklevel=2)

    monkeypatch.setattr("ppcli.jobs.verify_dataset.verify_dataset", warn)
    done = pixelprune("verify", folder)
    assert done.returncode == 1
    assert b"DeprecationWarning: too old" in done.stderr


def test_variables_that_are_read_at_start_are_refused() -> None:
    with pytest.raises(ValueError, match="PYTHONPATH is read when a program starts"):
        pixelprune("--version", PYTHONPATH="x")
