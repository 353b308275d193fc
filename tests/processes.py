"""Other processes, as the tests look at them from outside."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path


def eventually(condition: Callable[[], object], seconds: float = 60.0) -> bool:
    """Wait for something to become true; whether it has."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def surroundings() -> dict[str, str]:
    """The environment of a script that imports from the tests."""
    return os.environ | {"PYTHONPATH": os.fspath(Path(__file__).parents[1])}


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not yet waited for does not."""
    try:
        os.kill(pid, 0)
        return _status(pid)[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def descendants(pid: int) -> set[int]:
    """The children of a process and theirs, as far as /proc tells."""
    parents: dict[int, int] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            parents[int(name)] = int(_status(int(name))[1])
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= more
    return found


def end(pids: Iterable[int]) -> None:
    """Kill what may be left of a failed test."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _status(pid: int) -> list[str]:
    """State, parent and so on of a process on Linux; elsewhere nothing is known but that it is."""
    if not Path("/proc/self/stat").exists():
        return ["?"]
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
