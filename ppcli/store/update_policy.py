"""What a run does that updates a dataset, and what it found. Imports nothing heavy."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UpdatePolicy:
    """What a run that updates a dataset does besides working on new and changed inputs.

    Attributes:
        drop_missing: drop the rows of vanished inputs.
        retry_failed: work on unchanged inputs again that failed.
    """

    drop_missing: bool = False
    retry_failed: bool = False


@dataclass(slots=True)
class ChangeCounts:
    """How many inputs a run found in each state.

    Attributes:
        new: the dataset has no rows of them.
        changed: their rows are replaced.
        unchanged: their rows stay.
        unreadable: the dataset has rows of them, but they cannot be read now; their rows stay.
        vanished: the dataset has rows of them, but they are not among the inputs.
        dropped: whether the rows of vanished inputs are dropped.
    """

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    unreadable: int = 0
    vanished: int = 0
    dropped: bool = False

    def __str__(self) -> str:
        """Return the counts as words."""
        words = [
            f"{self.new:,} new",
            f"{self.changed:,} changed",
            f"{self.unchanged:,} unchanged",
            f"{self.vanished:,} vanished ({'dropped' if self.dropped else 'rows kept'})",
        ]
        if self.unreadable:
            words.append(f"{self.unreadable:,} cannot be read now (rows kept)")
        return ", ".join(words)
