"""Tasks that turn inputs into rows, and rows into shards."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ppcli.engine.arrivals import Arrivals
from ppcli.engine.cluster.cluster import Task
from ppcli.engine.row_flow import RowFlow
from ppcli.engine.summary import Summary
from ppcli.errors import PixelpruneError, StoppedError, pluralize
from ppcli.inputs.refs import Input
from ppcli.store.dataset_changes import ShardChanges
from ppcli.store.shards import Shard, StagedShard
from ppcli.store.staging import StagedReplacement, StagingArea


class RowTask(Task[RowFlow], Protocol):
    """A task whose result goes into a dataset."""

    def refuse(self, flow: RowFlow) -> "ShardsMade | ShardLookedAt":
        """Return the result of a task that no worker survives; nothing is worked on."""


@dataclass(frozen=True, slots=True)
class ShardsMade:
    """What a task made of new inputs.

    Attributes:
        staged: the shards, in order; they cover fewer inputs than the task after a stop.
        summary: the totals of their rows.
        error: ended the task early, but not its shards; it ends the run. None if all went well.
    """

    staged: list[StagedShard]
    summary: Summary
    error: PixelpruneError | None = None


@dataclass(frozen=True, slots=True)
class NewInputs:
    """Works on inputs that have no rows yet.

    Attributes:
        area: where the shards are put.
        first: number of the first input in the dataset, from 0.
        refs: the inputs.
    """

    area: StagingArea = field(repr=False)
    first: int
    refs: Sequence[Input] = field(repr=False)

    @property
    def inputs(self) -> int:
        """How many inputs it is about."""
        return len(self.refs)

    @property
    def label(self) -> str:
        """What it is, for messages."""
        return f"inputs {self.first + 1:,} to {self.first + self.inputs:,}"

    def run(self, flow: RowFlow) -> ShardsMade:
        """Work on the inputs, and stage their shards."""
        flow.summary.take()  # what is left of a task that failed
        writer = self.area.writer(self.first)
        failure: PixelpruneError | None = None
        try:
            with writer, Arrivals(iter(self.refs)) as inputs:
                flow.work_on(inputs, writer)
        except PixelpruneError as error:
            failure = None if isinstance(error, StoppedError) and flow.stop() else error
        return ShardsMade(writer.staged, flow.summary.take(), failure)

    def refuse(self, flow: RowFlow) -> ShardsMade:
        """Give the inputs error rows; `flow` has the work that does it."""
        return self.run(flow)


@dataclass(frozen=True, slots=True)
class ShardLookedAt:
    """What a task found of a finished shard.

    Attributes:
        replacement: takes its place; None if it stays.
        summary: the totals of its rows.
        moved: the current and the previous path of an input if they differ.
    """

    replacement: StagedShard | None
    summary: Summary
    moved: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class FinishedShard:
    """Compares a shard of an earlier run with its inputs, and works on some of them again.

    Attributes:
        area: where the shard is.
        number: of the shard.
        shard: its record.
        refs: its inputs, as they are now.
    """

    area: StagingArea = field(repr=False)
    number: int
    shard: Shard = field(repr=False)
    refs: Sequence[Input] = field(repr=False)

    @property
    def inputs(self) -> int:
        """How many inputs it is about."""
        return len(self.refs)

    @property
    def label(self) -> str:
        """What it is, for messages."""
        return f"shard {self.number} with {pluralize(self.inputs, 'input')}"

    def run(self, flow: RowFlow) -> ShardLookedAt:
        """Compare the inputs, work on some again, and stage the shard anew if rows change.

        Raises:
            OutputError: a file of the dataset or an input has changed.
        """
        return _looked_at(self._opened(), flow)

    def refuse(self, flow: RowFlow) -> ShardLookedAt:
        """Leave the shard as it is."""
        return _kept(self._opened(), flow)

    def _opened(self) -> StagedReplacement:
        return self.area.previous_shard(self.number, self.shard, iter(self.refs))


@dataclass(frozen=True, slots=True)
class ChangedShard:
    """Works on the changed inputs of a shard of an earlier run, and drops the rows of others.

    Attributes:
        area: where the shard is.
        changes: of its inputs.
        shard: its record.
    """

    area: StagingArea = field(repr=False)
    changes: ShardChanges = field(repr=False)
    shard: Shard = field(repr=False)

    @property
    def number(self) -> int:
        """Number of the shard."""
        return self.changes.number

    @property
    def inputs(self) -> int:
        """How many inputs it works on."""
        return len(self.changes.given)

    @property
    def label(self) -> str:
        """What it is, for messages."""
        return f"shard {self.number} with {pluralize(self.changes.inputs, 'input')}"

    def run(self, flow: RowFlow) -> ShardLookedAt:
        """Work on inputs again, drop others, and stage the shard anew if rows change.

        Raises:
            OutputError: a file of the dataset has changed.
        """
        return _looked_at(self._opened(), flow)

    def refuse(self, flow: RowFlow) -> ShardLookedAt:
        """Leave the shard as it is."""
        return _kept(self._opened(), flow)

    def _opened(self) -> StagedReplacement:
        return self.area.updated_shard(self.changes, self.shard)


def _looked_at(replacement: StagedReplacement, flow: RowFlow) -> ShardLookedAt:
    flow.summary.take()  # what is left of a task that failed
    try:
        flow.resume(replacement.shard)
    except StoppedError:
        if not flow.stop():
            raise
    return ShardLookedAt(replacement.staged, flow.summary.take(), replacement.moved)


def _kept(replacement: StagedReplacement, flow: RowFlow) -> ShardLookedAt:
    flow.keep(replacement.shard)
    return ShardLookedAt(None, flow.summary.take(), replacement.moved)
