"""`analyze`: every input through the coder, every row into the sink, in input order."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field

from ppcli.errors import ExitCode, NothingToDoError, StoppedError
from ppcli.inputs.listing import Listing
from ppcli.inputs.refs import ImageRef
from ppcli.run.analysis import AnalysisOptions, PageResult, may_give_several
from ppcli.run.arrivals import Arrivals
from ppcli.run.executors import Executor
from ppcli.run.pipeline import Pipeline
from ppcli.run.stopping import StopRequest
from ppcli.run.summary import Summary
from ppcli.store.dataset import EarlierShard
from ppcli.store.outputs import RowSink, RowTaker
from ppcli.store.rows import OK, PatchRow, StatsRow

_PATIENCE_SECONDS = 0.2


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
        try:
            with Arrivals(iter(listing), self._end_if_stopped) as refs:
                self._expect(refs, listing)
                with open_sink() as sink, closing(self.executor):
                    for shard in sink.earlier(refs):
                        self._take_over(shard)
                    for ref, results in Pipeline(self.executor, self.options, self.stop).run(refs):
                        self._take(ref, results, sink)
                    self._end_if_stopped()
        finally:
            self.summary.skipped = listing.skipped
            self.summary.seconds = time.perf_counter() - started

    def _expect(self, refs: Arrivals[ImageRef], listing: Listing) -> None:
        """Prepare for as much work as there is, at least one file."""
        if not refs.ahead(1):
            others = f"; {listing.skipped:,} other files were passed over"
            raise NothingToDoError(
                f"there is no image among the inputs{others if listing.skipped else ''}"
            )
        capacity = self.executor.capacity
        if not refs.known(_PATIENCE_SECONDS, capacity):
            return  # a list that keeps us waiting may be of any length
        first = refs.ahead(capacity)
        if len(first) < capacity:
            several = any(may_give_several(ref, self.options) for ref in first)
            self.executor.expect(capacity if several else len(first))

    def _take(self, ref: ImageRef, results: Iterator[PageResult], sink: RowTaker) -> None:
        for result in results:
            sink.add(result.stats, result.patches)
            self._count_new(result)
        sink.end_of_input(ref)
        self._end_of_file()
        self._end_if_too_many_failed()

    def _count_new(self, result: PageResult) -> None:
        self.summary.add(result)
        self.summary.failed_now += result.stats.status != OK
        self.watcher.on_row(result)

    def _end_of_file(self, earlier: bool = False) -> None:
        self.summary.end_of_file(earlier)
        self.watcher.on_file()

    def _end_if_too_many_failed(self) -> None:
        failed = self.summary.failed_now
        if self.max_failures is not None and failed >= self.max_failures:
            option = "--max-failures" if self.max_failures > 1 else "--fail-fast"
            number = "the first failure" if failed == 1 else f"{failed:,} failures"
            raise StoppedError(ExitCode.INPUTS_FAILED, f"stopped after {number} ({option})")

    def _end_if_stopped(self) -> None:
        if self.stop.exit_code is not None:
            word = "interrupted" if self.stop.exit_code is ExitCode.INTERRUPTED else "terminated"
            raise StoppedError(self.stop.exit_code, f"{word} after {self.summary.files:,} inputs")

    def _take_over(self, shard: EarlierShard) -> None:
        """Count what an earlier run did, after another try at its failures if that is wanted."""
        if self.retry_failed and any(one.failed for one in shard.inputs):
            self._retry(shard)
            return
        for one in shard.inputs:
            for row in one.rows:
                self.summary.add(PageResult(row), earlier=True)
            self._end_of_file(earlier=True)
        self.summary.patch_bytes += shard.patch_bytes

    def _retry(self, shard: EarlierShard) -> None:
        """Write a shard anew: its failed inputs worked on again, the other rows copied."""
        failed = iter([one.ref for one in shard.inputs if one.failed])
        with (
            Arrivals(failed) as refs,
            closing(shard.patches()) as patches,
            shard.replacement() as writer,
        ):
            again = Pipeline(self.executor, self.options, self.stop).run(refs)
            for one in shard.inputs:
                earlier = _with_patches(one.rows, patches)
                if one.failed:
                    list(earlier)
                    self._take(*self._again(again), writer)
                    continue
                for result in earlier:
                    writer.add(result.stats, result.patches)
                    self.summary.add(result, earlier=True)
                writer.end_of_input(one.ref)
                self._end_of_file(earlier=True)

    def _again(
        self, again: Iterator[tuple[ImageRef, Iterator[PageResult]]]
    ) -> tuple[ImageRef, Iterator[PageResult]]:
        """The next input that is worked on again; it is missing only after a stop."""
        for ref, results in again:
            return ref, results
        self._end_if_stopped()
        raise AssertionError("an input was not worked on")


def _with_patches(rows: list[StatsRow], patches: Iterator[PatchRow]) -> Iterator[PageResult]:
    for row in rows:
        yield PageResult(row, next(patches, None) if row.status == OK else None)
