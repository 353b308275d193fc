"""From inputs to rows, also where a part of a shard of an earlier run is worked on again."""

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ppcli.engine.arrivals import Arrivals
from ppcli.engine.stopping import StopRequest
from ppcli.engine.summary import Summary
from ppcli.errors import ExitCode, StoppedError, pluralize
from ppcli.inputs.refs import Input, ends_sequence, fingerprint_column
from ppcli.store.formats import Kept
from ppcli.store.row_sinks import RowReceiver
from ppcli.store.rows import OK, MainRow, PatchRow, ScoreRow

if TYPE_CHECKING:  # Arrow loads slowly, and streams do not need it
    from ppcli.store.previous_run import PreviousInput, PreviousShard

logger = logging.getLogger("pixelprune")


class Result(Protocol):
    """A row, and the patch set of its page if one was made."""

    @property
    def row(self) -> Any:  # noqa: ANN401
        """The row."""

    @property
    def patches(self) -> PatchRow | None:
        """The patch set."""


class Work(Protocol):
    """What a run does with its inputs."""

    @property
    def item(self) -> str:
        """What an input is called, in the singular."""

    def prestart(self, inputs: Arrivals[Any]) -> None:
        """Start workers before the first input is read; `inputs` may be peeked at."""

    def results(
        self, inputs: Arrivals[Any], stop: StopRequest
    ) -> Generator[tuple[Input, Iterator[Any]], None, None]:
        """Yield each input with its results, in order; after a stop fewer inputs than there are."""

    def close(self) -> None:
        """Stop workers and release resources."""


@dataclass(frozen=True, slots=True)
class RunObserver:
    """Callbacks for the progress of a run.

    Attributes:
        on_row: called with each new row after the sink has received it.
        on_inputs: called with the number of inputs that were just finished, of this run or an
            earlier one.
    """

    on_row: Callable[[MainRow], None] = lambda _: None
    on_inputs: Callable[[int], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """What a run does about failed inputs.

    Attributes:
        max_failures: stop after this many new error rows; None for no limit.
        retry_failed: retry the inputs that have error rows from an earlier run.
    """

    max_failures: int | None = None
    retry_failed: bool = False

    def error(self, failed: int) -> StoppedError | None:
        """Return the error of a run with this many failures; None if it goes on."""
        limit = self.max_failures
        if limit is None or failed < limit:
            return None
        option = "--max-failures" if limit > 1 else "--fail-fast"
        number = "the first failure" if failed == 1 else pluralize(failed, "failure")
        return StoppedError(ExitCode.INPUTS_FAILED, f"stopped after {number} ({option})")


def stopped_error(stop: StopRequest, summary: Summary) -> StoppedError | None:
    """Return the error of a run that was asked to stop; None if it was not."""
    if stop.exit_code is None:
        return None
    word = "interrupted" if stop.exit_code is ExitCode.INTERRUPTED else "terminated"
    return StoppedError(stop.exit_code, f"{word} after {pluralize(summary.inputs, 'input')}")


@dataclass(slots=True)
class RowFlow:
    """Takes inputs through the work, and rows to where they are kept, in the order of the inputs.

    Attributes:
        work: what is done with each input.
        summary: the totals so far.
        observer: called as the run progresses.
        stop: ends the run early.
        policy: what to do about failures.
    """

    work: Work
    summary: Summary
    observer: RunObserver = field(default_factory=RunObserver)
    stop: StopRequest = field(default_factory=StopRequest)
    policy: FailurePolicy = field(default_factory=FailurePolicy)

    def work_on(
        self,
        inputs: Arrivals[Any],
        receiver: RowReceiver,
        after_input: Callable[[], None] = lambda: None,
    ) -> None:
        """Work on inputs.

        Args:
            inputs: to work on.
            receiver: takes their rows.
            after_input: called after each.

        Raises:
            StoppedError: the run was asked to stop, or too many inputs failed.
        """
        with closing(self.work.results(inputs, self.stop)) as inputs_with_results:
            for ref, results in inputs_with_results:
                self._add(ref, results, receiver)
                after_input()
        self.raise_if_stopped()

    def _add(
        self,
        ref: Input,
        results: Iterator[Result],
        receiver: RowReceiver,
        earlier_columns: Kept | None = None,
    ) -> None:
        columns = earlier_columns if ref.columns is None else ref.columns
        fingerprint: str | None = None
        for number, result in enumerate(results):
            if not isinstance(result.row, ScoreRow):
                if not number:
                    fingerprint = fingerprint_column(ref, result.row.status != OK)
                result.row.fingerprint = fingerprint
            receiver.add(result.row, result.patches, columns)
            failed = self.summary.failed
            self.summary.add(result.row, result.patches)
            self.summary.failed_now += self.summary.failed - failed
            self.observer.on_row(result.row)
        receiver.end_of_input(ref)
        self.summary.end_of_input()
        self.observer.on_inputs(1)
        error = self.policy.error(self.summary.failed_now)
        if error is not None and ends_sequence(ref):
            raise error

    def raise_if_stopped(self) -> None:
        """Raise the error of a run that was asked to stop.

        Raises:
            StoppedError: it was.
        """
        if (error := stopped_error(self.stop, self.summary)) is not None:
            raise error

    def resume(self, shard: "PreviousShard") -> None:
        """Count the rows of an earlier run, after working again on inputs that need it.

        These are inputs that have changed, inputs with missing pages, and failed inputs if the
        policy says so.
        """
        for one in shard.inputs:
            if one.missing:
                logger.warning("working on %s again: %s", one.ref.image_id, one.missing)
        again = [one.is_given and self._needs_work(one) for one in shard.inputs]
        if any(again) and not all(ends_sequence(one.ref) for one in shard.inputs):
            again = [True] * len(again)  # frames depend on one another
        if any(again) or any(one.is_dropped for one in shard.inputs):
            self._rewrite(shard, again)
        else:
            self.keep(shard)

    def keep(self, shard: "PreviousShard") -> None:
        """Count the rows of a shard of an earlier run, which stays as it is."""
        for one in shard.inputs:
            for row in one.rows:
                self.summary.add(row, earlier=True)
            self._end_earlier(one)
        self.summary.patch_bytes += shard.patch_bytes

    def _needs_work(self, one: "PreviousInput") -> bool:
        return one.is_changed or bool(one.missing) or (self.policy.retry_failed and one.failed)

    def _end_earlier(self, one: "PreviousInput") -> None:
        """Count an input that keeps its rows; others than those given count as progress before."""
        self.summary.end_of_input(earlier=True)
        if one.is_given:
            self.observer.on_inputs(1)

    def _rewrite(self, shard: "PreviousShard", again: list[bool]) -> None:
        """Replace a shard: work on some of its inputs again, drop some, and copy the others."""
        refs = [one.ref for one, is_chosen in zip(shard.inputs, again, strict=True) if is_chosen]
        with (
            Arrivals(iter(refs)) as inputs,
            closing(shard.patches()) as patches,
            closing(shard.kept()) as kept,
            shard.replacement() as writer,
            closing(self.work.results(inputs, self.stop)) as new_results,
        ):
            for one, is_chosen in zip(shard.inputs, again, strict=True):
                old_results = _with_patches(one.rows, patches, kept)
                if is_chosen:
                    _, _, columns = next(old_results)
                    for _ in old_results:  # skip its patch sets
                        pass
                    self._add(*self._next_of(new_results), writer, columns)
                    continue
                if one.is_dropped:
                    for _ in old_results:
                        pass
                    continue
                for row, patch_set, columns in old_results:
                    writer.add(row, patch_set, columns)
                    self.summary.add(row, patch_set, earlier=True)
                writer.end_of_input(one.ref)
                self._end_earlier(one)

    def _next_of(
        self, new_results: Iterator[tuple[Input, Iterator[Result]]]
    ) -> tuple[Input, Iterator[Result]]:
        """Return the next input with its results; only a stop can leave none."""
        for ref, results in new_results:
            return ref, results
        self.raise_if_stopped()
        raise AssertionError("an input has no results")


def _with_patches(
    rows: list[MainRow], patches: Iterator[PatchRow], kept: Iterator[Kept | None]
) -> Iterator[tuple[MainRow, PatchRow | None, Kept | None]]:
    for row in rows:
        yield row, next(patches, None) if row.status == OK else None, next(kept, None)
