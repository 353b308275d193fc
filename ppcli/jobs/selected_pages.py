"""The selected pages of one file, in this process: forward, or from the last one on."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from ppcli.coding.sequence_options import MOST_FRAMES
from ppcli.errors import ErrorCode, ImageError
from ppcli.imaging.image_choices import Frames
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.page_analysis import PageResult
from ppcli.jobs.pages import OnPage, PagesResult, analyze_pages, count_rows

_PAGES_PER_CALL = 16
_MOST_BYTES = 64 << 20  # of pages that are turned round


def selected_pages(
    ref: ImageRef, options: AnalysisOptions, on_page: OnPage | None = None
) -> Iterator[PageResult]:
    """Decode and prune the selected pages of a file in this process.

    Args:
        ref: the file.
        options: how it is decoded and pruned.
        on_page: what is done with the pixels of each page; see `analyze_pages`.

    Raises:
        ImageError: `no_such_page` if the reference names a page that the file does not have.
    """
    for part in selected_parts(ref, options, on_page):
        yield from part.pages


def selected_parts(
    ref: ImageRef, options: AnalysisOptions, on_page: OnPage | None = None
) -> Iterator[PagesResult]:
    """Do the same, and yield the pages in parts, with the state of the file."""
    if ref.page is not None:
        yield _single_page(ref, ref.page, options, on_page)
        return
    first, rows = 1, 1
    while first <= rows:
        result = analyze_pages(ref, options, first, _PAGES_PER_CALL, on_page)
        yield result
        first, rows = first + len(result.pages), result.count.rows if result.count else 0


def selected_parts_backward(
    ref: ImageRef, options: AnalysisOptions, on_page: OnPage | None = None
) -> Iterator[PagesResult]:
    """Do the same from the last page on; in each part, too, a later page comes first.

    Formats such as GIF are read forward only, so that the pages of a part are read in their order
    and then turned round. As many are turned round at a time as have 64 MiB.
    """
    count = None if ref.page is not None else count_rows(ref, options)
    if count is None:
        yield from selected_parts(ref, options, on_page)
        return
    end, most = count.rows, 1
    while end:
        part = _last_pages(ref, options, on_page, max(1, end - most + 1), end, count.rows)
        yield part
        end -= len(part.pages)
        most = min(MOST_FRAMES, max(1, _MOST_BYTES // max(1, part.pages[-1].nbytes)))


def _last_pages(
    ref: ImageRef,
    options: AnalysisOptions,
    on_page: OnPage | None,
    first: int,
    end: int,
    rows: int,
) -> PagesResult:
    """Read pages in their order, and return the last ones that fit into memory, turned round."""
    last: deque[PageResult] = deque()
    size = 0
    while first <= end:
        part = analyze_pages(ref, options, first, end - first + 1, on_page, rows)
        first += len(part.pages)
        last += part.pages
        size += sum(page.nbytes for page in part.pages)
        while len(last) > 1 and size > _MOST_BYTES:
            size -= last.popleft().nbytes
    return replace(part, pages=list(reversed(last)))


def _single_page(
    ref: ImageRef, page: int, options: AnalysisOptions, on_page: OnPage | None
) -> PagesResult:
    """Decode and prune one page or frame, whichever pages the options select."""
    reading = replace(options.reading, frames=Frames.ALL, pages=None)
    result = analyze_pages(ref, replace(options, reading=reading), page, 1, on_page)
    if not result.pages:
        pages = result.count.frames if result.count else 0
        raise ImageError(
            ErrorCode.NO_SUCH_PAGE, f"{ref.image_id}: there is no page {page:,} (pages: {pages:,})"
        )
    return result
