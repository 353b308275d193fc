"""Pieces of the small run, each written as a task on another machine would write it."""

import pickle
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

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
from tests.store.small_run import OPTIONS, ROWS_PER_SHARD

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
