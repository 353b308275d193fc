"""Independent tasks on a cluster, their results in the order of the tasks."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from ppcli.engine.cluster.cluster import OpenCluster, Reporter
from ppcli.engine.cluster.dispatch import Dispatch
from ppcli.engine.cluster.node_check import NodeCheck
from ppcli.engine.row_flow import RunObserver
from ppcli.engine.stopping import StopRequest
from ppcli.errors import ImageError

_Result = TypeVar("_Result")
_Result_co = TypeVar("_Result_co", covariant=True)


class Job(Protocol[_Result_co]):
    """A picklable description of something to do on any machine."""

    def run(self) -> _Result_co:
        """Do it."""


@dataclass(frozen=True, slots=True)
class _JobTask(Generic[_Result]):
    """A job as a task.

    Attributes:
        number: of the job, from 0.
        job: what to do.
        label: what it is, for messages.
    """

    number: int
    job: Job[_Result] = field(repr=False)
    label: str
    inputs: int = 1

    def run(self, context: None) -> _Result:
        return self.job.run()


@dataclass(frozen=True, slots=True)
class _CheckedSetup:
    """Prepares a worker whose tasks need nothing but the machine."""

    check: NodeCheck

    def problem(self) -> str:
        return self.check.problem()

    @contextmanager
    def opened(self, reporter: Reporter, stop: StopRequest, cores: int) -> Iterator[None]:
        yield


def run_on_cluster(
    open_cluster: OpenCluster,
    check: NodeCheck,
    jobs: Iterator[Job[_Result]],
    item: str,
    give_up: Callable[[Job[_Result], ImageError], _Result],
    on_done: Callable[[int], None] = lambda _: None,
) -> list[_Result]:
    """Do some jobs on a cluster, and return their results in order.

    Args:
        open_cluster: starts the workers.
        check: whether a machine can take part.
        jobs: what to do.
        item: what a job is about, for messages; its number follows.
        give_up: returns the result of a job that no worker survived, from the reason.
        on_done: called with the number of jobs that were just done.

    Raises:
        UsageError: a machine cannot take part.
        PixelpruneError: a job raised it, or the cluster cannot work.
    """
    results: dict[int, _Result] = {}

    def finish(task: Any, result: _Result) -> None:  # noqa: ANN401
        results[task.number] = result
        on_done(1)

    def lost(task: Any, error: ImageError) -> None:  # noqa: ANN401
        finish(task, give_up(task.job, error))

    with closing(open_cluster(_CheckedSetup(check))) as cluster:
        dispatch = Dispatch(
            cluster,
            RunObserver(),
            finish,
            lost,
            lambda _: None,
        )
        dispatch.run(_JobTask(number, job, f"{item} {number}") for number, job in enumerate(jobs))
    return [results[number] for number in sorted(results)]
