"""`analyze`: every input through the coder, every row into the sink, in input order."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from itertools import chain

from ppcli.errors import ExitCode, NothingToDoError, StoppedError
from ppcli.inputs.listing import Listing
from ppcli.inputs.refs import ImageRef
from ppcli.run.analysis import AnalysisOptions, PageResult, may_give_several
from ppcli.run.executors import Executor
from ppcli.run.pipeline import Pipeline
from ppcli.run.stopping import StopRequest
from ppcli.run.summary import Summary
from ppcli.store.dataset import Dataset, EarlierShard
from ppcli.store.outputs import RowSink
from ppcli.store.rows import OK, PatchRow, StatsRow


@dataclass(frozen=True, slots=True)
class Watcher:
    """What is told of the progress of a run.

    Attributes:
        on_row: told of each new row once the sink has it.
        on_file: told of each input that is done, now or by an earlier run.
    """

    on_row: Callable[[PageResult], None] = lambda _: None
    on_file: Callable[[], None] = lambda: None


@dataclass(slots=True)
class AnalyzeRun:
    """One run of `analyze`.

    Attributes:
        options: what the rows depend on.
        executor: where images are worked on; closed at the end.
        watcher: told of the progress.
        stop: says when to stop early.
        max_failures: stop after so many new error rows.
        retry_failed: do the inputs with error rows of an earlier run again.
        summary: what the run adds up to, so far.
    """

    options: AnalysisOptions
    executor: Executor
    watcher: Watcher
    stop: StopRequest
    max_failures: int | None = None
    retry_failed: bool = False
    summary: Summary = field(default_factory=Summary, init=False)

    def __call__(
        self, listing: Listing, open_sink: Callable[[], AbstractContextManager[RowSink]]
    ) -> None:
        """Do it.

        Args:
            listing: the inputs.
            open_sink: opens what takes the rows; not called when there is nothing to try.

        Raises:
            NothingToDoError: when the inputs hold no file to try.
            OutputError: when the sink cannot write, or belongs to other inputs.
            StoppedError: when it was asked to stop, or too many inputs failed.
        """
        started = time.perf_counter()
        refs = self._at_least_one(listing)
        try:
            with open_sink() as sink, closing(self.executor):
                for shard in sink.earlier(refs):
                    self._take_over(shard, sink)
                self.summary.end_of_earlier()
                for ref, results in Pipeline(self.executor, self.options, self.stop).run(refs):
                    self._take(ref, results, sink)
                self._end_if_stopped()
        finally:
            self.summary.skipped = listing.skipped
            self.summary.seconds = time.perf_counter() - started

    def _at_least_one(self, listing: Listing) -> Iterator[ImageRef]:
        refs = iter(listing)
        first: list[ImageRef] = []
        while len(first) < self.executor.capacity and (ref := self.stop.next_of(refs)):
            first.append(ref)
        self._end_if_stopped()
        if len(first) < self.executor.capacity:
            several = any(may_give_several(ref, self.options) for ref in first)
            self.executor.expect(self.executor.capacity if several else len(first))
        if not first:
            others = f"; {listing.skipped:,} other files were passed over"
            raise NothingToDoError(
                f"there is no image among the inputs{others if listing.skipped else ''}"
            )
        return chain(first, refs)

    def _take(self, ref: ImageRef, results: Iterator[PageResult], sink: RowSink) -> None:
        for result in results:
            sink.add(result.stats, result.patches)
            self.summary.add(result)
            self.watcher.on_row(result)
            self.summary.failed_now += result.stats.status != OK
        sink.end_of_input(ref)
        self.summary.end_of_file()
        self.watcher.on_file()
        if self.max_failures is not None and self.summary.failed_now >= self.max_failures:
            raise StoppedError(
                ExitCode.INPUTS_FAILED,
                f"stopped after {self.summary.failed_now:,} failures (--max-failures)",
            )

    def _end_if_stopped(self) -> None:
        if self.stop.exit_code is not None:
            word = "interrupted" if self.stop.exit_code is ExitCode.INTERRUPTED else "terminated"
            raise StoppedError(self.stop.exit_code, f"{word} after {self.summary.files:,} inputs")

    def _take_over(self, shard: EarlierShard, sink: RowSink) -> None:
        """Count what an earlier run did, after another try at its failures if that is wanted."""
        failed = any(one.failed for one in shard.inputs)
        if self.retry_failed and failed and isinstance(sink, Dataset):
            self._retry(shard, sink)
            return
        for one in shard.inputs:
            for row in one.rows:
                self.summary.add(PageResult(row))
            self.summary.end_of_file()
            self.watcher.on_file()
        self.summary.patch_bytes += shard.patch_bytes

    def _retry(self, shard: EarlierShard, sink: Dataset) -> None:
        """Write a shard anew: its failed inputs worked on again, the other rows copied."""
        failed = iter([one.ref for one in shard.inputs if one.failed])
        again = Pipeline(self.executor, self.options, self.stop).run(failed)
        patches = sink.earlier_patches(shard)
        with sink.replacing(shard.number) as writer, closing(patches):
            for one in shard.inputs:
                earlier = _with_patches(one.rows, patches)
                if one.failed:
                    list(earlier)
                    _, earlier = next(again, (one.ref, iter(())))
                    self._end_if_stopped()
                for result in earlier:
                    writer.add(result.stats, result.patches)
                    self.summary.add(result)
                    if one.failed:
                        self.watcher.on_row(result)
                writer.end_of_input(one.ref)
                self.summary.end_of_file()
                self.watcher.on_file()


def _with_patches(rows: list[StatsRow], patches: Iterator[PatchRow]) -> Iterator[PageResult]:
    for row in rows:
        yield PageResult(row, next(patches, None) if row.status == OK else None)
