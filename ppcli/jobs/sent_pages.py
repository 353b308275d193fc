"""Pages of images for a server: checked and counted here, pruned there. Runs in workers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ppcli.imaging.page_source import PageSource
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.pages import PageResult, analyze_page
from ppcli.models.remote.sent_image import SentImage
from ppcli.store.rows import StatsRow


@dataclass(frozen=True, slots=True)
class SentPage(PageResult):
    """The row of a page, and the page as a server gets it.

    Attributes:
        sent: the image.
    """

    sent: SentImage | None = None

    @property
    def images(self) -> Sequence[SentImage]:
        """What the server gets."""
        return [] if self.sent is None else [self.sent]

    @property
    def nbytes(self) -> int:
        """Size of the image in bytes."""
        return sum(image.nbytes for image in self.images)


def send_page(
    pixels: NDArray[np.uint8],
    row: StatsRow,
    options: AnalysisOptions,
    started: float,
    source: PageSource,
    prune: bool,
) -> SentPage:
    """Make what a server gets of a page: its file, or PNG if servers would show it otherwise.

    Args:
        pixels: upright RGB, uint8 (height, width, 3).
        row: the columns that are known.
        options: how the image is fitted and pruned; the kept tiles are counted.
        started: `time.perf_counter` at the start of the work on the page.
        source: the open file.
        prune: whether the server prunes; otherwise all tiles count as kept.
    """
    stats = analyze_page(pixels, row, options, started, source).row
    if not prune:
        stats = replace(stats, kept=stats.tokens)
    coder = options.coder if prune else None
    original = source.original()
    if original is None:
        return SentPage(stats, sent=SentImage.of_pixels(pixels, coder))
    return SentPage(stats, sent=SentImage.of_file(source.format, original, coder))
