"""A run: every input through the work, every row into the sink, in input order."""

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ppcli.engine.arrivals import Arrivals
from ppcli.engine.stopping import StopRequest
from ppcli.engine.summary import Summary
from ppcli.errors import ExitCode, NothingToDoError, StoppedError, pluralize
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
from ppcli.inputs.refs import Input
from ppcli.store.row_sinks import RowReceiver, RowSink
from ppcli.store.rows import OK, MainRow, PatchRow

if TYPE_CHECKING:
    from ppcli.store.previous_run import PreviousShard

logger = logging.getLogger("pixelprune")


class Result(Protocol):
    """A row, and the patch set of its page where one was made."""

    @property
    def row(self) -> Any:  # noqa: ANN401
        """The row."""

    @property
    def patches(self) -> PatchRow | None:
        """The patch set."""


class Inputs(Protocol):
    """What is gone through.

    Attributes:
        skipped: files of folders, counted so far, that were passed over.
        repeated: the first input, so far, whose name came before, as it was changed; else empty.
    """

    skipped: int
    repeated: str

    def __iter__(self) -> Iterator[Input]:
        """The inputs, in order."""


class Work(Protocol):
    """What is done with each input; `item` is what one is called."""

    @property
    def item(self) -> str:
        """In the singular."""

    def expect(self, inputs: Arrivals[Any]) -> None:
        """Prepare for as much work as there is, before the first input is taken."""

    def results(
        self, inputs: Arrivals[Any], stop: StopRequest
    ) -> Generator[tuple[Input, Iterator[Any]], None, None]:
        """Each input with its rows, in order; fewer of them after a stop."""

    def close(self) -> None:
        """Leave nothing behind."""


@dataclass(frozen=True, slots=True)
class Watcher:
    """What is told of the progress of a run.

    Attributes:
        on_row: told of each new row once the sink has it.
        on_file: told of each input that is done, now or by an earlier run.
    """

    on_row: Callable[[MainRow], None] = lambda _: None
    on_file: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Limits:
    """When a run gives up, and what it does again.

    Attributes:
        max_failures: stop after so many new error rows.
        retry_failed: do the inputs with error rows of an earlier run again.
        max_image_pixels: larger images are error rows.
    """

    max_failures: int | None = None
    retry_failed: bool = False
    max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS


@dataclass(slots=True)
class Run:
    """One run over some inputs.

    Attributes:
        work: what is done with them; closed at the end.
        summary: what the run adds up to, so far.
        watcher: told of the progress.
        stop: says when to stop early.
        limits: when to give up, and what to do again.
    """

    work: Work
    summary: Summary
    watcher: Watcher
    stop: StopRequest
    limits: Limits
    _told: bool = field(default=False, init=False)

    def __call__(
        self, inputs: Inputs, open_sink: Callable[[], AbstractContextManager[RowSink]]
    ) -> None:
        """Do it.

        Args:
            inputs: what is gone through.
            open_sink: opens what takes the rows; not called when there is nothing to try.

        Raises:
            NothingToDoError: when the inputs hold no file to try.
            OutputError: when the sink cannot write, or belongs to other inputs.
            StoppedError: when it was asked to stop, or too many inputs failed.
        """
        started = time.perf_counter()
        try:
            with Arrivals(iter(inputs), self._end_if_stopped) as arrivals:
                if not arrivals.ahead(1):
                    others = f"; {pluralize(inputs.skipped, 'other file')} passed over"
                    raise NothingToDoError(
                        f"there is no {self.work.item} among the inputs"
                        f"{others if inputs.skipped else ''}"
                    )
                with closing(self.work):
                    self.work.expect(arrivals)
                    self._go_through(inputs, arrivals, open_sink)
        finally:
            self.summary.skipped = inputs.skipped
            self.summary.seconds = time.perf_counter() - started

    def _go_through(
        self,
        inputs: Inputs,
        arrivals: Arrivals[Any],
        open_sink: Callable[[], AbstractContextManager[RowSink]],
    ) -> None:
        with open_sink() as sink:
            for shard in sink.previous_shards(arrivals):
                self._take_over(shard)
            with closing(self.work.results(arrivals, self.stop)) as course:
                for one, results in course:
                    self._take(one, results, sink)
                    self._tell_repeated(inputs)
            self._end_if_stopped()

    def _tell_repeated(self, inputs: Inputs) -> None:
        """Say once that names come more than once."""
        if inputs.repeated and not self._told:
            self._told = True
            logger.warning(
                "some inputs are named like earlier ones; a number tells them apart, first in %s",
                inputs.repeated,
            )

    def _take(self, one: Input, results: Iterator[Result], sink: RowReceiver) -> None:
        for result in results:
            sink.add(result.row, result.patches)
            failed = self.summary.failed
            self.summary.add(result.row, result.patches)
            self.summary.failed_now += self.summary.failed - failed
            self.watcher.on_row(result.row)
        sink.end_of_input(one)
        self._end_of_file()
        self._end_if_too_many_failed()

    def _end_of_file(self, earlier: bool = False) -> None:
        self.summary.end_of_file(earlier)
        self.watcher.on_file()

    def _end_if_too_many_failed(self) -> None:
        failed = self.summary.failed_now
        if self.limits.max_failures is not None and failed >= self.limits.max_failures:
            option = "--max-failures" if self.limits.max_failures > 1 else "--fail-fast"
            number = "the first failure" if failed == 1 else pluralize(failed, "failure")
            raise StoppedError(ExitCode.INPUTS_FAILED, f"stopped after {number} ({option})")

    def _end_if_stopped(self) -> None:
        if self.stop.exit_code is not None:
            word = "interrupted" if self.stop.exit_code is ExitCode.INTERRUPTED else "terminated"
            done = pluralize(self.summary.files, "input")
            raise StoppedError(self.stop.exit_code, f"{word} after {done}")

    def _take_over(self, shard: "PreviousShard") -> None:
        """Count what an earlier run did, after another try at what it lacks.

        That is missing pages, and failures if that is wanted.
        """
        for one in shard.inputs:
            if one.missing:
                logger.warning("%s is done again: %s", one.ref.image_id, one.missing)
        again = [
            bool(one.missing) or (self.limits.retry_failed and one.failed) for one in shard.inputs
        ]
        if any(again):
            self._retry(shard, again)
            return
        for one in shard.inputs:
            for row in one.rows:
                self.summary.add(row, earlier=True)
            self._end_of_file(earlier=True)
        self.summary.patch_bytes += shard.patch_bytes

    def _retry(self, shard: "PreviousShard", chosen: list[bool]) -> None:
        """Write a shard anew: the chosen inputs worked on again, the rows of the others copied."""
        refs = [one.ref for one, again in zip(shard.inputs, chosen, strict=True) if again]
        with (
            Arrivals(iter(refs)) as inputs,
            closing(shard.patches()) as patches,
            shard.replacement() as writer,
            closing(self.work.results(inputs, self.stop)) as again,
        ):
            for one, is_chosen in zip(shard.inputs, chosen, strict=True):
                earlier = _with_patches(one.rows, patches)
                if is_chosen:
                    list(earlier)
                    self._take(*self._next_of(again), writer)
                    continue
                for row, of_page in earlier:
                    writer.add(row, of_page)
                    self.summary.add(row, of_page, earlier=True)
                writer.end_of_input(one.ref)
                self._end_of_file(earlier=True)

    def _next_of(
        self, again: Iterator[tuple[Input, Iterator[Result]]]
    ) -> tuple[Input, Iterator[Result]]:
        """The next input that is worked on again; it is missing only after a stop."""
        for one, results in again:
            return one, results
        self._end_if_stopped()
        raise AssertionError("an input was not worked on")


def _with_patches(
    rows: list[MainRow], patches: Iterator[PatchRow]
) -> Iterator[tuple[MainRow, PatchRow | None]]:
    for row in rows:
        yield row, next(patches, None) if row.status == OK else None
