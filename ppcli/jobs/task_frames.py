"""The frames that one task works on, in the direction of their sequence. Runs in workers."""

from ppcli.coding.frame_chain import FrameChain
from ppcli.coding.sequence_options import Direction
from ppcli.errors import as_image_error
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.page_analysis import FittedPage, PageResult, code_page
from ppcli.store.rows import as_error_row


class TaskFrames:
    """Frames in their order, which become rows in the direction of the sequence.

    Forward, each becomes a row at once. In reverse the rasters are held until `finish`; that is
    why a task ends when its frames have as many pixels as a sequence may have.

    Args of the constructor:
        options: what the rows depend on.
    """

    def __init__(self, options: AnalysisOptions) -> None:
        self._options = options
        self._is_forward = options.sequence.sequence is Direction.FORWARD
        self._chain = FrameChain(options.coder)
        self._held: list[tuple[list[PageResult], int, FittedPage] | None] = []
        self._frames = self._pixels = 0

    @property
    def are_full(self) -> bool:
        """Whether the next frame begins a new sequence, in another task."""
        return FrameChain.is_full(self._frames, self._pixels)

    def add(self, results: list[PageResult], page: FittedPage) -> None:
        """Append the row of a frame to results; in reverse it is put there by `finish`."""
        self._frames += 1
        self._pixels += page.fitted.raster.shape[0] * page.fitted.raster.shape[1]
        if self._is_forward:
            results.append(self._coded(page))
        else:
            self._held.append((results, len(results), page))
            results.append(PageResult(page.row))

    def end_sequence(self) -> None:
        """Begin a new sequence with the next frame."""
        if self._is_forward:
            self._chain.end()
        else:
            self._held.append(None)

    def finish(self) -> None:
        """Fill in the rows of the frames that are held."""
        for held in reversed(self._held):
            if held is None:
                self._chain.end()
                continue
            results, place, page = held
            try:
                results[place] = self._coded(page)
            except Exception as error:
                failed = as_error_row(page.row, as_image_error(error), page.row.image_id)
                results[place] = PageResult(failed)
        self._held.clear()

    def _coded(self, page: FittedPage) -> PageResult:
        try:
            return code_page(page, self._options, self._chain)
        except Exception:
            self._chain.end()  # no frame may depend on one that has no patch set
            raise
