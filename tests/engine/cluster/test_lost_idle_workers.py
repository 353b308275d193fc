"""Workers of Ray that are lost while they have nothing to do cost no task its attempts."""

import importlib.util
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from ppcli.engine.cluster import ray_cluster
from ppcli.engine.cluster.cluster import Cluster
from ppcli.engine.cluster.dispatch import ATTEMPTS, Dispatch
from ppcli.engine.row_flow import RunObserver
from tests.processes import alive, eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None,
        reason="Ray is not installed: pip install '.[ray]'",
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]
WORKERS = ATTEMPTS + 1


@dataclass(frozen=True)
class Setup:
    """Prepares nothing."""

    def problem(self) -> str:
        return ""

    @contextmanager
    def opened(self, *_: object) -> Iterator[None]:
        yield


@dataclass(frozen=True)
class OwnNumber:
    """A task that returns the number of its process."""

    inputs: int = 1
    label: str = "a task"

    def run(self, context: None) -> int:
        return os.getpid()


def pids(cluster: Cluster, number: int) -> list[int]:
    """Run some tasks at a time; return the processes in which they ran."""
    found: list[int] = []

    def fail(task: Any, error: Exception) -> None:
        pytest.fail(f"given up: {error}")

    finish = lambda _, pid: found.append(pid)  # noqa: E731
    Dispatch(cluster, RunObserver(), finish, fail, lambda _: None).run(
        OwnNumber() for _ in range(number)
    )
    return found


def test_workers_that_are_lost_while_they_wait(monkeypatch) -> None:
    monkeypatch.setattr(ray_cluster, "available_cores", lambda: WORKERS)
    connection = ray_cluster.RayConnection(None)
    with connection, closing(connection.cluster(1)(Setup())) as cluster:
        assert eventually(lambda: cluster.wait(0.1) or cluster.free == WORKERS, 60)
        waiting = set(pids(cluster, WORKERS))
        assert len(waiting) == WORKERS
        for pid in waiting:
            os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: not any(map(alive, waiting)))
        [other] = pids(cluster, 1)
        assert other not in waiting
