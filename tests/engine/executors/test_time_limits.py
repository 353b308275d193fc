"""Time limits ignore changes of the clock and suspensions of the program."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from ppcli.errors import ErrorCode, ImageError
from tests.engine import batches, hostile_decoder
from tests.processes import eventually, surroundings

SCRIPT = """
import sys
from ppcli.engine.executors.processes import ProcessExecutor
from tests.engine.executors.test_time_limits import noted_sleep

if __name__ == "__main__":
    executor = ProcessExecutor(1, 2.0)
    task = executor.submit(noted_sleep, sys.argv[1], 1.2)
    while not task.wait(0.1):
        pass
    print(task.result())
    executor.close()
"""


def noted_sleep(marks: str, seconds: float) -> int:
    """Sleep, and return how many calls have started."""
    _leave_mark(marks)
    time.sleep(seconds)
    return len(os.listdir(marks))


def _leave_mark(marks: str) -> int:
    Path(marks, str(time.monotonic_ns())).touch()
    return len(os.listdir(marks))


def hang_once(marks: str) -> str:
    if _leave_mark(marks) == 1:
        hostile_decoder.hang()
    return "done"


def end_once(marks: str) -> str:
    if _leave_mark(marks) == 1:
        os._exit(9)
    return "done"


def test_a_step_of_the_clock_does_not_count(tmp_path: Path, monkeypatch) -> None:
    """The pool library itself measures by the system clock."""
    wall = time.time
    with closing(batches.workers(1, timeout=5)) as executor:
        executor.submit(os.getpid).result()
        task = executor.submit(noted_sleep, str(tmp_path), 1.0)
        assert eventually(lambda: os.listdir(tmp_path))
        monkeypatch.setattr(time, "time", lambda: wall() + 3600)
        assert task.result() == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs process groups")
def test_a_stopped_program_uses_no_time(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    marks = tmp_path / "marks"
    marks.mkdir()
    args = [sys.executable, tmp_path / "script.py", marks]
    with subprocess.Popen(
        args, stdout=subprocess.PIPE, start_new_session=True, env=surroundings()
    ) as process:
        assert eventually(lambda: os.listdir(marks))
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(4)
        os.killpg(process.pid, signal.SIGCONT)
        assert process.communicate(timeout=60)[0] == b"1\n"


@pytest.mark.parametrize("work", [hang_once, end_once])
def test_work_that_was_ended_is_tried_once_more(tmp_path: Path, work) -> None:
    with closing(batches.workers(1, timeout=2)) as executor:
        assert executor.submit(work, str(tmp_path)).result() == "done"


def test_work_that_always_hangs_is_given_up(tmp_path: Path) -> None:
    with closing(batches.workers(1, timeout=1)) as executor:
        task = executor.submit(noted_sleep, str(tmp_path), 600.0)
        with pytest.raises(
            ImageError, match=r"not finished within 1 seconds, in two attempts"
        ) as caught:
            task.result()
        assert caught.value.code is ErrorCode.TIMEOUT
        assert len(os.listdir(tmp_path)) == 2
        assert executor.submit(os.getpid).result()
