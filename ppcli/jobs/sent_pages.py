"""Pages of images for a server: checked and counted here, pruned there. Runs in workers."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ppcli.coding.coder_options import CoderOptions
from ppcli.coding.frame_chain import FrameChain
from ppcli.coding.selection import select_tiles
from ppcli.imaging.fit import fit_image
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.page_cache import page_source
from ppcli.imaging.page_source import PageSource
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.held_pages import HeldPage, hold_page
from ppcli.jobs.page_analysis import PageResult, analyze_page
from ppcli.jobs.variants import ImageVariant, PreparedVariants
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
    return SentPage(stats, sent=_sent(pixels, source, options.coder if prune else None))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class HeldSentPage(HeldPage):
    """A page that a server gets, before its kept tiles are counted.

    Attributes:
        sent: what the server gets.
    """

    sent: SentImage

    @property
    def nbytes(self) -> int:
        """Size of the raster and of the image in bytes."""
        return self.page.fitted.raster.nbytes + self.sent.nbytes

    def coded(self, options: AnalysisOptions, chain: FrameChain) -> SentPage:
        """Count the kept tiles of the page; see `HeldPage.coded`."""
        return SentPage(HeldPage.coded(self, options, chain).row, sent=self.sent)


def hold_sent_page(
    pixels: NDArray[np.uint8],
    row: StatsRow,
    options: AnalysisOptions,
    started: float,
    source: PageSource,
) -> HeldSentPage:
    """Make what a server gets of a page that is a frame of a sequence; see `OnPage`."""
    held = hold_page(pixels, row, options, started, source)
    sent = _sent(pixels, source, options.coder)
    return HeldSentPage(row=held.row, page=held.page, sent=sent)


def send_variants(
    ref: ImageRef, fit: FitOptions, wanted: Sequence[ImageVariant]
) -> PreparedVariants:
    """Make what a server gets of the first page of an image in each variant; runs in a worker.

    Args:
        ref: the image.
        fit: how it is fitted to count its tiles.
        wanted: the variants; none of them is a control.

    Raises:
        ImageError: if the image cannot be decoded.
    """
    reading = ReadingOptions()
    with page_source(ref.file, reading) as loan:
        pixels = np.array(loan.source.page(1, reading.background))
        whole, state = _sent(pixels, loan.source, None), loan.state
    raster = fit_image(pixels, fit).raster
    tokens = raster.shape[0] * raster.shape[1] // fit.tile**2
    kept, times = [], []
    for variant in wanted:
        started = time.perf_counter()
        kept.append(_kept(raster, fit.tile, variant.coder, ref.image_id) or tokens)
        times.append((time.perf_counter() - started) * 1000)
    images = [replace(whole, coder=variant.coder) for variant in wanted]
    return PreparedVariants(images, tokens, times, state, kept)


def _kept(
    raster: NDArray[np.uint8], tile: int, coder: CoderOptions | None, image_id: str
) -> int | None:
    return None if coder is None else int(select_tiles(raster, tile, coder, image_id).sum())


def _sent(pixels: NDArray[np.uint8], source: PageSource, coder: CoderOptions | None) -> SentImage:
    original = source.original()
    if original is None:
        return SentImage.of_pixels(pixels, coder)
    return SentImage.of_file(source.format, original, coder)
