"""A run whose work is done on a cluster: this process lists, decides, and writes the manifest."""

import logging
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import accumulate, islice
from typing import Any

from ppcli.engine.arrivals import Arrivals
from ppcli.engine.cluster.cluster import Cluster, OpenCluster, Task
from ppcli.engine.cluster.dispatch import Dispatch
from ppcli.engine.cluster.node_check import NodeCheck
from ppcli.engine.cluster.row_setup import RefusingWork, RowSetup, WorkRecipe
from ppcli.engine.cluster.row_tasks import (
    ChangedShard,
    FinishedShard,
    NewInputs,
    RowTask,
    ShardsMade,
)
from ppcli.engine.row_flow import FailurePolicy, RowFlow, RunObserver, stopped_error
from ppcli.engine.run import Inputs, RepeatedNames, no_inputs_error
from ppcli.engine.stopping import StopRequest
from ppcli.engine.summary import Summary
from ppcli.errors import ImageError, OutputError, StoppedError
from ppcli.inputs.refs import Input, ends_sequence
from ppcli.store.atomic import TEMPORARY_SUFFIX, as_output_error
from ppcli.store.dataset import DatasetWriter
from ppcli.store.dataset_changes import Changes
from ppcli.store.places.place import place_of
from ppcli.store.row_sinks import RowSink
from ppcli.store.set_aside import SetAside
from ppcli.store.shards import StagedShard

logger = logging.getLogger("pixelprune")

_WAIT_SECONDS = 0.1
_MOST_SECONDS = 5.0  # that a slow list is waited for before its inputs so far become a task


@dataclass(slots=True)
class ClusterRun:
    """One run over some inputs, on a cluster.

    Attributes:
        recipe: of the work.
        open_cluster: starts the workers.
        reads: paths of this machine that the work reads.
        summary: the totals so far.
        observer: called as the run progresses.
        stop: ends the run early.
        policy: what to do about failures.
    """

    recipe: WorkRecipe
    open_cluster: OpenCluster
    reads: tuple[str, ...]
    summary: Summary
    observer: RunObserver = field(default_factory=RunObserver)
    stop: StopRequest = field(default_factory=StopRequest)
    policy: FailurePolicy = field(default_factory=FailurePolicy)

    def execute(
        self, inputs: Inputs, open_sink: Callable[[], AbstractContextManager[RowSink]]
    ) -> None:
        """Carry out the run; see `Run.execute`.

        Raises:
            UsageError: a machine of the cluster cannot take part.
        """
        started = time.perf_counter()
        try:
            with Arrivals(iter(inputs), self.raise_if_stopped) as arrivals:
                if not arrivals.peek(1):
                    raise no_inputs_error(self.recipe.item, inputs.skipped)
                with open_sink() as sink:
                    assert isinstance(sink, DatasetWriter)
                    try:
                        self._run(inputs, arrivals, sink)
                    except BaseException:
                        with suppress(OutputError):  # the other error is the one to show
                            sink.clean()
                        raise
                    sink.clean()
        finally:
            self.summary.skipped = inputs.skipped
            self.summary.seconds = time.perf_counter() - started

    def _run(self, inputs: Inputs, arrivals: Arrivals[Any], sink: DatasetWriter) -> None:
        with sink.changes() as changes, _beacon(sink.area().root) as sees:
            check = NodeCheck.of(self.reads, sees)
            setup = RowSetup(self.recipe, check, self.policy.retry_failed)
            with closing(self.open_cluster(setup)) as cluster:
                driver = _Driver(self, sink, cluster, RepeatedNames(inputs))
                if changes is None or changes.is_first:
                    driver.resume(arrivals)
                else:
                    driver.update(arrivals, inputs, changes)
            if changes is not None and changes.is_first:
                changes.counts.new = self.summary.inputs
                self.summary.changes = changes.counts

    def raise_if_stopped(self) -> None:
        """Raise the error of a run that was asked to stop.

        Raises:
            StoppedError: it was.
        """
        if (error := stopped_error(self.stop, self.summary)) is not None:
            raise error


@contextmanager
def _beacon(root: str) -> Iterator[str]:
    """Make a file in the output by which machines tell that it is theirs too; none in a store."""
    if place_of(root).is_far:
        yield ""
        return
    with (
        as_output_error(root),
        tempfile.NamedTemporaryFile(dir=root, prefix=".", suffix=TEMPORARY_SUFFIX) as file,
    ):
        yield file.name


@dataclass(slots=True)
class _Driver:
    """Makes tasks of inputs, and a dataset of their results."""

    run: ClusterRun
    sink: DatasetWriter
    cluster: Cluster
    names: RepeatedNames
    new_tasks: int = 0

    def resume(self, arrivals: Arrivals[Any]) -> None:
        """Look at the shards of earlier runs, and work on all inputs that have none."""
        self._dispatch(self._finished(arrivals))  # first: other inputs are refused before any work
        waiting = list(self.sink.staged)
        with closing(SetAside()) as aside:
            self._dispatch(self._unfinished(arrivals, waiting, aside))
            self._advise()
            aside.end()
            self._dispatch(self._tasks_of_placed(waiting, aside))

    def update(self, arrivals: Arrivals[Any], inputs: Inputs, changes: Changes) -> None:
        """Look at all inputs; then replace the rows of changed ones, and add those of new ones."""
        run, area = self.run, self.sink.area()
        for _ in changes.sort(arrivals):
            run.raise_if_stopped()
            run.observer.on_inputs(1)
        run.summary.changes = changes.counts
        self._dispatch(
            ChangedShard(area, one, self.sink.records[one.number])
            for one in changes.by_shard(inputs.incomplete)
        )
        with Arrivals(changes.new(), run.raise_if_stopped) as new:
            self._dispatch(self._new(new, self.sink.inputs_placed, None))

    def _advise(self) -> None:
        """Say if workers had nothing to do."""
        workers = self.cluster.size
        if 0 < self.new_tasks < workers:
            logger.warning(
                "%d of %d workers had work: each takes --rows-per-shard inputs at a time (%s); "
                "choose fewer, so that all have some",
                self.new_tasks,
                workers,
                f"{self.sink.area().rows_per_shard:,}",
            )

    def _dispatch(self, tasks: Iterator[RowTask | None]) -> None:
        run = self.run
        dispatch = Dispatch(
            self.cluster, run.observer, self._finish, self._give_up, self._reason_to_stop
        )
        try:
            dispatch.run(tasks)
        except StoppedError as error:
            raise stopped_error(run.stop, run.summary) or error from None

    def _reason_to_stop(self, failed: int) -> StoppedError | None:
        run = self.run
        error = run.policy.error(run.summary.failed_now + failed)
        return stopped_error(run.stop, run.summary) or error

    def _finished(self, arrivals: Arrivals[Any]) -> Iterator[RowTask | None]:
        """Yield tasks for the shards of earlier runs."""
        for number, shard in enumerate(list(self.sink.records)):
            refs = yield from _collected(arrivals, shard.inputs)
            yield FinishedShard(self.sink.area(), number, shard, refs)

    def _unfinished(
        self, arrivals: Arrivals[Any], waiting: list[StagedShard], aside: SetAside
    ) -> Iterator[RowTask | None]:
        """Yield tasks for inputs without a shard; those of shards that wait are set aside."""
        first = self.sink.inputs_placed
        for staged in waiting:
            missing, before = staged.first - first, first
            first = yield from self._new(arrivals, first, missing)
            if first < staged.first:
                raise self.sink.short_gap(first - before, missing)
            for ref in islice(arrivals, staged.shard.inputs):
                aside.add(ref, first)
                first += 1
        yield from self._new(arrivals, first, None)

    def _new(
        self, arrivals: Arrivals[Any], first: int, number: int | None
    ) -> Generator[RowTask | None, None, int]:
        """Yield tasks for new inputs, at most a number of them; return the number of the next."""
        area, left = self.sink.area(), number
        while left is None or left:
            most = area.rows_per_shard if left is None else min(area.rows_per_shard, left)
            refs = yield from _collected(arrivals, most, _MOST_SECONDS)
            while refs and len(refs) != left and not ends_sequence(refs[-1]):
                refs += yield from _collected(arrivals, 1)
            if not refs:
                break
            self.new_tasks += 1
            yield NewInputs(area, first, refs)
            first += len(refs)
            left = None if left is None else left - len(refs)
            self.names.warn()
        return first

    def _tasks_of_placed(
        self, waiting: list[StagedShard], aside: SetAside
    ) -> Iterator[RowTask | None]:
        """Yield tasks for shards of an earlier run that now have their place."""
        starts = accumulate((shard.inputs for shard in self.sink.records), initial=0)
        numbers = {start: number for number, start in enumerate(starts)}
        for staged in waiting:
            refs = [ref for _, ref in aside.between(staged.first, staged.end)]
            yield FinishedShard(self.sink.area(), numbers[staged.first], staged.shard, refs)

    def _finish(self, task: Task[Any], result: Any) -> None:  # noqa: ANN401
        """Take what a task returned into the dataset."""
        self.run.summary.merge(result.summary)
        if isinstance(result, ShardsMade):
            for staged in result.staged:
                self.sink.accept(staged)
            return
        assert isinstance(task, FinishedShard | ChangedShard)
        if result.moved is not None:
            self.sink.warn_of_paths(result.moved)
        if result.replacement is not None:
            self.sink.replace(task.number, result.replacement)

    def _give_up(self, task: Any, error: ImageError) -> None:  # noqa: ANN401
        """Give inputs error rows on which no worker survived; finished shards stay as they are."""
        if not isinstance(task, NewInputs):
            logger.warning("%s keeps its rows; run the same command again", task.label)
        summary = self.run.recipe.new_summary()
        observer = RunObserver(self.run.observer.on_row)
        flow = RowFlow(RefusingWork(self.run.recipe, error), summary, observer)
        self._finish(task, task.refuse(flow))


def _collected(
    arrivals: Arrivals[Any], most: int, seconds: float | None = None
) -> Generator[None, None, list[Input]]:
    """Return the next inputs, fewer at the end; yield None while a slow list is waited for.

    Args:
        arrivals: the inputs.
        most: how many.
        seconds: after which those are returned that have come, if there is one; None to wait.
    """
    refs: list[Input] = []
    started = time.perf_counter()
    while len(refs) < most:
        if not arrivals.wait(0 if refs else _WAIT_SECONDS):
            if refs and seconds is not None and time.perf_counter() - started > seconds:
                break
            yield None
            arrivals.wait(_WAIT_SECONDS)
            continue
        ref = next(arrivals, None)
        if ref is None:
            break
        refs.append(ref)
    return refs
