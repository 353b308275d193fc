"""The pages of one request as frames of a sequence. Runs in workers."""

from collections.abc import Iterator
from dataclasses import replace

from ppcli.coding.frame_chain import FrameChain
from ppcli.coding.sequence_options import Direction, SequenceOptions
from ppcli.errors import as_image_error
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.held_pages import HeldPage
from ppcli.jobs.page_analysis import PageResult
from ppcli.jobs.pages import OnPage, PagesResult
from ppcli.jobs.selected_pages import selected_parts, selected_parts_backward
from ppcli.store.rows import as_error_row


class RequestFrames:
    """Prunes the pages of a request, each compared with the one before in the direction.

    In reverse the pages come from the last one on, so that, as forward, few rasters are in memory
    however many pages there are.

    Args of the constructor:
        options: what the rows of the pages depend on, with a sequence.
        on_page: makes the `HeldPage` of a page.
    """

    def __init__(self, options: AnalysisOptions, on_page: OnPage) -> None:
        self._options, self._on_page = options, on_page
        self._chain = FrameChain(options.coder)

    def parts(self, ref: ImageRef) -> Iterator[PagesResult]:
        """Yield the pages of the next file in the direction, pruned.

        Raises:
            ImageError: `no_such_page` if the reference names a page that the file does not have.
        """
        is_forward = self._options.sequence.sequence is Direction.FORWARD
        read = selected_parts if is_forward else selected_parts_backward
        one_by_one = replace(self._options, sequence=SequenceOptions())
        for part in read(ref, one_by_one, self._on_page):
            yield replace(part, pages=[self._coded(page) for page in part.pages])

    def _coded(self, page: PageResult) -> PageResult:
        if not isinstance(page, HeldPage):  # an error row
            return page
        try:
            return page.coded(self._options, self._chain)
        except Exception as error:
            row = page.row
            return PageResult(as_error_row(row, as_image_error(error), row.image_id))
