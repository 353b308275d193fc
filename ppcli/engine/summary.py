"""The totals that every run has. Each job adds its own."""

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Self

from ppcli.store.rows import OK, MainRow, PatchRow
from ppcli.store.update_policy import ChangeCounts


@dataclass(slots=True)
class Summary:
    """The totals of a run. Their size does not grow with the number of inputs.

    Attributes:
        inputs: finished inputs.
        earlier_inputs: those of them that an earlier run finished.
        good: rows without an error.
        earlier_good: those of them from an earlier run.
        failures: rows with an error, by error code.
        failed_now: rows with an error from this run.
        warned: rows with a warning.
        skipped: files in folders that were skipped.
        tokens: tiles of all images.
        kept: kept tiles of all images.
        seconds: duration of the run, without the start of the program.
        patch_bytes: bytes of all masks and compressed tiles.
        changes: the inputs of a run that updates a dataset, by what it found; None for other runs.
    """

    inputs: int = 0
    earlier_inputs: int = 0
    good: int = 0
    earlier_good: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    failed_now: int = 0
    warned: int = 0
    skipped: int = 0
    tokens: int = 0
    kept: int = 0
    seconds: float = 0.0
    patch_bytes: int = 0
    changes: ChangeCounts | None = None

    @property
    def rate(self) -> float:
        """Good rows of this run per second."""
        return (self.good - self.earlier_good) / self.seconds if self.seconds else 0.0

    @property
    def failed(self) -> int:
        """Rows with an error, from this run or an earlier one."""
        return self.failures.total()

    @property
    def earlier_failed(self) -> int:
        """Rows with an error from an earlier run."""
        return self.failed - self.failed_now

    def add(self, row: MainRow, patches: PatchRow | None = None, earlier: bool = False) -> None:
        """Count one row, of this run or an earlier one."""
        if row.status != OK:
            self.failures[row.error_code or ""] += 1
            return
        self.good += 1
        self.warned += getattr(row, "warning", None) is not None
        self.earlier_good += earlier
        self.tokens += row.tokens or 0
        self.kept += row.kept or 0
        self.patch_bytes += 0 if patches is None else patches.nbytes

    def end_of_input(self, earlier: bool = False) -> None:
        """Count an input whose rows have all been added."""
        self.inputs += 1
        self.earlier_inputs += earlier

    def take(self) -> Self:
        """Return the totals, and begin again with nothing."""
        taken, empty = type(self)(), type(self)()
        for one in fields(self):
            setattr(taken, one.name, getattr(self, one.name))
            setattr(self, one.name, getattr(empty, one.name))
        return taken

    def merge(self, other: Self) -> None:
        """Add the totals of a part of the run; `changes` belong to the whole."""
        for one in fields(self):
            if one.name == "changes":
                continue
            mine, more = getattr(self, one.name), getattr(other, one.name)
            if isinstance(mine, int | float):
                setattr(self, one.name, mine + more)
            elif isinstance(mine, dict):
                for key, number in more.items():
                    mine[key] = mine.get(key, 0) + number
            else:
                mine.merge(more)
