"""Sorts the inputs of a run that updates a dataset into new, changed, unchanged and vanished."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any, Protocol

import numpy as np

from ppcli.errors import OutputError, pluralize
from ppcli.files import InputFile
from ppcli.inputs.refs import ImageRef, Input, fingerprint_column, is_readable
from ppcli.store.input_index import InputIndex
from ppcli.store.previous_run import PreviousInput, PreviousShard, RowsOfInput, difference_to
from ppcli.store.rows import MainRow
from ppcli.store.set_aside import SetAside
from ppcli.store.shards import Shard
from ppcli.store.update_policy import ChangeCounts, UpdatePolicy

logger = logging.getLogger("pixelprune")


class _State(IntEnum):
    """What is known of an input of the dataset."""

    VANISHED = 0
    KEPT = 1
    CHANGED = 2


@dataclass(frozen=True, slots=True)
class _RowsAlone:
    """Stands for an input whose rows stay as they are."""

    row: MainRow

    @property
    def image_id(self) -> str:
        return self.row.input_name

    @property
    def name(self) -> str:
        return self.row.input_name

    @property
    def images(self) -> tuple[ImageRef, ...]:
        return ()

    @property
    def far_files(self) -> tuple[InputFile, ...]:
        return ()

    @property
    def columns(self) -> None:
        return None

    def fingerprint(self, failed: bool, with_path: bool = False) -> bytes:
        return (getattr(self.row, "fingerprint", None) or self.name).encode()

    def difference(self, row: Any, failed: bool) -> str | None:  # noqa: ANN401
        return None


@dataclass(frozen=True, slots=True)
class ShardChanges:
    """What happens to the inputs of a finished shard. It can be pickled.

    Attributes:
        dataset: name of the dataset, for messages.
        number: number of the shard.
        inputs: how many inputs it has.
        given: the inputs that this run has and looks at again, by position, each with whether its
            content has changed.
        dropped: positions of the inputs whose rows are to be dropped.
    """

    dataset: str
    number: int
    inputs: int
    given: dict[int, tuple[Input, bool]]
    dropped: frozenset[int]

    def of(self, rows: list[RowsOfInput]) -> list[PreviousInput]:
        """Return the inputs with their rows.

        Raises:
            OutputError: these are not the rows of the shard.
        """
        if len(rows) != self.inputs:
            raise OutputError(f"shard {self.number} of {self.dataset} changed while it was read")
        return [self._previous(position, one) for position, one in enumerate(rows)]

    def _previous(self, position: int, of: RowsOfInput) -> PreviousInput:
        if position in self.given:
            ref, is_changed = self.given[position]
            return PreviousInput(ref, of.rows, of.missing, is_changed=is_changed)
        is_dropped = position in self.dropped
        return PreviousInput(_RowsAlone(of.rows[0]), of.rows, is_given=False, is_dropped=is_dropped)


class Dataset(Protocol):
    """The dataset that is updated."""

    def rows_of(self, number: int) -> list[RowsOfInput]:
        """Read the rows of a shard, input by input.

        Raises:
            OutputError: its files are damaged.
        """

    def previous_shard(self, number: int, inputs: list[PreviousInput]) -> PreviousShard:
        """Return a shard whose inputs are known."""

    def begin(self) -> None:
        """Note that the dataset is unfinished."""


class Changes:
    """The inputs of a run, sorted by what the dataset has of them.

    Inputs that are worked on are kept on the disk until their turn.

    Args of the constructor:
        dataset: that is updated.
        name: its name, for messages.
        shards: its shards.
        index: finds inputs in it.
        policy: what the run does.

    Attributes:
        counts: complete once `shards` has been started.
    """

    def __init__(
        self,
        dataset: Dataset,
        name: str,
        shards: list[Shard],
        index: InputIndex,
        policy: UpdatePolicy,
    ) -> None:
        self.counts = ChangeCounts(dropped=policy.drop_missing)
        self._dataset, self._index, self._policy = dataset, index, policy
        self._name, self._shards = name, shards
        self._states = np.zeros(len(index), np.uint8)
        self._known, self._new = SetAside(), SetAside()
        self._old = {number for number in range(len(self._shards)) if index.is_old(number)}

    @property
    def is_first(self) -> bool:
        """Whether the dataset has no inputs yet, so that all are new."""
        return not len(self._index)

    def sort(self, inputs: Iterable[Input]) -> Iterator[Input]:
        """Look at all inputs, and yield those on which there is nothing to do."""
        for one in inputs:
            number = self._index.find(one.name)
            if number is None:
                self._new.add(one, self.counts.new)
                self.counts.new += 1
            elif self._is_settled(one, number):
                yield one

    def _is_settled(self, one: Input, number: int) -> bool:
        """Note the state of an input of the dataset; return whether there is nothing to do."""
        counts, states = self.counts, self._states
        states[number] = _State.KEPT
        if self._index.shard_of(number) in self._old:  # which only all inputs of the shard decide
            self._known.add(one, number)
            return False
        if self._index.is_same(number, fingerprint_column(one, failed=False)):
            counts.unchanged += 1
            if not (self._policy.retry_failed and self._index.failed[number]):
                return True
        elif not is_readable(one):
            counts.unreadable += 1
            return True
        else:
            counts.changed += 1
            states[number] = _State.CHANGED
        self._known.add(one, number)
        return False

    def shards(self, incomplete: str) -> Iterator[PreviousShard]:
        """Yield the shards of the dataset with what happens to their inputs.

        Args and errors are those of `by_shard`; also, a file of the dataset may be damaged.
        """
        for change in self.by_shard(incomplete):
            inputs = change.of(self._dataset.rows_of(change.number))
            yield self._dataset.previous_shard(change.number, inputs)

    def by_shard(self, incomplete: str) -> Iterator[ShardChanges]:
        """Yield what happens to the inputs of each shard; call `sort` before.

        Their rows are not read, except those of shards without fingerprints of version 0.1.0.

        Args:
            incomplete: why inputs may be missing that still exist; empty if all are there.

        Raises:
            OutputError: rows would be dropped of inputs that may still exist, or all rows.
        """
        self._known.end()
        self._new.end()
        self.counts.vanished = self._count_vanished(incomplete)
        for number in sorted(self._old):
            self._decide_old(number)
        counts = self.counts
        logger.info("%s: %s", self._name, counts, extra={"fields": asdict(counts)})
        if counts.new or counts.changed or (counts.dropped and counts.vanished):
            self._dataset.begin()
        for number in range(len(self._shards)):
            yield self._changes_of(number)

    def _count_vanished(self, incomplete: str) -> int:
        missing = int(np.count_nonzero(self._states == _State.VANISHED))
        dropped = self.counts.dropped
        if missing and incomplete:
            if dropped:
                raise OutputError(
                    f"{incomplete}, so that inputs may be missing which still exist; nothing was "
                    "changed: put this right, or leave --drop-missing out"
                )
            rows = f"the rows of {pluralize(missing, 'input')} that were not found are kept"
            logger.warning("%s; %s", incomplete, rows)
            return 0
        if dropped and missing == len(self._index):
            raise OutputError(
                f"none of the inputs of {self._name} is among these, and --drop-missing "
                "would drop all its rows; nothing was changed: check the inputs, or use --overwrite"
            )
        return missing

    def _decide_old(self, shard: int) -> None:
        """Compare the digest of the inputs of a shard, whose rows have no fingerprints."""
        inputs = self._changes_of(shard).of(self._dataset.rows_of(shard))
        listed = [one for one in inputs if one.is_given]
        is_same = len(listed) == len(inputs) and not difference_to(self._shards[shard], inputs)
        for number, one in enumerate(inputs, self._index.starts[shard]):
            if not one.is_given:
                continue
            if is_same:
                self.counts.unchanged += 1
            elif not is_readable(one.ref):
                self.counts.unreadable += 1
            else:
                self.counts.changed += 1
                self._states[number] = _State.CHANGED

    def _changes_of(self, shard: int) -> ShardChanges:
        first, end = (int(one) for one in self._index.starts[shard : shard + 2])
        states = self._states[first:end]
        given = {
            number - first: (ref, bool(self._states[number] == _State.CHANGED))
            for number, ref in self._known.between(first, end)
        }
        vanished = np.flatnonzero(states == _State.VANISHED) if self.counts.dropped else ()
        dropped = frozenset(map(int, vanished))
        return ShardChanges(self._name, shard, end - first, given, dropped)

    def new(self) -> Iterator[Input]:
        """Yield the new inputs in their order."""
        for _, one in self._new.between(0, self.counts.new):
            yield one

    def close(self) -> None:
        """Delete what was kept on the disk."""
        self._known.close()
        self._new.close()
