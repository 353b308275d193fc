"""Pages that are pruned after they were read, in the direction of their sequence."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ppcli.coding.frame_chain import FrameChain
from ppcli.imaging.page_source import PageSource
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.page_analysis import FittedPage, PageResult, code_page, fit_page
from ppcli.store.rows import StatsRow


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class HeldPage(PageResult):
    """The columns that are known of a page, and its raster.

    Attributes:
        page: the page on the tile grid.
    """

    page: FittedPage

    @property
    def nbytes(self) -> int:
        """Size of the raster in bytes."""
        return self.page.fitted.raster.nbytes

    def coded(self, options: AnalysisOptions, chain: FrameChain) -> PageResult:
        """Prune the page.

        Args:
            options: what its row depends on.
            chain: the frames that come before it in the direction of its sequence.
        """
        return code_page(self.page, options, chain)


def hold_page(
    pixels: NDArray[np.uint8],
    row: StatsRow,
    options: AnalysisOptions,
    started: float,
    _: PageSource,
) -> HeldPage:
    """Bring a page onto the tile grid; see `OnPage`."""
    page = fit_page(pixels, row, options, started, stays=True)
    return HeldPage(row=page.row, page=page)
