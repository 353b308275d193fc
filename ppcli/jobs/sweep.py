"""The job of `sweep`: one decode of each image, and its mask in each of several settings."""

import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import accumulate, repeat
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ppcli.coding.coder_options import CoderOptions
from ppcli.coding.distinct import distinct_tiles
from ppcli.coding.selection import selection_of
from ppcli.engine.arrivals import Arrivals
from ppcli.engine.executors.executor import Executor
from ppcli.engine.stopping import Stop
from ppcli.engine.summary import Summary
from ppcli.imaging.fit import fit_image
from ppcli.imaging.page_source import PageSource
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.analyze import AnalyzeWork, RatioHistogram
from ppcli.jobs.page_analysis import PageResult
from ppcli.jobs.sweep_options import setting_name
from ppcli.store.rows import OK, MainRow, PatchRow, StatsRow, SweepRow


@dataclass(frozen=True, slots=True)
class MaskResult:
    """What one setting gives for a page.

    Attributes:
        threshold: τ that was taken.
        kept: number of kept tiles.
        keep_ratio: their share of all tiles.
        code_ms: milliseconds for selecting them.
    """

    threshold: float
    kept: int
    keep_ratio: float
    code_ms: float


@dataclass(frozen=True, slots=True)
class SweptPage(PageResult):
    """A page in all settings.

    Attributes:
        masks: of each setting, in order.
    """

    masks: Sequence[MaskResult] = ()


def sweep_page(
    pixels: NDArray[np.uint8],
    row: StatsRow,
    options: AnalysisOptions,
    started: float,
    _: PageSource,
    *,
    settings: Sequence[CoderOptions],
) -> SweptPage:
    """Make the masks of a page; runs in a worker. See `OnPage`."""
    fitted = fit_image(pixels, options.fit, options.reading.max_image_pixels)
    decoded = time.perf_counter()
    tile, raster = options.fit.tile, fitted.raster
    keep = np.ones((raster.shape[0] // tile, raster.shape[1] // tile), np.bool_)
    unique = distinct_tiles(raster, keep, tile, options.coder)  # the same in all settings
    stats = replace(
        row,
        fitted_width=fitted.width,
        fitted_height=fitted.height,
        grid_h=keep.shape[0],
        grid_w=keep.shape[1],
        tokens=keep.size,
        unique=unique,
        unique_ratio=unique / keep.size,
        decode_ms=(decoded - started) * 1000,
    )
    masks = [_mask(raster, tile, coder, row.image_id) for coder in settings]
    return SweptPage(stats, masks=masks)


def _mask(raster: NDArray[np.uint8], tile: int, coder: CoderOptions, image_id: str) -> MaskResult:
    started = time.perf_counter()
    keep, *_, taken = selection_of(raster, tile, coder, image_id)
    code_ms = (time.perf_counter() - started) * 1000
    kept = int(keep.sum())
    return MaskResult(taken.tau, kept, kept / keep.size, code_ms)


@dataclass(frozen=True, slots=True)
class SweepResult:
    """A row of one page in one setting; there is no patch set."""

    row: SweepRow
    patches: None = None


@dataclass(frozen=True, slots=True)
class SweepWork:
    """Decodes images, and selects the tiles of each in all settings.

    Attributes:
        analysis: decodes the images.
        settings: in the order of the rows of each page.
    """

    analysis: AnalyzeWork
    settings: Sequence[CoderOptions]
    item: ClassVar = "image"

    @classmethod
    def of(
        cls, options: AnalysisOptions, executor: Executor, settings: Sequence[CoderOptions]
    ) -> "SweepWork":
        """Return the work with some options; the executor is closed with it."""
        return cls(AnalyzeWork(options, executor, partial(sweep_page, settings=settings)), settings)

    def prestart(self, inputs: Arrivals[ImageRef]) -> None:
        """Start no more workers than there are images, unless one may have several pages."""
        self.analysis.prestart(inputs)

    def results(
        self, inputs: Arrivals[ImageRef], stop: Stop
    ) -> Generator[tuple[ImageRef, Iterator[SweepResult]], None, None]:
        """Yield each file with the rows of its pages, each page in all settings."""
        for ref, pages in self.analysis.results(inputs, stop):
            yield ref, (SweepResult(row) for page in pages for row in self._rows(page))

    def _rows(self, page: PageResult) -> Iterator[SweepRow]:
        masks = page.masks if isinstance(page, SweptPage) else repeat(None, len(self.settings))
        for coder, mask in zip(self.settings, masks, strict=True):
            method, metric, asked = setting_name(coder)
            known = asdict(page.row) | {"method": method, "metric": metric}
            known |= {"threshold": coder.known_threshold} if mask is None else asdict(mask)
            yield SweepRow(**known, asked=asked)

    def close(self) -> None:
        """Stop the workers."""
        self.analysis.close()


@dataclass(slots=True)
class SettingTally:
    """The images in one setting.

    Attributes:
        images: number of images.
        tokens: tiles of all images.
        kept: kept tiles of all images.
        ratio_sum: sum of their keep ratios.
        keep_ratios: of all images.
        times: how many images took which time, in milliseconds of three digits.
    """

    images: int = 0
    tokens: int = 0
    kept: int = 0
    ratio_sum: float = 0.0
    keep_ratios: RatioHistogram = field(default_factory=RatioHistogram)
    times: Counter[float] = field(default_factory=Counter)

    def add(self, row: SweepRow) -> None:
        """Count one image."""
        self.images += 1
        self.tokens += row.tokens or 0
        self.kept += row.kept or 0
        self.ratio_sum += row.keep_ratio or 0.0
        self.keep_ratios.add(row.keep_ratio or 0.0)
        self.times[float(f"{row.code_ms:.3g}")] += 1

    @property
    def mean(self) -> float:
        """Mean keep ratio."""
        return self.ratio_sum / self.images

    @property
    def milliseconds(self) -> float:
        """Time to select the tiles of the median image; interruptions make means too long."""
        places = accumulate(self.times[one] for one in sorted(self.times))
        pairs = zip(sorted(self.times), places, strict=True)
        return next(time for time, place in pairs if 2 * place >= self.images)


@dataclass(slots=True)
class SweepSummary(Summary):
    """The totals of `sweep`. A page counts once, as good or failed; `kept` is of its first setting.

    Attributes:
        settings: the totals of each setting, by method, metric and threshold in words.
    """

    settings: dict[tuple[str, str, str], SettingTally] = field(default_factory=dict)
    _before: MainRow | None = None

    def add(self, row: MainRow, patches: PatchRow | None = None, earlier: bool = False) -> None:
        """Count one page in one setting."""
        assert isinstance(row, SweepRow)
        if not row.is_same_page(self._before):
            Summary.add(self, row, patches, earlier)
        self._before = row
        if row.status == OK:
            self.settings.setdefault(row.setting, SettingTally()).add(row)
