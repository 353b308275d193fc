"""What a run adds up to, in memory that does not grow with the number of images."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from ppcli.imaging.reading_options import PAGED
from ppcli.store.rows import COSTS, OK, AnswerRow, MainRow, PatchRow, StatsRow

PHASES = ("select_ms", "vision_ms", "prefill_ms", "decode_ms")
_STEPS = 10_000


class RatioHistogram:
    """Counts of ratios in [0, 1], in steps of 1/10,000."""

    def __init__(self) -> None:
        self._counts = np.zeros(_STEPS + 1, dtype=np.int64)

    def add(self, ratio: float) -> None:
        """Count one ratio."""
        self._counts[round(ratio * _STEPS)] += 1

    def percentile(self, percent: float) -> float:
        """As `numpy.percentile` has it, between the two that are nearest; 0 when there is none."""
        cumulated = np.cumsum(self._counts)
        if not cumulated[-1]:
            return 0.0
        place = percent / 100 * (cumulated[-1] - 1)
        ranks = np.floor(place), np.ceil(place)
        low, high = np.searchsorted(cumulated, ranks, side="right")
        return float(low + (high - low) * (place - ranks[0])) / _STEPS


@dataclass(slots=True)
class Summary:
    """The totals of any run.

    Attributes:
        files: inputs that are done.
        earlier_files: those among them that an earlier run did.
        good: rows without an error.
        earlier_good: those among them of an earlier run.
        failures: rows with an error, by code.
        failed_now: those failures that this run met.
        warned: rows with a warning.
        skipped: files of folders that are no images.
        tokens: tiles of all images.
        kept: tiles kept of all images.
        seconds: of the whole run, start-up apart.
        patch_bytes: of all masks and compressed tiles.
    """

    files: int = 0
    earlier_files: int = 0
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

    @property
    def rate(self) -> float:
        """Good rows of this run, over its seconds."""
        return (self.good - self.earlier_good) / self.seconds if self.seconds else 0.0

    @property
    def failed(self) -> int:
        """Rows with an error, of this run or an earlier one."""
        return self.failures.total()

    @property
    def earlier_failed(self) -> int:
        """Those among them of an earlier run."""
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

    def end_of_file(self, earlier: bool = False) -> None:
        """All rows of an input have been counted."""
        self.files += 1
        self.earlier_files += earlier


@dataclass(slots=True)
class InferSummary(Summary):
    """What `infer` counts beside that.

    Attributes:
        prompt_tokens: fed, those of images included.
        answer_tokens: generated.
        waited_ms: how long the model had nothing to do but wait for images.
        phases: milliseconds of selection, vision, prefill and decode, by the name of the column.
    """

    prompt_tokens: int = 0
    answer_tokens: int = 0
    waited_ms: float = 0.0
    phases: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))

    def add(self, row: MainRow, patches: PatchRow | None = None, earlier: bool = False) -> None:
        """Count one answer."""
        Summary.add(self, row, patches, earlier)
        assert isinstance(row, AnswerRow)
        if row.status == OK and not earlier:
            self.prompt_tokens += row.prompt_tokens or 0
            self.answer_tokens += row.answer_tokens or 0
            for name in PHASES:
                self.phases[name] += getattr(row, name) or 0.0


@dataclass(slots=True)
class AnalyzeSummary(Summary):
    """What `analyze` counts beside that.

    Attributes:
        unique: distinct tiles within each image, summed.
        bytes_in: of the image files that gave a row.
        frames_left: frames that the files declare beyond those that got a row.
        keep_ratios: of all images.
        unique_ratios: of all images.
        costs: what a model spends on them, by the names of the columns, summed.
    """

    unique: int = 0
    bytes_in: int = 0
    frames_left: int = 0
    keep_ratios: RatioHistogram = field(default_factory=RatioHistogram)
    unique_ratios: RatioHistogram = field(default_factory=RatioHistogram)
    costs: Counter[str] = field(default_factory=Counter)
    _rows_of_file: int = 0
    _frames_of_file: int = 0

    def add(self, row: MainRow, patches: PatchRow | None = None, earlier: bool = False) -> None:
        """Count one row of statistics."""
        Summary.add(self, row, patches, earlier)
        assert isinstance(row, StatsRow)
        self._rows_of_file += 1
        left_out = row.status == OK and row.format not in PAGED  # those are never by themselves
        self._frames_of_file = row.frames or 0 if left_out else 0
        if self._rows_of_file == 1 and row.page is not None and row.file_bytes is not None:
            self.bytes_in += row.file_bytes
        if row.status == OK:
            self.unique += row.unique or 0
            self.keep_ratios.add(row.keep_ratio or 0.0)
            self.unique_ratios.add(row.unique_ratio or 0.0)
            if row.vision_flops is not None:
                self.costs.update({name: getattr(row, name) for name in COSTS})

    def end_of_file(self, earlier: bool = False) -> None:
        """All rows of an input have been counted."""
        Summary.end_of_file(self, earlier)
        self.frames_left += max(0, self._frames_of_file - self._rows_of_file)
        self._rows_of_file = 0
