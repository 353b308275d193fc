"""A run: every input through the work, every row into the sink, in input order."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from ppcli.engine.arrivals import Arrivals
from ppcli.engine.row_flow import RowFlow
from ppcli.errors import NothingToDoError, pluralize
from ppcli.inputs.refs import Input
from ppcli.store.row_sinks import Gap, RowSink

if TYPE_CHECKING:  # Arrow loads slowly, and streams do not need it
    from ppcli.store.dataset_changes import Changes

logger = logging.getLogger("pixelprune")


class Inputs(Protocol):
    """The inputs of a run; iterating may be slow."""

    @property
    def skipped(self) -> int:
        """How many files in folders were skipped so far."""

    @property
    def repeated(self) -> str:
        """The new name of the first input, so far, whose name had come before; else empty."""

    @property
    def incomplete(self) -> str:
        """Why inputs may be missing that still exist, once all have come; else empty."""

    def __iter__(self) -> Iterator[Input]:
        """Iterate over the inputs, in order."""


@dataclass(slots=True)
class Run:
    """One run over some inputs, in this process and its workers.

    Attributes:
        flow: takes inputs to rows; its work is closed at the end.
    """

    flow: RowFlow

    def execute(
        self, inputs: Inputs, open_sink: Callable[[], AbstractContextManager[RowSink]]
    ) -> None:
        """Carry out the run.

        Args:
            inputs: to work on.
            open_sink: opens the output; not called if there are no inputs.

        Raises:
            NothingToDoError: if there are no inputs.
            OutputError: if the output cannot be written, or belongs to other inputs.
            StoppedError: if the run was asked to stop, or too many inputs failed.
        """
        started = time.perf_counter()
        try:
            with Arrivals(iter(inputs), self.flow.raise_if_stopped) as arrivals:
                if not arrivals.peek(1):
                    raise no_inputs_error(self.flow.work.item, inputs.skipped)
                with closing(self.flow.work):
                    self.flow.work.prestart(arrivals)
                    self._run(inputs, arrivals, open_sink)
        finally:
            self.flow.summary.skipped = inputs.skipped
            self.flow.summary.seconds = time.perf_counter() - started

    def _run(
        self,
        inputs: Inputs,
        arrivals: Arrivals[Any],
        open_sink: Callable[[], AbstractContextManager[RowSink]],
    ) -> None:
        with open_sink() as sink, sink.changes() as changes:
            if changes is None or changes.is_first:
                for shard in sink.previous_shards(arrivals):
                    if isinstance(shard, Gap):
                        gap = islice(arrivals, shard.inputs)
                        with Arrivals(gap, self.flow.raise_if_stopped) as some:
                            self._work_on(some, inputs, sink)
                    else:
                        self.flow.resume(shard)
                self._work_on(arrivals, inputs, sink)
            else:
                self._update(arrivals, inputs, sink, changes)
            if changes is not None and changes.is_first:
                changes.counts.new = self.flow.summary.inputs
                self.flow.summary.changes = changes.counts

    def _update(
        self, arrivals: Arrivals[Any], inputs: Inputs, sink: RowSink, changes: "Changes"
    ) -> None:
        """Look at all inputs; then replace the rows of changed ones, and add those of new ones."""
        for _ in changes.sort(arrivals):
            self.flow.raise_if_stopped()
            self.flow.observer.on_inputs(1)
        self.flow.summary.changes = changes.counts
        for shard in changes.shards(inputs.incomplete):
            self.flow.resume(shard)
            self.flow.raise_if_stopped()
        with Arrivals(changes.new(), self.flow.raise_if_stopped) as new:
            self._work_on(new, inputs, sink)

    def _work_on(self, arrivals: Arrivals[Any], inputs: Inputs, sink: RowSink) -> None:
        self.flow.work_on(arrivals, sink, RepeatedNames(inputs).warn)


class RepeatedNames:
    """Warns once that several inputs have the same name.

    Args of the constructor:
        inputs: of a run.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._warned = False

    def warn(self) -> None:
        """Warn, if it is so and no warning was given."""
        if self._inputs.repeated and not self._warned:
            self._warned = True
            logger.warning(
                "several inputs have the same name; numbers are appended, first in %s",
                self._inputs.repeated,
            )


def no_inputs_error(item: str, skipped: int) -> NothingToDoError:
    """Return the error for a run without inputs.

    Args:
        item: what an input is called, in the singular.
        skipped: how many files were skipped.
    """
    others = f"; {pluralize(skipped, 'other file')} skipped" if skipped else ""
    return NothingToDoError(f"no {item} among the inputs{others}")
