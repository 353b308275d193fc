"""Turns the pixels of one page into its row: fit, prune, compress. Runs in workers."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ppcli.coding.distinct import distinct_tiles
from ppcli.coding.frame_chain import FrameChain
from ppcli.coding.patchset import KeptTiles, PatchSet, raster_digest
from ppcli.imaging.fit import FittedRaster, fit_image
from ppcli.imaging.page_source import PageSource
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.store.rows import PatchRow, StatsRow

if TYPE_CHECKING:
    from ppcli.models.costs import NamedModel
    from ppcli.models.remote.sent_image import SentImage


@dataclass(frozen=True, slots=True)
class PageResult:
    """The row of one page or frame, and its patch set if one was made."""

    row: StatsRow
    patches: PatchRow | None = None

    @property
    def images(self) -> "Sequence[PatchRow | SentImage]":
        """What a model takes of the page: its patch set; empty if none was made."""
        return [] if self.patches is None else [self.patches]

    @property
    def nbytes(self) -> int:
        """Bytes of the mask and the compressed tiles; 0 without a patch set."""
        return 0 if self.patches is None else self.patches.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class FittedPage:
    """A page on the tile grid.

    Attributes:
        row: the columns that are known.
        size: width and height of the page in pixels.
        fitted: its raster.
    """

    row: StatsRow
    size: tuple[int, int]
    fitted: FittedRaster


def analyze_page(
    pixels: NDArray[np.uint8],
    row: StatsRow,
    options: AnalysisOptions,
    started: float,
    _: PageSource,
) -> PageResult:
    """Make the statistics of a page, and its patch set if the options ask for one."""
    return code_page(fit_page(pixels, row, options, started), options)


def fit_page(
    pixels: NDArray[np.uint8],
    row: StatsRow,
    options: AnalysisOptions,
    started: float,
    stays: bool = False,
) -> FittedPage:
    """Bring a page onto the tile grid.

    Args:
        pixels: upright RGB, uint8 (height, width, 3).
        row: the columns that are known.
        options: how it is fitted.
        started: `time.perf_counter` at the start of the work on the page.
        stays: whether the raster is needed after the next page has been read.
    """
    fitted = fit_image(pixels, options.fit, options.reading.max_image_pixels)
    if stays and np.may_share_memory(fitted.raster, pixels):
        fitted = replace(fitted, raster=fitted.raster.copy())
    decode_ms = (time.perf_counter() - started) * 1000
    row = replace(row, fitted_width=fitted.width, fitted_height=fitted.height, decode_ms=decode_ms)
    return FittedPage(row, (pixels.shape[1], pixels.shape[0]), fitted)


def code_page(
    page: FittedPage, options: AnalysisOptions, chain: FrameChain | None = None
) -> PageResult:
    """Prune a page.

    Args:
        page: to prune.
        options: what its row depends on.
        chain: the frames before it in its sequence; None for a page by itself.
    """
    started = time.perf_counter()
    raster, tile, name = page.fitted.raster, options.fit.tile, page.row.image_id
    rebuilt = reference = None
    if chain is None:
        kept = KeptTiles.of_raster(raster, tile, options.coder, name)
    else:
        frame = chain.code(raster, tile, name)
        kept, rebuilt, reference = frame.kept, frame.rebuilt, frame.reference
    unique = distinct_tiles(raster, kept.intra, tile, kept.options)
    patches = _pack(page, kept, rebuilt, reference, options) if options.patches else None
    grid_h, grid_w = kept.keep.shape
    stats = replace(
        page.row,
        threshold=kept.options.tau,
        grid_h=grid_h,
        grid_w=grid_w,
        tokens=kept.tokens,
        kept=kept.kept,
        kept_intra=None if chain is None else kept.kept_intra,
        keep_ratio=kept.keep_ratio,
        unique=unique,
        unique_ratio=unique / kept.tokens,
        code_ms=(time.perf_counter() - started) * 1000,
    )
    if options.estimate is not None:
        stats = replace(stats, **_estimated(options.estimate, kept.tokens, kept.kept))
    return PageResult(stats, patches)


def _estimated(model: "NamedModel", tokens: int, kept: int) -> dict[str, Any]:
    """Return the columns for the costs of a model."""
    pruned = {f"{name}_kept": value for name, value in asdict(model.costs(kept)).items()}
    return asdict(model.costs(tokens)) | pruned


def _pack(
    page: FittedPage,
    kept: KeptTiles,
    rebuilt: NDArray[np.uint8] | None,
    reference: str | None,
    options: AnalysisOptions,
) -> PatchRow:
    from ppcli.store.patch_codec import to_patch_row  # imports Arrow

    digest = ""
    if options.rebuildable:
        if rebuilt is None:
            lossless = kept.options.threshold == 0
            rebuilt = page.fitted.raster if lossless else PatchSet.of(kept).reconstruct()
        digest = raster_digest(rebuilt)
    return to_patch_row(
        page.row.image_id,
        page.size,
        (page.fitted.width, page.fitted.height),
        options.fit.fit,
        kept,
        digest,
        options.zstd_level,
        reference,
    )
