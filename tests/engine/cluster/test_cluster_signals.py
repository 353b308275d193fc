"""The command on a cluster of processes is interrupted, terminated, and killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ppcli.errors import ExitCode
from ppcli.store.manifest import Manifest
from ppcli.store.verify import verify
from tests.command import pixelprune
from tests.engine import hostile_decoder
from tests.engine.cluster.compared import assert_no_litter, assert_same
from tests.engine.cluster.process_cluster import ProcessConnection
from tests.engine.cluster.test_lost_workers import folder_of
from tests.engine.hostile_decoder import registered
from tests.processes import alive, end, eventually, surroundings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
SLOW = ["mark", "slow", "slow", "slow"] * 2

TAME = {hostile_decoder.TAME: "1"}


class Run:
    """A command on two workers, in the background.

    Attributes:
        process: of the command.
        workers: processes of its workers that have been seen.
    """

    def __init__(self, address: str, folder: Path, *args: str | Path) -> None:
        self._log = folder.parent / "log"
        self._marks = folder.parent / "marks"
        self._marks.mkdir(exist_ok=True)
        line = ["analyze", folder, "--engine", "ray", "--workers", "0", *args]
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-W", "error"),
                    *("-m", "tests.engine.cluster.process_cluster", address),
                    *map(os.fspath, line),
                ],
                stderr=log,
                stdout=subprocess.DEVNULL,
                env=surroundings() | {hostile_decoder.MARKS: str(self._marks)},
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def workers(self) -> set[int]:
        """The processes that carried out the verb `mark`, or hang."""
        return {int(name) for name in os.listdir(self._marks)}

    def waits_until(self, condition) -> None:
        assert eventually(lambda: condition() or self.process.poll() is not None, 20)
        assert self.process.poll() is None, self.log

    def ends_with(self, code: ExitCode) -> None:
        assert eventually(lambda: self.process.poll() is not None, 20), self.log
        assert self.process.returncode == code, self.log
        assert "Traceback" not in self.log
        assert eventually(lambda: not any(map(alive, self.workers)), 10)


@contextmanager
def running(machines: ProcessConnection, folder: Path, *args: str | Path) -> Iterator[Run]:
    run = Run(machines.address, folder, *args)
    try:
        yield run
    finally:
        run.process.kill()
        run.process.wait()
        end(filter(alive, run.workers))


def finish(folder: Path, out: Path) -> None:
    """Resume here, and compare with an undisturbed run."""
    with registered():
        done = pixelprune("analyze", folder, "-o", out, **TAME)
        assert done.returncode == ExitCode.OK, done.stderr
        assert b"done by an earlier run" in done.stderr
        done = pixelprune("analyze", folder, "-o", folder.parent / "local", **TAME)
    assert_same(out, folder.parent / "local")


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (signal.SIGINT, ExitCode.INTERRUPTED, "interrupted after"),
        pytest.param(
            *(signal.SIGTERM, ExitCode.TERMINATED, "terminated after"), marks=pytest.mark.slow
        ),
    ],
)
def test_a_stop_keeps_what_is_finished(tmp_path, machines, number, code, word: str) -> None:
    """Each worker keeps the images of its chunk that are done."""
    folder, out = folder_of(tmp_path / "in", *SLOW), tmp_path / "out"
    with running(machines, folder, "-o", out, "--rows-per-shard", "4") as run:
        run.waits_until(lambda: len(run.workers) == 2)
        run.process.send_signal(number)
        run.ends_with(code)
        assert word in run.log
        assert "finished work is kept" in run.log
    assert_no_litter(out)
    manifest = Manifest.read(str(out))
    kept = [one.inputs for one in manifest.shards] + [one.shard.inputs for one in manifest.staged]
    assert 0 < sum(kept) < 8
    assert not manifest.finished
    assert verify(str(out)).damage == []
    finish(folder, out)


def test_a_second_interrupt_stops_at_once(tmp_path, machines) -> None:
    """Workers that hang are not waited for."""
    folder, out = folder_of(tmp_path / "in", "ok", "hang", "ok"), tmp_path / "out"
    with running(machines, folder, "-o", out, "--rows-per-shard", "1") as run:
        run.waits_until(lambda: run.workers and (out / "stats" / "part-00000.parquet").exists())
        run.process.send_signal(signal.SIGINT)
        run.waits_until(lambda: "interrupt again to stop at once" in run.log)
        run.process.send_signal(signal.SIGINT)
        run.ends_with(ExitCode.INTERRUPTED)
        assert "interrupted, and stopped at once" in run.log
    assert_no_litter(out)


@pytest.mark.slow
def test_a_driver_that_is_killed_leaves_no_worker(tmp_path, machines) -> None:
    folder, out = folder_of(tmp_path / "in", *SLOW), tmp_path / "out"
    with running(machines, folder, "-o", out, "--rows-per-shard", "4") as run:
        run.waits_until(lambda: len(run.workers) == 2)
        run.process.kill()
        run.process.wait()
        assert eventually(lambda: not any(map(alive, run.workers)), 10)
    assert verify(str(out)).damage == []
    with running(machines, folder, "-o", out, "--rows-per-shard", "4") as run:
        run.ends_with(ExitCode.OK)
    with registered():
        pixelprune("analyze", folder, "-o", tmp_path / "local", **TAME)
    assert_same(out, tmp_path / "local")
