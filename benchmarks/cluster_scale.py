"""What the process of a run on a cluster can do: shards a second, memory, size of the manifest.

The workers are simulated: each of 1,000 slots sleeps for a while and names a shard whose files are
empty. Listing, cutting, pickling of tasks, placing of files and the manifest are real. Run it as
`python benchmarks/cluster_scale.py`.
"""

import argparse
import heapq
import pickle
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ppcli.engine.cluster.cluster import Event, News, Outcome, Task
from ppcli.engine.cluster.cluster_run import ClusterRun
from ppcli.engine.cluster.row_tasks import FinishedShard, NewInputs, ShardLookedAt, ShardsMade
from ppcli.engine.summary import Summary
from ppcli.errors import ExitCode
from ppcli.files import FileState, LocalFile
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.analyze import AnalyzeSummary
from ppcli.store.dataset import dataset_output
from ppcli.store.manifest import Manifest
from ppcli.store.shards import FileRecord, Shard, StagedShard, new_token, staged_name

CONFIG = {"patches": True}


class Inputs:
    """Names of images that do not exist."""

    skipped, repeated, incomplete = 0, "", ""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[ImageRef]:
        for number in range(self.count):
            name = f"scans/2026/{number // 10_000:06d}/page-{number:012d}.png"
            yield ImageRef(LocalFile(name), name, FileState(80_000, number))


class SleepingCluster:
    """Slots in which tasks sleep."""

    def __init__(self, slots: int, seconds: float) -> None:
        self.size = self.free = slots
        self._seconds, self._random = seconds, random.Random(1)  # noqa: S311
        self._due: list[tuple[float, int, Any]] = []
        self.sent = 0

    def give(self, task_id: int, task: Task[Any]) -> None:
        """Begin to sleep."""
        self.sent += len(pickle.dumps(task))
        self.free -= 1
        end = time.monotonic() + self._seconds * self._random.uniform(0.5, 1.5)
        heapq.heappush(self._due, (end, task_id, task))

    def wait(self, seconds: float) -> list[Event]:
        """Return the tasks that have slept enough."""
        if self._due:
            time.sleep(max(0.0, min(seconds, self._due[0][0] - time.monotonic())))
        found = []
        while self._due and self._due[0][0] <= time.monotonic():
            _, task_id, task = heapq.heappop(self._due)
            self.free += 1
            news = News(inputs=task.inputs, outcome=Outcome(_result(task)))
            found.append(Event(task_id, f"node-{task_id % 100}", news))
        return found

    def stop(self, code: ExitCode) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def _result(task: NewInputs | FinishedShard) -> ShardsMade | ShardLookedAt:
    summary = AnalyzeSummary(inputs=task.inputs, good=task.inputs)
    if not isinstance(task, NewInputs):
        return ShardLookedAt(None, summary)
    token, number = new_token(), task.inputs
    record = FileRecord(1 << 30, "0123456789abcdef0123456789abcdef")
    files = {"patches": record, "stats": record}
    digest = "0123456789abcdef0123456789abcdef"
    shard = Shard(number, digest, number, 0, number, 1 << 30, files)
    for kind in files:
        (Path(task.area.root) / kind / staged_name(token)).touch()
    return ShardsMade([StagedShard(task.first, token, shard)], summary)


class Recipe:
    """Names the items of the run; its work is never done."""

    item = "image"


def run(folder: str, shards: int, per_shard: int, slots: int, seconds: float) -> None:
    """Fill a dataset, or look at it again, and print what that took."""
    cluster = SleepingCluster(slots, seconds)
    summary: Summary = AnalyzeSummary()

    def opened() -> AbstractContextManager[Any]:
        return dataset_output(folder, CONFIG, rows_per_shard=per_shard)

    started, spent = time.perf_counter(), time.process_time()
    cluster_run = ClusterRun(Recipe(), lambda _: cluster, (), summary)  # type: ignore[arg-type]
    cluster_run.execute(Inputs(shards * per_shard), opened)  # type: ignore[arg-type]
    wall, processor = time.perf_counter() - started, time.process_time() - spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    size = (Path(folder) / "manifest.json").stat().st_size / 1e6
    print(  # noqa: T201
        f"{shards:,} shards of {per_shard:,} inputs, {slots:,} slots: {wall:.0f} s, "
        f"{shards / wall:,.0f} shards/s, {summary.inputs / wall:,.0f} inputs/s, "
        f"{processor / shards * 1000:.2f} ms of processor time a shard; peak {peak:.0f} MB, "
        f"manifest {size:.1f} MB, tasks {cluster.sent / 1e6:.0f} MB"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=100_000)
    parser.add_argument("--per-shard", type=int, default=10)
    parser.add_argument("--slots", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=1.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(f"{folder}/out", given.shards, given.per_shard, given.slots, given.seconds)
        started = time.perf_counter()
        shards = len(Manifest.read(f"{folder}/out").shards)
        print(f"reading the manifest of {shards:,} shards: {time.perf_counter() - started:.2f} s")  # noqa: T201
        run(f"{folder}/out", given.shards, given.per_shard, given.slots, given.seconds)


if __name__ == "__main__":
    main()
