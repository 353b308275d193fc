"""Killed, or failed by the file system, at every step of writing; then resumed."""

import errno
import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from ppcli.errors import ExitCode, OutputError, StoppedError
from ppcli.store import atomic
from ppcli.store.dataset import dataset_output
from ppcli.store.manifest import Manifest
from ppcli.store.verify import verify
from tests.store import small_run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
ROOT = Path(__file__).parents[2]


def kill_at(steps: Iterable[int], inputs: Path, out: Path, how: str = "resume") -> list[int]:
    """Exit codes of runs that are killed at these steps, into out0, out1, …"""
    return list(_killed([str(step) for step in steps], inputs, out, how).values())


def kill_at_every(stride: int, inputs: Path, out: Path) -> dict[int, int]:
    """Exit codes by step, up to the first run that finishes: it has no more steps."""
    codes = _killed(["every", str(stride)], inputs, out, "resume")
    assert list(codes) == list(range(0, stride * len(codes), stride))
    assert list(codes.values()) == [-signal.SIGKILL] * (len(codes) - 1) + [0]
    return codes


def _killed(steps: list[str], inputs: Path, out: Path, how: str) -> dict[int, int]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.small_run", inputs, out, how, *steps],
        check=True,
        capture_output=True,
        cwd=ROOT,
    )
    return {int(step): int(code) for step, code in map(bytes.split, done.stdout.splitlines())}


def assert_whole(out: Path) -> None:
    """Nothing under a final name is unreadable, and nothing is left over."""
    report = verify(str(out), data=True)
    assert report.damage == []
    assert report.finished
    assert not [path for path in out.rglob("*") if "tmp" in path.name or "new" in path.suffix]


def readable(out: Path) -> int:
    """Rows in finished statistics files; fails when one of them cannot be read."""
    return len(small_run.rows_of(out)[0]) if (out / "manifest.json").exists() else 0


@pytest.mark.slow
def test_killed_at_every_step_and_resumed(inputs, undisturbed, tmp_path) -> None:
    killed = len(kill_at_every(1, inputs, tmp_path / "out")) - 1
    assert killed >= 50
    rows_at_the_kill = set()
    for step in range(killed):
        out = tmp_path / f"out{step}"
        rows_at_the_kill.add(readable(out))
        small_run.run(inputs, out)
        assert small_run.rows_of(out) == undisturbed, f"killed at step {step}"
        assert_whole(out)
    assert rows_at_the_kill == {0, 2, 4, 6, 8}


@pytest.mark.slow
def test_killed_twice_and_resumed(inputs, undisturbed, tmp_path) -> None:
    for first in range(5, 125, 40):
        kill_at(range(first, first + 1), inputs, tmp_path / "out")
        out = tmp_path / f"out{first}"
        for second in range(0, 60, 23):
            again = tmp_path / f"again{first}-{second}"
            shutil.copytree(out, again / str(second))
            kill_at(range(second, second + 1), inputs, again / "")
            small_run.run(inputs, again / str(second))
            assert small_run.rows_of(again / str(second)) == undisturbed


@pytest.mark.slow
def test_killed_at_every_step_of_another_try_at_failures(tmp_path) -> None:
    inputs = small_run.make_inputs(tmp_path / "in")
    small_run.run(inputs, tmp_path / "made")
    before = small_run.rows_of(tmp_path / "made")
    small_run.mend(inputs)
    small_run.run(inputs, tmp_path / "expected")
    expected = small_run.rows_of(tmp_path / "expected")
    assert expected != before
    steps = range(60)
    for step in steps:
        shutil.copytree(tmp_path / "made", tmp_path / f"out{step}")
    codes = kill_at(steps, inputs, tmp_path / "out", "retry")
    assert set(codes) == {-signal.SIGKILL, 0}
    states = []
    for step in steps:
        out = tmp_path / f"out{step}"
        small_run.run(inputs, out)
        assert_whole(out)
        found = small_run.rows_of(out)
        assert found in (before, expected), f"killed at step {step}"
        states.append(found == expected)
        small_run.run(inputs, out, "retry")
        assert small_run.rows_of(out) == expected
    assert states == sorted(states), "once the manifest names the new files they count"
    assert len(set(states)) == 2


@pytest.mark.slow
def test_killed_while_starting_anew(tmp_path) -> None:
    inputs = small_run.make_inputs(tmp_path / "in")
    small_run.run(inputs, tmp_path / "made")
    small_run.mend(inputs)
    small_run.run(inputs, tmp_path / "expected")
    expected = small_run.rows_of(tmp_path / "expected")
    steps = [*range(50), *range(50, 190, 7)]  # all of the removal, some of the run after it
    for step in steps:
        shutil.copytree(tmp_path / "made", tmp_path / f"out{step}")
    codes = kill_at(steps, inputs, tmp_path / "out", "overwrite")
    assert set(codes) == {-signal.SIGKILL, 0}
    refused = 0
    for step in steps[: codes.index(0)]:
        out = tmp_path / f"out{step}"
        copy = tmp_path / "copy"
        shutil.copytree(out, copy)
        try:  # while old shards are there, going on is refused; then it gives the new rows
            small_run.run(inputs, copy, "retry")
            assert small_run.rows_of(copy) == expected, f"killed at step {step}"
        except OutputError as error:
            refused += 1
            assert "--overwrite" in str(error)
        shutil.rmtree(copy)
        small_run.run(inputs, out, "overwrite")
        assert small_run.rows_of(out) == expected, f"killed at step {step}"
        assert_whole(out)
    assert 10 < refused < 40


class FaultyDisk:
    """Fails at the k-th write, and from then on, until it is mended."""

    def __init__(self, at: int, error: int, short: bool = False) -> None:
        self.calls = 0
        self.at = at
        self.error = error
        self.short = short

    def install(self, monkeypatch) -> None:
        disk = self

        class FaultyFile(io.FileIO):
            def write(self, data) -> int:
                if disk.fails():
                    if disk.short and disk.calls == disk.at + 1 and len(data) > 1:
                        return super().write(bytes(data)[: len(data) // 2])
                    raise OSError(disk.error, os.strerror(disk.error))
                return super().write(data)

        monkeypatch.setattr(atomic.io, "FileIO", FaultyFile)
        for name in ("fsync", "replace"):
            monkeypatch.setattr(os, name, self.guarded(getattr(os, name)))

    def fails(self) -> bool:
        self.calls += 1
        return self.calls > self.at

    def guarded(self, call):
        def guarded(*args, **kwargs):
            if self.fails():
                raise OSError(self.error, os.strerror(self.error))
            return call(*args, **kwargs)

        return guarded


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "short"),
    [(errno.ENOSPC, False), (errno.EIO, False), (errno.ENOSPC, True), (errno.EACCES, False)],
)
def test_a_disk_that_fails_at_every_write(inputs, undisturbed, tmp_path, error, short) -> None:
    at, finished = 0, False
    while not finished:
        out = tmp_path / f"out{at}"
        disk = FaultyDisk(at, error, short)
        with pytest.MonkeyPatch.context() as patch:
            disk.install(patch)
            try:
                small_run.run(inputs, out)
                finished = True
            except OutputError as caught:
                assert caught.exit_code is ExitCode.OUTPUT
                assert os.strerror(error) in str(caught)
        rows = readable(out)
        small_run.run(inputs, out)
        assert small_run.rows_of(out) == undisturbed, f"failed at write {at}"
        assert_whole(out)
        assert finished or rows in (0, 2, 4, 6, 8)
        at += 1
    assert at > 30


def test_two_runs_keep_off_one_another(inputs, tmp_path) -> None:
    config = small_run.OPTIONS.as_config()
    refused = pytest.raises(OutputError, match="another run")
    with dataset_output(str(tmp_path / "out"), config), refused:
        small_run.run(inputs, tmp_path / "out")
    small_run.run(inputs, tmp_path / "out2")


def test_a_lock_of_a_killed_run_holds_nobody_up(inputs, undisturbed, tmp_path) -> None:
    [code] = kill_at(range(40, 41), inputs, tmp_path / "out")
    assert code == -signal.SIGKILL
    assert (tmp_path / "out40" / ".lock").exists()
    small_run.run(inputs, tmp_path / "out40")
    assert small_run.rows_of(tmp_path / "out40") == undisturbed


def test_a_stopped_run_keeps_the_shard_in_hand(inputs, undisturbed, tmp_path) -> None:
    config = small_run.OPTIONS.as_config()
    small_run.run(inputs, tmp_path / "whole")
    with pytest.raises(StoppedError), dataset_output(str(tmp_path / "out"), config) as sink:
        list(sink.previous_shards(iter(())))
        raise StoppedError(ExitCode.INTERRUPTED, "interrupted")
    report = verify(str(tmp_path / "out"))
    assert not report.finished
    assert report.damage == []
    small_run.run(inputs, tmp_path / "out")
    assert small_run.rows_of(tmp_path / "out") == undisturbed


def test_changed_inputs_are_noticed(tmp_path) -> None:
    inputs = small_run.make_inputs(tmp_path / "in")
    kill_at(range(90, 91), inputs, tmp_path / "out")
    out = tmp_path / "out90"
    first = inputs / "0.png"
    whole, times = first.read_bytes(), first.stat()
    for change, words in (
        (lambda: first.write_bytes(whole + b"x"), "the size of 0.png has changed"),
        (lambda: first.write_bytes(whole), "a file was modified"),
        (lambda: (inputs / "00.png").write_bytes(whole), "expected 1-broken.png, found 00.png"),
    ):
        change()
        with pytest.raises(OutputError, match=words):
            small_run.run(inputs, out)
        (inputs / "00.png").unlink(missing_ok=True)
    first.write_bytes(whole)
    os.utime(first, ns=(times.st_atime_ns, times.st_mtime_ns))
    small_run.run(inputs, out)
    assert_whole(out)


def test_starting_anew_takes_nothing_over_from_a_killed_run(inputs, undisturbed, tmp_path) -> None:
    steps = range(20, 60, 3)
    kill_at(steps, inputs, tmp_path / "out")
    config = small_run.OPTIONS.as_config()
    beyond = 0
    for step in steps:
        out = tmp_path / f"out{step}"
        placed = len(list((out / "stats").glob("*.parquet")))
        beyond += placed > len(Manifest.read(str(out)).shards)
        with dataset_output(str(out), config, overwrite=True) as sink:
            assert list(sink.previous_shards(iter(()))) == []
        assert not list(out.rglob("*.parquet"))
    assert beyond, "one of the kills fell between the statistics and the manifest"
