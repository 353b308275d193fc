"""The images of one request, decoded and pruned in a worker."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ppcli.errors import ErrorCode, ImageError, with_subject
from ppcli.files import FileState
from ppcli.imaging.image_choices import Frames
from ppcli.imaging.page_cache import close_kept_source
from ppcli.inputs.http_file import fetched_once
from ppcli.inputs.refs import ImageRef
from ppcli.inputs.requests import Request
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.page_analysis import PageResult
from ppcli.jobs.pages import OnPage, PagesResult, analyze_pages
from ppcli.models.remote.sent_image import SentImage
from ppcli.store.rows import PatchRow, error_of

_PAGES_PER_CALL = 16


@dataclass(slots=True)
class PreparedImages:
    """All images of one request.

    Attributes:
        images: of every page that is fed, in order, its patch set or what is sent to a server.
        states: of each image file when it was opened.
        counts: how many pages each image gave.
        tokens: tiles of all pages; None without an image.
        kept: kept tiles of all pages; None without an image.
        select_ms: milliseconds that pruning took.
        warnings: from the pages.
        fitted_size: width and height of the last page before padding.
    """

    images: list[PatchRow | SentImage] = field(default_factory=list)
    states: list[FileState | None] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    tokens: int | None = None
    kept: int | None = None
    select_ms: float = 0.0
    warnings: list[str] = field(default_factory=list)
    fitted_size: tuple[int | None, int | None] = (None, None)

    @property
    def nbytes(self) -> int:
        """Approximate size in memory, in bytes."""
        return sum(image.nbytes for image in self.images)

    def add(self, page: PageResult) -> None:
        """Add one page.

        Raises:
            ImageError: if the page failed.
        """
        row = page.row
        if (error := error_of(row)) is not None:
            raise error
        self.images += page.images
        self.fitted_size = row.fitted_width, row.fitted_height
        self.tokens = (self.tokens or 0) + (row.tokens or 0)
        self.kept = (self.kept or 0) + (row.kept or 0)
        self.select_ms += row.code_ms or 0.0
        if row.warning is not None:
            self.warnings.append(f"{row.image_id}: {row.warning}")


def prepare_images(
    request: Request, options: AnalysisOptions, on_page: OnPage | None = None
) -> PreparedImages:
    """Decode and prune the images of a request, all selected pages of each; runs in a worker.

    Args:
        request: names the images.
        options: how they are decoded and pruned.
        on_page: what is done with the pixels of each page; see `analyze_pages`.

    Raises:
        ImageError: the error of the first page that fails.
    """
    prepared = PreparedImages()
    for image in request.images:
        before, state = len(prepared.images), None
        try:
            for part in _selected_parts(_here(image), options, on_page):
                state = part.state
                for page in part.pages:
                    prepared.add(page)
        finally:
            if image.file.local_path is None:  # no other request has these bytes
                close_kept_source()
        prepared.states.append(state)
        prepared.counts.append(len(prepared.images) - before)
    return prepared


def _here(image: ImageRef) -> ImageRef:
    """Return an image whose bytes are on this machine."""
    try:
        return replace(image, file=fetched_once(image.file))
    except ImageError as error:
        raise ImageError(error.code, with_subject(image.image_id, error.message)) from None


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
    for part in _selected_parts(ref, options, on_page):
        yield from part.pages


def _selected_parts(
    ref: ImageRef, options: AnalysisOptions, on_page: OnPage | None = None
) -> Iterator[PagesResult]:
    if ref.page is not None:
        yield _single_page(ref, ref.page, options, on_page)
        return
    first, rows = 1, 1
    while first <= rows:
        result = analyze_pages(ref, options, first, _PAGES_PER_CALL, on_page)
        yield result
        first, rows = first + len(result.pages), result.count.rows if result.count else 0


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
