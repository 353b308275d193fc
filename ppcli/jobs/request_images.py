"""The images of one request, decoded and pruned in a worker."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from ppcli.coding.sequence_options import Direction
from ppcli.errors import ImageError, with_subject
from ppcli.files import FileState
from ppcli.imaging.page_cache import close_kept_source
from ppcli.inputs.http_file import fetched_once
from ppcli.inputs.refs import ImageRef
from ppcli.inputs.requests import Request
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.held_pages import hold_page
from ppcli.jobs.page_analysis import PageResult
from ppcli.jobs.pages import OnPage, PagesResult
from ppcli.jobs.request_frames import RequestFrames
from ppcli.jobs.selected_pages import selected_parts
from ppcli.models.remote.sent_image import SentImage
from ppcli.store.rows import PatchRow, error_of


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

    def reverse(self) -> None:
        """Put what came from the last page on into the order of the request."""
        for one in (self.images, self.states, self.counts, self.warnings):
            one.reverse()


def prepare_images(
    request: Request, options: AnalysisOptions, on_page: OnPage | None = None
) -> PreparedImages:
    """Decode and prune the images of a request, all selected pages of each; runs in a worker.

    Args:
        request: names the images.
        options: how they are decoded and pruned. With a sequence, all pages of the request are
            its frames.
        on_page: what is done with the pixels of each page; see `analyze_pages`. With a sequence
            it makes a `HeldPage`.

    Raises:
        ImageError: the error of the first page that fails, in the direction of a sequence.
    """
    prepared = PreparedImages()
    sequence = options.sequence.sequence
    parts_of: Callable[[ImageRef], Iterator[PagesResult]]
    if sequence is None:
        parts_of = partial(selected_parts, options=options, on_page=on_page)
    else:
        parts_of = RequestFrames(options, on_page or hold_page).parts
    for image in request.images[::-1] if sequence is Direction.REVERSE else request.images:
        before, state = len(prepared.images), None
        try:
            for part in parts_of(_here(image)):
                state = part.state
                for page in part.pages:
                    prepared.add(page)
        finally:
            if image.file.local_path is None:  # no other request has these bytes
                close_kept_source()
        prepared.states.append(state)
        prepared.counts.append(len(prepared.images) - before)
    if sequence is Direction.REVERSE:
        prepared.reverse()
    return prepared


def _here(image: ImageRef) -> ImageRef:
    """Return an image whose bytes are on this machine."""
    try:
        return replace(image, file=fetched_once(image.file))
    except ImageError as error:
        raise ImageError(error.code, with_subject(image.image_id, error.message)) from None
