"""The interface between a run and the machines that do its work.

A new engine of this kind implements `Connection` and `Cluster`, and is added to `connect`. Its
workers are `NodeWorker` objects in processes on other machines.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

from ppcli.engine.cluster.worker_resources import MachineSize
from ppcli.engine.stopping import StopRequest
from ppcli.errors import ExitCode, PixelpruneError
from ppcli.store.rows import MainRow

_Context_contra = TypeVar("_Context_contra", contravariant=True)
_Context_co = TypeVar("_Context_co", covariant=True)


class Task(Protocol[_Context_contra]):
    """Work for one worker of the cluster. It is picklable, and can be done again elsewhere."""

    @property
    def inputs(self) -> int:
        """How many inputs it is about."""

    @property
    def label(self) -> str:
        """What it is, for messages."""

    def run(self, context: _Context_contra) -> Any:  # noqa: ANN401
        """Do the work on the worker, and return a small picklable result.

        An attribute `error` of the result ends the run, after the rest of it has been used.
        """


class Reporter(Protocol):
    """Takes what a worker tells while a task runs; it is sent on now and then."""

    @property
    def wants_all_rows(self) -> bool:
        """Whether all rows are logged, not only those with an error or a warning."""

    def add_row(self, row: MainRow) -> None:
        """Note a row, which is logged by the run."""

    def add_inputs(self, number: int) -> None:
        """Note finished inputs."""


class NodeSetup(Protocol[_Context_co]):
    """How a worker of the cluster gets ready for its tasks. It is picklable."""

    def problem(self) -> str:
        """Return why this machine cannot take part in the run; an empty text if it can."""

    def opened(
        self, reporter: Reporter, stop: StopRequest, cores: int
    ) -> AbstractContextManager[_Context_co]:
        """Return the context of all tasks of a worker that has some processor cores."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is told when it is asked for news.

    Attributes:
        seconds: how long it waits for the end of its task before it answers.
        task: a new task; None to go on.
        stop: the exit code with which a run ends that was asked to stop; None to go on.
    """

    seconds: float
    task: Task[Any] | None = None
    stop: ExitCode | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended.

    Attributes:
        value: what it returned.
        error: what it raised; None if it did not.
    """

    value: Any = None
    error: PixelpruneError | None = None


@dataclass(frozen=True, slots=True)
class News:
    """What a worker tells of its task since it was asked before.

    Attributes:
        inputs: how many inputs were finished.
        rows: of them, those that are logged.
        messages: levels and texts of its log.
        outcome: of the task; None while it runs.
    """

    inputs: int = 0
    rows: Sequence[MainRow] = ()
    messages: Sequence[tuple[int, str]] = ()
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker ended before its task did.

    Attributes:
        reason: why, in words.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a task.

    Attributes:
        task_id: of the task.
        node: name of the machine.
        what: news of it, or that its worker was lost.
    """

    task_id: int
    node: str
    what: News | WorkerLost


class Cluster(Protocol):
    """Workers on many machines, each with one task at a time."""

    @property
    def free(self) -> int:
        """How many workers have no task."""

    @property
    def size(self) -> int:
        """How many workers there are."""

    def give(self, task_id: int, task: Task[Any]) -> None:
        """Give a task to a worker that has none."""

    def wait(self, seconds: float) -> list[Event]:
        """Wait up to `seconds` for something to happen, and return what did.

        Raises:
            UsageError: a machine cannot take part in the run.
            PixelpruneError: there is no machine on which the workers can start.
        """

    def stop(self, code: ExitCode) -> None:
        """Tell all workers to end their tasks early, with what they have finished."""

    def close(self) -> None:
        """Stop all workers, whatever they are doing, and release everything."""


OpenCluster = Callable[[NodeSetup[Any]], Cluster]
"""Starts the workers of a run. Closing the cluster stops them."""


class Connection(Protocol):
    """A connection to the machines of an engine. As a context manager it ends with the block."""

    def machines(self) -> list[MachineSize]:
        """Return what the machines have."""

    def cluster(self, cores: int | None = None, gpus: int = 0) -> OpenCluster:
        """Return what starts the workers of a run.

        Args:
            cores: processor cores of a worker; None to choose.
            gpus: of a worker; 0 or 1.
        """

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(self, *_: object) -> None:
        """End the connection."""
