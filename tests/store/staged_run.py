"""Pieces of the small run, each written as a task on another machine would write it.

`python -m tests.store.staged_run IN OUT STEP…` runs `drive` once for each step, in a child process
that kills itself at that step of writing, or of requests to a store. The step replaces {} in OUT.
"""

import os
import pickle
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from ppcli.engine.arrivals import Arrivals
from ppcli.engine.executors.serial import SerialExecutor
from ppcli.engine.row_flow import FailurePolicy, RowFlow
from ppcli.imaging.decode import pillow_limits
from ppcli.inputs.listing import Listing
from ppcli.inputs.refs import Input
from ppcli.jobs.analyze import AnalyzeSummary, AnalyzeWork
from ppcli.store.dataset import DatasetWriter, dataset_output
from ppcli.store.shards import StagedShard
from ppcli.store.staging import StagingArea
from tests.store.places import far_run
from tests.store.small_run import OPTIONS, ROWS_PER_SHARD, Killer, count_steps, make_inputs

BOUNDS = (0, 2, 4, 5, 7)  # of the inputs of each shard


def listed(folder: Path) -> list[Input]:
    """The inputs of the small run."""
    return list(Listing((str(folder),)))


@contextmanager
def flow(retry: bool = False) -> Iterator[RowFlow]:
    """What takes inputs to rows, in this process."""
    work = AnalyzeWork(OPTIONS, SerialExecutor())
    policy = FailurePolicy(retry_failed=retry)
    with pillow_limits(OPTIONS.reading.max_image_pixels), closing(work):
        yield RowFlow(work, AnalyzeSummary(), policy=policy)


def stage(area: StagingArea, inputs: list[Input], first: int, end: int) -> list[StagedShard]:
    """Work on some of the inputs; return their shards."""
    area = pickle.loads(pickle.dumps(area))
    chunk = iter(inputs[first:end])
    with flow() as rows, Arrivals(chunk) as arrivals, area.writer(first) as writer:
        rows.work_on(arrivals, writer)
    return pickle.loads(pickle.dumps(writer.staged))


def stage_all(area: StagingArea, inputs: list[Input]) -> list[StagedShard]:
    """Work on all inputs, those of one shard at a time; return the shards in order."""
    return [one for first, end in pairwise(BOUNDS) for one in stage(area, inputs, first, end)]


@contextmanager
def opened(out: Path | str, **options: object) -> Iterator[DatasetWriter]:
    """The dataset of a run that is not killed."""
    config = OPTIONS.as_config()
    with dataset_output(str(out), config, rows_per_shard=ROWS_PER_SHARD, **options) as dataset:
        yield dataset


class Killed(BaseException):
    """Ends a run without any of the work that an orderly end does."""


@contextmanager
def killed(out: Path | str) -> Iterator[DatasetWriter]:
    """The dataset of a run that is killed at the end of the block."""
    try:
        with opened(out) as dataset:
            yield dataset
            raise Killed
    except Killed:
        pass


def accept_all(dataset: DatasetWriter, staged: Iterable[StagedShard]) -> None:
    """Take over shards in this order."""
    for one in staged:
        dataset.accept(one)


ORDER = (2, 0, 3, 1)


def drive(folder: Path, out: str, at: int | None = None) -> None:
    """Take over the shards of tasks, then replace one; may be killed at a step of this."""
    inputs = listed(folder)
    with opened(out) as dataset:
        staged = stage_all(dataset.area(), inputs)
        [again] = stage(dataset.area(), inputs, *BOUNDS[1:3])
        if at is not None:
            count = far_run.count_changes if "://" in out else count_steps
            count(Killer(at))
        accept_all(dataset, [staged[number] for number in ORDER])
        dataset.replace(1, again)
        dataset.clean()


def main() -> None:
    """Drive once for each step in a child process that is killed there; print how each ended."""
    folder, out, *steps = sys.argv[1:]
    with TemporaryDirectory() as spare:  # loads modules and kernels once for all children
        drive(make_inputs(Path(spare, "in")), spare + "/out")
    for step in steps:
        child = os.fork()
        if child == 0:
            drive(Path(folder), out.replace("{}", step), int(step))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
