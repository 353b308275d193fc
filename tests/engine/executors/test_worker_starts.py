"""Workers that never become ready, and those that are only slow."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from multiprocessing.context import SpawnProcess
from pathlib import Path

import psutil
import pytest

from ppcli.engine.executors import worker_starts as starts
from ppcli.errors import StoppedError
from tests.engine import batches
from tests.processes import eventually, surroundings

SCRIPT = """
import os
import signal
from ppcli.engine.executors.processes import ProcessExecutor
executor = ProcessExecutor(1, 60.0)
print(executor.submit(abs, -3).result())
executor.close()
"""
GUARD = 'if __name__ == "__main__":'


class EndsOnArrival:
    """Ends the first worker that unpickles it, before the pool knows which one that was."""

    def __init__(self, mark: str) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return _end_once, (self._mark,)


def _end_once(mark: str) -> str:
    try:
        Path(mark).touch(exist_ok=False)
    except FileExistsError:
        return "arrived"
    os._exit(0)


def use_the_processor() -> None:
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        pass


@pytest.mark.slow
@pytest.mark.parametrize("code", [0, 3])
def test_workers_that_end_as_they_start_end_the_run(code: int) -> None:
    """The tasks are larger than a pipe, so some never reach the pool."""
    executor = batches.workers(load=partial(os._exit, code))
    try:
        tasks = [executor.submit(len, bytes(200_000)) for _ in range(4)]
        with pytest.raises(
            StoppedError, match=f"cannot start the worker.*ended with exit code {code}"
        ):
            assert eventually(lambda: tasks[-1].wait(0.1))
    finally:
        executor.close()
    assert multiprocessing.active_children() == []


def test_workers_that_hang_as_they_start_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "_STALLED_SECONDS", 2.0)
    with closing(batches.workers(load=partial(time.sleep, 600))) as executor:
        task = executor.submit(os.getpid)
        with pytest.raises(
            StoppedError, match=r"cannot start the worker.*they do not become ready"
        ):
            assert eventually(lambda: task.wait(0.1))
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_to_work_long_is_not_to_stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in a task that only waits, nor during a slow start."""
    monkeypatch.setattr(starts, "_STALLED_SECONDS", 2.0)
    with closing(batches.workers(1, load=use_the_processor)) as executor:
        tasks = [executor.submit(time.sleep, 5.0), executor.submit(os.getpid)]
        tasks[0].result()
        assert tasks[1].result() == multiprocessing.active_children()[0].pid


@pytest.mark.slow
def test_a_task_that_was_lost_on_its_way_is_given_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(starts, "_STALLED_SECONDS", 2.0)
    with closing(batches.workers(2)) as executor:
        executor.submit(os.getpid).result()
        task = executor.submit(str, EndsOnArrival(str(tmp_path / "mark")))
        assert eventually(lambda: task.wait(0.1))
        assert task.result() == "arrived"


@pytest.mark.parametrize("guarded", [False, True])
def test_a_worker_does_not_start_workers_as_it_starts(tmp_path: Path, guarded: bool) -> None:
    """Each worker runs a script without the guard again."""
    text = GUARD + SCRIPT.replace("\n", "\n    ") if guarded else SCRIPT
    (tmp_path / "script.py").write_text(text)
    args = [sys.executable, tmp_path / "script.py"]
    done = subprocess.run(args, check=False, capture_output=True, timeout=120)
    assert (done.returncode, done.stdout) == ((0, b"3\n") if guarded else (1, b""))
    assert (f"put the code that starts the run below `{GUARD}`" in done.stderr.decode()) != guarded


LIMITED = """
import resource
import sys
from multiprocessing.context import SpawnProcess
from pathlib import Path
from ppcli.engine.executors.processes import ProcessExecutor

if __name__ == "__main__":
    opened = len(list(Path("/proc/self/fd").iterdir()))
    executor = ProcessExecutor(12, 60.0)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened + int(sys.argv[1]), hard))
    tasks = [executor.submit(abs, -n) for n in range(40)]
    print([task.result() for task in tasks] == list(range(40)), executor.workers)
    executor.close()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts open files in /proc")
@pytest.mark.parametrize(("files", "most"), [(200, 12), (20, 11), (2, 0)])
def test_fewer_workers_start_where_files_run_out(tmp_path: Path, files: int, most: int) -> None:
    (tmp_path / "script.py").write_text(LIMITED)
    args = [sys.executable, tmp_path / "script.py", str(files)]
    done = subprocess.run(args, check=False, capture_output=True, timeout=120, env=surroundings())
    if most == 0:
        assert done.returncode == 1
        assert b"cannot start the worker processes" in done.stderr.splitlines()[-1]
        return
    right, workers = done.stdout.split()
    assert right == b"True"
    assert 1 <= int(workers) <= most
    assert (int(workers) == 12) == (files == 200)


def refuse_in_company() -> None:
    """End this process while there are other workers."""
    of_the_same = psutil.Process(os.getppid()).children()
    if sum("spawn_main" in " ".join(one.cmdline()) for one in of_the_same) > 1:
        os._exit(3)


@pytest.mark.slow
def test_one_worker_is_tried_where_several_end_as_they_start() -> None:
    with closing(batches.workers(4, load=refuse_in_company)) as executor:
        tasks = [executor.submit(abs, -n) for n in range(8)]
        assert [task.result() for task in tasks] == list(range(8))
        assert executor.workers == 1


class EndedError(BaseException):
    """Simulates the end of the program."""


def _end(*_: object) -> None:
    raise EndedError


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_comes_while_workers_start_loses_none_of_them(monkeypatch, number) -> None:
    """Its handler raises, like that of commands, once workers are known and can be stopped."""
    start = SpawnProcess.start

    def start_and_end(process: SpawnProcess) -> None:
        start(process)
        signal.raise_signal(number)

    monkeypatch.setattr(SpawnProcess, "start", start_and_end)
    before = signal.signal(number, _end)
    executor = batches.workers(2)
    try:
        with pytest.raises(EndedError):
            executor.submit(os.getpid)
        assert len(multiprocessing.active_children()) == 2
    finally:
        signal.signal(number, before)
        executor.close()
    assert multiprocessing.active_children() == []
