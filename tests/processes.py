"""Waits for other processes, looks at them, and ends them."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path


def eventually(condition: Callable[[], object], seconds: float = 60.0) -> bool:
    """Wait for a condition; return whether it became true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def surroundings() -> dict[str, str]:
    """Return the environment of a script that imports from the tests."""
    return os.environ | {"PYTHONPATH": os.fspath(Path(__file__).parents[1])}


def alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
        return _status(pid)[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def descendants(pid: int) -> set[int]:
    """Return the numbers of all descendants of a process that /proc lists."""
    parents: dict[int, int] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            parents[int(name)] = int(_status(int(name))[1])
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= more
    return found


def end(pids: Iterable[int]) -> None:
    """Kill processes that a failed test may have left."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _status(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on; without /proc, an unknown state."""
    if not Path("/proc/self/stat").exists():
        return ["?"]
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
