"""The job of `analyze`: images to statistics and patch sets."""

from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import numpy as np

from ppcli.engine import ordered
from ppcli.engine.arrivals import Arrivals
from ppcli.engine.attaching import Attaching
from ppcli.engine.executors.executor import Executor
from ppcli.engine.in_sequence import InSequence
from ppcli.engine.stopping import Stop
from ppcli.engine.summary import Summary
from ppcli.imaging.page_formats import has_pages
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.analysis_options import AnalysisOptions, may_be_many_tasks
from ppcli.jobs.file_plan import FilePlan
from ppcli.jobs.page_analysis import PageResult
from ppcli.jobs.pages import OnPage
from ppcli.jobs.sequence_task import analyze_sequence
from ppcli.store.rows import COSTS, OK, MainRow, PatchRow, StatsRow

_STEPS = 10_000


@dataclass(frozen=True, slots=True)
class AnalyzeWork:
    """Decodes images and prunes them.

    Attributes:
        options: what the rows depend on.
        executor: runs the tasks; closed with the work.
        on_page: what is done with the pixels of each page; see `analyze_pages`.
    """

    options: AnalysisOptions
    executor: Executor
    on_page: OnPage | None = None
    item: ClassVar = "image"

    def prestart(self, inputs: Arrivals[ImageRef]) -> None:
        """Start no more workers than there are images, unless one may have several pages."""
        several = partial(may_be_many_tasks, options=self.options)
        ordered.prestart(self.executor, inputs, several)

    def results(
        self, inputs: Arrivals[ImageRef], stop: Stop
    ) -> Generator[tuple[ImageRef, Iterator[PageResult]], None, None]:
        """Yield each file with the results of its pages."""
        plan = partial(FilePlan, options=self.options, on_page=self.on_page)
        with closing(Attaching(inputs)) as attaching:
            tasks = ordered.OrderedTasks(self.executor, plan, stop, self._together)
            for ref, results in tasks.run(attaching):
                yield ref, results
                attaching.finished()

    @property
    def _together(self) -> InSequence | None:
        """What makes one task of the images of a sequence; None without sequences."""
        if self.options.sequence.sequence is None:
            return None
        return InSequence(self.executor, analyze_sequence)

    def close(self) -> None:
        """Stop the workers."""
        self.executor.close()


class RatioHistogram:
    """Counts of ratios in [0, 1], in steps of 1/10,000."""

    def __init__(self) -> None:
        self._counts = np.zeros(_STEPS + 1, dtype=np.int64)

    def add(self, ratio: float) -> None:
        """Count one ratio."""
        self._counts[round(ratio * _STEPS)] += 1

    def merge(self, other: "RatioHistogram") -> None:
        """Count the ratios of another histogram."""
        self._counts += other._counts

    def percentile(self, percent: float) -> float:
        """Return a percentile, interpolated like `numpy.percentile`; 0 without any ratio."""
        cumulated = np.cumsum(self._counts)
        if not cumulated[-1]:
            return 0.0
        rank = percent / 100 * (cumulated[-1] - 1)
        nearest = np.floor(rank), np.ceil(rank)
        low, high = np.searchsorted(cumulated, nearest, side="right")
        return float(low + (high - low) * (rank - nearest[0])) / _STEPS


@dataclass(slots=True)
class AnalyzeSummary(Summary):
    """The totals of `analyze`.

    Attributes:
        kept_intra: tiles that frames of sequences keep or repeat from the frame next to them; 0
            without sequences.
        unique: distinct tiles within each image, summed.
        bytes_in: size of the image files that gave a row.
        frames_left: frames of animations that got no row.
        keep_ratios: of all images.
        unique_ratios: of all images.
        costs: what a model spends on the images, by the name of the column, summed.
    """

    kept_intra: int = 0
    unique: int = 0
    bytes_in: int = 0
    frames_left: int = 0
    keep_ratios: RatioHistogram = field(default_factory=RatioHistogram)
    unique_ratios: RatioHistogram = field(default_factory=RatioHistogram)
    costs: Counter[str] = field(default_factory=Counter)
    _rows_of_input: int = 0
    _frames_of_input: int = 0

    def add(self, row: MainRow, patches: PatchRow | None = None, earlier: bool = False) -> None:
        """Count one row of statistics."""
        Summary.add(self, row, patches, earlier)
        assert isinstance(row, StatsRow)
        self._rows_of_input += 1
        has_choice = row.status == OK and not has_pages(row.format)  # those give all their pages
        self._frames_of_input = row.frames or 0 if has_choice else 0
        if self._rows_of_input == 1 and row.page is not None and row.file_bytes is not None:
            self.bytes_in += row.file_bytes
        if row.status == OK:
            self.unique += row.unique or 0
            self.kept_intra += row.kept_intra or 0
            self.keep_ratios.add(row.keep_ratio or 0.0)
            self.unique_ratios.add(row.unique_ratio or 0.0)
            if row.vision_flops is not None:
                self.costs.update({name: getattr(row, name) for name in COSTS})

    def end_of_input(self, earlier: bool = False) -> None:
        """Count an input whose rows have all been added."""
        Summary.end_of_input(self, earlier)
        self.frames_left += max(0, self._frames_of_input - self._rows_of_input)
        self._rows_of_input = 0
