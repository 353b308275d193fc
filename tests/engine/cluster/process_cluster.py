"""An engine for tests: workers are processes of this machine, which tests may kill.

`python -m tests.engine.cluster.process_cluster ADDRESS ARGUMENTS…` is the command `pixelprune` with
this engine in the place of Ray. ADDRESS is that of a `worker_server`.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any, Self

from ppcli.engine.cluster import cluster_factory
from ppcli.engine.cluster.cluster import (
    Event,
    News,
    NodeSetup,
    OpenCluster,
    Order,
    Task,
    WorkerLost,
)
from ppcli.engine.cluster.node_worker import NodeFacts
from ppcli.engine.cluster.worker_resources import MachineSize
from ppcli.errors import ExitCode, UsageError
from tests.engine.cluster import worker_server
from tests.processes import alive, eventually

_STEP_SECONDS = 0.05


@dataclass(slots=True, eq=False)
class _Member:
    connection: Connection
    pid: int = 0
    facts: NodeFacts | None = None
    task_id: int | None = None


class ProcessCluster:
    """Some workers, and new ones for those that are lost.

    Args of the constructor:
        machines: what it is made of.
        cores: of each worker.
        setup: prepares the workers.
    """

    def __init__(self, machines: "ProcessConnection", cores: int, setup: NodeSetup[Any]) -> None:
        self._machines = machines
        self._start = (setup, logging.getLogger("pixelprune").getEffectiveLevel(), cores)
        self._members: list[_Member] = []
        self._stop: ExitCode | None = None
        self._grow()

    def _grow(self) -> None:
        for _ in range(self._machines.workers - len(self._members)):
            connection = worker_server.connect(self._machines.address, self._start)
            self._members.append(_Member(connection))

    @property
    def free(self) -> int:
        """How many workers have no task."""
        return sum(one.facts is not None and one.task_id is None for one in self._members)

    @property
    def size(self) -> int:
        """How many workers there are."""
        return sum(one.facts is not None for one in self._members)

    def give(self, task_id: int, task: Task[Any]) -> None:
        """Give a task to a worker that has none."""
        member = next(one for one in self._members if one.facts and one.task_id is None)
        member.task_id = task_id
        self._machines.given.append(task.label)
        self._ask(member, task)

    def _ask(self, member: _Member, task: Task[Any] | None = None) -> None:
        with suppress(ConnectionError):  # its end is noticed when it is waited for
            member.connection.send(Order(_STEP_SECONDS, task, self._stop))

    def wait(self, seconds: float) -> list[Event]:
        """Wait up to `seconds` for something to happen, and return what did."""
        self._grow()
        ready = wait([one.connection for one in self._members], seconds)
        return [
            event
            for member in list(self._members)
            if member.connection in ready and (event := self._hear(member)) is not None
        ]

    def _hear(self, member: _Member) -> Event | None:
        try:
            answer = member.connection.recv()
        except (EOFError, ConnectionError):
            return self._lose(member)
        if member.facts is None:
            member.pid, member.facts = answer
            if answer[1].problem:
                raise UsageError(answer[1].problem)
            return None
        assert isinstance(answer, News)
        assert member.task_id is not None
        event = Event(member.task_id, member.facts.node, answer)
        if answer.outcome is None:
            self._ask(member)
        else:
            self._machines.ended.append(member.task_id)
            member.task_id = None
        return event

    def _lose(self, member: _Member) -> Event | None:
        self._members.remove(member)
        member.connection.close()
        if member.task_id is None or member.facts is None:
            return None
        self._machines.lost += 1
        return Event(member.task_id, member.facts.node, WorkerLost("the worker ended"))

    @property
    def pids(self) -> list[int]:
        """Numbers of the processes of the workers that have started."""
        return [one.pid for one in self._members if one.pid]

    def kill_busy(self) -> None:
        """Kill a worker in the middle of its task."""
        busy = next(one for one in self._members if one.task_id is not None)
        os.kill(busy.pid, signal.SIGKILL)

    def stop(self, code: ExitCode) -> None:
        """Tell all workers to end their tasks early, with what they have finished."""
        self._stop = code

    def close(self) -> None:
        """Kill all workers, and wait until they are gone."""
        for member in self._members:
            member.connection.close()
            if member.pid:
                with suppress(ProcessLookupError):
                    os.kill(member.pid, signal.SIGKILL)
        for member in self._members:
            assert not member.pid or eventually(partial(_is_gone, member.pid))
        self._members.clear()


def _is_gone(pid: int) -> bool:
    return not alive(pid)


@dataclass(slots=True)
class ProcessConnection:
    """Machines for tests.

    Attributes:
        address: of the server that starts workers.
        workers: how many there are.
        given: labels of the tasks that workers got, in order.
        ended: numbers of the tasks, from 1, in the order in which they ended.
        lost: how many workers were lost with a task.
        clusters: that were opened.
    """

    address: str
    workers: int = 2
    given: list[str] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    lost: int = 0
    clusters: list[ProcessCluster] = field(default_factory=list)

    def machines(self) -> list[MachineSize]:
        """One with a core for each worker."""
        return [MachineSize(self.workers)]

    def cluster(self, cores: int | None = None, gpus: int = 0) -> OpenCluster:
        """Return what starts the workers of a run."""
        assert not gpus
        return partial(self._opened, 1 if cores is None else cores)

    def _opened(self, cores: int, setup: NodeSetup[Any]) -> ProcessCluster:
        self.clusters.append(ProcessCluster(self, cores, setup))
        return self.clusters[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing has to end."""


def use(connection: ProcessConnection, patch: Callable[[object, str, object], None]) -> None:
    """Let commands connect to these machines.

    Args:
        connection: to them.
        patch: sets an attribute of a module.
    """
    from ppcli.jobs import infer_setup, verify_dataset

    for module in (cluster_factory, infer_setup, verify_dataset):
        patch(module, "connect", lambda _: connection)


if __name__ == "__main__":
    from ppcli.__main__ import main

    use(ProcessConnection(sys.argv.pop(1)), setattr)
    main()
