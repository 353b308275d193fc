"""Workers as actors of Ray, on one machine or many."""

import logging
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from ppcli.engine.cluster.cluster import Event, NodeSetup, OpenCluster, Order, Task, WorkerLost
from ppcli.engine.cluster.node_worker import NodeFacts, NodeWorker
from ppcli.engine.cluster.worker_resources import MachineSize, WorkerSize
from ppcli.engine.executors.resources import available_cores
from ppcli.errors import ExitCode, MissingDependencyError, ServerError, UsageError, bounded

logger = logging.getLogger("pixelprune")

_CONNECT_SECONDS = 10.0
_STEP_SECONDS = 0.5  # between two news of a worker; longer where there are many
_WORKERS_PER_SECOND = 200  # whose news one process takes
_GROW_SECONDS = 5.0
_PATIENCE_SECONDS = 60.0  # without a worker, after which the log says so
_START_ATTEMPTS = 3
_LONGEST_FOLDER = 30  # characters, so that the names of Ray's sockets are not too long
_STORE_BYTES = 256 << 20  # of a Ray of our own: inputs and records, never pixels


@dataclass(slots=True, eq=False)
class _Member:
    """An actor, and what it was asked last.

    Attributes:
        actor: its handle.
        reply: will have the answer; None if it was asked nothing.
        facts: of it; None until it has started.
        task_id: of its task; None if it has none.
    """

    actor: Any
    reply: Any
    facts: NodeFacts | None = None
    task_id: int | None = None


class RayConnection:
    """A connection to a Ray cluster. As a context manager it ends with the block.

    Args of the constructor:
        address: of the cluster; None for a Ray on this machine that ends with the connection.

    Attributes:
        ray: the module.
        is_own: whether this object has started Ray.

    Raises:
        MissingDependencyError: Ray is not installed.
        ServerError: no cluster answers, or Ray cannot be started.
    """

    def __init__(self, address: str | None) -> None:
        try:
            import ray
        except ImportError as error:
            raise MissingDependencyError(
                f"--engine ray needs Ray ({bounded(str(error))}); "
                "install it with: pip install 'pixelprune[ray]'"
            ) from error
        self.ray: Any = ray
        self.is_own = False
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._is_ours = not ray.is_initialized()
        if not self._is_ours:
            return
        try:
            with _signals_kept(deferred=address is None):
                self._connect(address)
        except KeyboardInterrupt:
            self.close()
            raise
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            self.close()
            where = (
                f"no Ray cluster answers at {bounded(address)}" if address else "Ray does not start"
            )
            raise ServerError(f"{where}: {_in_one_line(error)}") from error

    def _connect(self, address: str | None) -> None:
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        # or else it prints the logs of machines that end
        self.ray._private.worker._worker_logs_enabled = False
        if address is not None:
            _require_answer(self.ray._private.services.canonicalize_bootstrap_address(address))
            self.ray.init(address, **quiet)
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self.is_own = True
        if len(tempfile.gettempdir()) < _LONGEST_FOLDER:
            self._folder = tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)
        self.ray.init(
            "local",
            num_cpus=available_cores(),
            include_dashboard=False,
            object_store_memory=_STORE_BYTES,
            _temp_dir=None if self._folder is None else self._folder.name,
            **quiet,
        )

    def machines(self) -> list[MachineSize]:
        """Return what the machines of the cluster have."""
        found = (one["Resources"] for one in self.ray.nodes() if one["Alive"])
        return [MachineSize(int(one.get("CPU", 0)), int(one.get("GPU", 0))) for one in found]

    def cluster(self, cores: int | None = None, gpus: int = 0) -> OpenCluster:
        """Return what starts the workers of a run.

        Args:
            cores: processor cores of a worker; None to choose.
            gpus: of a worker; 0 or 1.
        """
        return partial(RayCluster, self, cores, gpus)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect, and stop the Ray of our own."""
        with _signals_kept(deferred=True):
            if self._is_ours:
                self.ray.shutdown()
            if self._folder is not None:
                self._folder.cleanup()


class RayCluster:
    """Starts as many workers as the machines have room for, and new ones for those that are lost.

    Args of the constructor:
        connection: to Ray.
        cores: of a worker; None to choose.
        gpus: of a worker; 0 or 1.
        setup: prepares the workers.
    """

    def __init__(
        self,
        connection: RayConnection,
        cores: int | None,
        gpus: int,
        setup: NodeSetup[Any],
    ) -> None:
        self._connection, self._ray = connection, connection.ray
        self._members: list[_Member] = []
        self._stop: ExitCode | None = None
        self._failed_starts = 0
        self._grown, self._started = 0.0, time.monotonic()
        may_grow = not connection.is_own
        self._size = WorkerSize.chosen(connection.machines(), cores, gpus, may_grow)
        options = {"num_cpus": self._size.cores, "num_gpus": gpus, "max_restarts": 0}
        worker = self._ray.remote(NodeWorker).options(scheduling_strategy="SPREAD", **options)
        start = self._ray.put((setup, logger.getEffectiveLevel(), self._size.cores))
        self._new_actor: Callable[[], Any] = partial(worker.remote, start)
        self._grow()

    def _grow(self) -> None:
        """Start workers where there is room, and some more where a cluster might grow."""
        self._grown = time.monotonic()
        room = self._size.room_on(self._connection.machines())
        wanted = room if self._connection.is_own else room + max(1, room // 4)
        for _ in range(wanted - len(self._members)):
            actor = self._new_actor()
            self._members.append(_Member(actor, actor.facts.remote()))

    @property
    def free(self) -> int:
        """How many workers have no task."""
        return sum(one.facts is not None and one.task_id is None for one in self._members)

    @property
    def size(self) -> int:
        """How many workers have started."""
        return sum(one.facts is not None for one in self._members)

    def give(self, task_id: int, task: Task[Any]) -> None:
        """Give a task to a worker that has none."""
        member = next(one for one in self._members if one.facts and one.task_id is None)
        member.task_id = task_id
        self._ask(member, task)

    def _ask(self, member: _Member, task: Task[Any] | None = None) -> None:
        seconds = max(_STEP_SECONDS, len(self._members) / _WORKERS_PER_SECOND)
        member.reply = member.actor.step.remote(Order(seconds, task, self._stop))

    def wait(self, seconds: float) -> list[Event]:
        """Wait up to `seconds` for something to happen, and return what did.

        Raises:
            UsageError: a machine cannot take part in the run.
            ServerError: no worker can start.
        """
        if time.monotonic() - self._grown > _GROW_SECONDS and self._stop is None:
            self._grow()
            self._warn_of_waiting()
        asked = {one.reply: one for one in self._members if one.reply is not None}
        if not asked:
            time.sleep(seconds)
            return []
        self._ray.wait(list(asked), timeout=seconds)
        ready, _ = self._ray.wait(list(asked), num_returns=len(asked), timeout=0)
        return [event for reply in ready for event in self._hear(asked[reply])]

    def _warn_of_waiting(self) -> None:
        if not self.size and time.monotonic() - self._started > _PATIENCE_SECONDS:
            self._started = float("inf")
            cores, gpus = self._size.cores, self._size.gpus
            needs = f"{cores} free cores" + (" and a free GPU" if gpus else "")
            logger.warning("no machine of the Ray cluster has %s yet; waiting", needs)

    def _hear(self, member: _Member) -> Iterator[Event]:
        reply, member.reply = member.reply, None
        try:
            answer = self._ray.get(reply)
        except self._ray.exceptions.RayError as error:
            yield from self._lose(member, error)
            return
        if isinstance(answer, NodeFacts):
            if answer.problem:
                raise UsageError(answer.problem)
            member.facts, self._failed_starts = answer, 0
            return
        assert member.facts is not None
        assert member.task_id is not None
        task_id = member.task_id
        if answer.outcome is None:
            self._ask(member)
        else:
            member.task_id = None
        yield Event(task_id, member.facts.node, answer)

    def _lose(self, member: _Member, error: Exception) -> Iterator[Event]:
        self._end_member(member)  # it may be alive where only a call was lost
        self._grown = 0.0
        logger.debug("a worker is lost: %s", _in_one_line(error))
        if member.facts is not None:
            self._end_idle(member.facts.node)
            if member.task_id is not None:
                yield Event(member.task_id, member.facts.node, WorkerLost(self._reason(error)))
            return
        self._failed_starts += 1
        if self._failed_starts >= _START_ATTEMPTS and not self.size:
            raise ServerError(f"no worker starts on the Ray cluster: {_in_one_line(error)}")

    def _end_idle(self, node: str) -> None:
        """End the workers of a machine that have no task: they may be lost too, and none has told.

        Or else a task might meet nothing but them until it is given up.
        """
        for one in list(self._members):
            if one.facts is not None and one.facts.node == node and one.task_id is None:
                self._end_member(one)

    def _end_member(self, member: _Member) -> None:
        self._members.remove(member)
        with suppress(Exception):
            self._ray.kill(member.actor)

    def _reason(self, error: Exception) -> str:
        faults = self._ray.exceptions
        if isinstance(error, faults.OutOfMemoryError):
            return "the machine ran out of memory, and Ray ended the worker"
        if isinstance(error, faults.ActorUnavailableError):
            return "the worker cannot be reached any more"
        if isinstance(error, faults.RayActorError) and error.preempted:
            return "the machine was taken away"
        return "the worker ended"

    def stop(self, code: ExitCode) -> None:
        """Tell all workers to end their tasks early, with what they have finished."""
        self._stop = code

    def close(self) -> None:
        """Stop all workers, whatever they are doing."""
        for member in list(self._members):
            self._end_member(member)


def _require_answer(address: str) -> None:
    """Check that a machine listens at an address: Ray itself would try for ten minutes.

    Raises:
        OSError, ValueError: none does.
    """
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()


def _in_one_line(error: Exception) -> str:
    return bounded(" ".join(str(error).split()), 400)


@contextmanager
def _signals_kept(deferred: bool) -> Iterator[None]:
    """Undo what Ray does to the handlers of signals.

    Args:
        deferred: deliver signals after the block, because half a start or end leaves processes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    if deferred:
        for one in before:
            signal.signal(one, lambda number, _: received.append(number))
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        if received:
            signal.raise_signal(received[0])
