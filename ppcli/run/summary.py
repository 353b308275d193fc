"""What a run adds up to, in memory that does not grow with the number of images."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from ppcli.run.analysis import PageResult
from ppcli.store.rows import OK

_STEPS = 10_000


class RatioHistogram:
    """Counts of ratios in [0, 1], in steps of 1/10,000."""

    def __init__(self) -> None:
        self._counts = np.zeros(_STEPS + 1, dtype=np.int64)

    def add(self, ratio: float) -> None:
        """Count one ratio."""
        self._counts[round(ratio * _STEPS)] += 1

    def percentile(self, percent: float) -> float:
        """The smallest counted ratio that `percent` of all do not exceed; 0 when there is none."""
        cumulated = np.cumsum(self._counts)
        if not cumulated[-1]:
            return 0.0
        rank = max(1, int(np.ceil(percent / 100 * cumulated[-1])))
        return int(np.searchsorted(cumulated, rank)) / _STEPS


@dataclass(slots=True)
class Summary:
    """The totals of a run.

    Attributes:
        files: inputs that are done.
        earlier_files: those among them that an earlier run did.
        earlier_images: likewise, of the images.
        failed_now: error rows of this run.
        images: rows without an error.
        failures: rows with an error, by code.
        skipped: files of folders that are no images.
        tokens: tiles of all images.
        kept: tiles kept of all images.
        unique: distinct tiles within each image, summed.
        bytes_in: of the image files that gave a row.
        patch_bytes: of all masks and compressed tiles.
        seconds: of the whole run, start-up apart.
        frames_left: frames that the files declare beyond those that got a row.
    """

    files: int = 0
    earlier_files: int = 0
    earlier_images: int = 0
    failed_now: int = 0
    images: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    tokens: int = 0
    kept: int = 0
    unique: int = 0
    bytes_in: int = 0
    patch_bytes: int = 0
    seconds: float = 0.0
    frames_left: int = 0
    keep_ratios: RatioHistogram = field(default_factory=RatioHistogram)
    unique_ratios: RatioHistogram = field(default_factory=RatioHistogram)
    _rows_of_file: int = 0
    _frames_of_file: int = 0

    @property
    def images_per_second(self) -> float:
        """Images that this run did, over its time."""
        return (self.images - self.earlier_images) / self.seconds if self.seconds else 0.0

    @property
    def failed(self) -> int:
        """Rows with an error."""
        return self.failures.total()

    def add(self, result: PageResult, earlier: bool = False) -> None:
        """Count one row, of this run or an earlier one."""
        stats = result.stats
        self._rows_of_file += 1
        self._frames_of_file = stats.frames or 0 if stats.status == OK else 0
        if stats.page == 1 and stats.file_bytes is not None:
            self.bytes_in += stats.file_bytes
        if stats.status != OK:
            self.failures[stats.error_code or ""] += 1
            return
        self.images += 1
        self.earlier_images += earlier
        self.tokens += stats.tokens or 0
        self.kept += stats.kept or 0
        self.unique += stats.unique or 0
        self.keep_ratios.add(stats.keep_ratio or 0.0)
        self.unique_ratios.add(stats.unique_ratio or 0.0)
        self.patch_bytes += result.patch_bytes

    def end_of_file(self, earlier: bool = False) -> None:
        """All rows of an input have been counted."""
        self.files += 1
        self.earlier_files += earlier
        self.frames_left += max(0, self._frames_of_file - self._rows_of_file)
        self._rows_of_file = 0
