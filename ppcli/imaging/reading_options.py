"""Options that select the pages of a file, and how they are decoded."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ppcli.errors import ErrorCode, ImageError, UsageError, pluralize
from ppcli.imaging.image_choices import (
    DEFAULT_DPI,
    DEFAULT_MAX_IMAGE_PIXELS,
    WHITE,
    Colour,
    Frames,
    PdfImages,
)
from ppcli.imaging.page_formats import PAGE_FORMATS, has_pages

_SPAN = re.compile(r"([1-9]\d*)(-([1-9]\d*)?)?")
_NO_END = 1 << 62


@dataclass(frozen=True, slots=True)
class PageRanges:
    """A selection of pages.

    Attributes:
        spans: first and last page (one-based) of each range, ascending and not adjacent.
    """

    spans: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, text: str) -> "PageRanges":
        """Parse ranges such as `1-3,7` or `5-`.

        Raises:
            UsageError: the text is malformed.
        """
        merged: list[tuple[int, int]] = []
        for first, last in sorted(_span(part.strip(), text) for part in text.split(",")):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
            else:
                merged.append((first, last))
        return cls(tuple(merged))

    def of(self, pages: int) -> list[int]:
        """Return the selected pages of a file with `pages` pages."""
        return [page for first, last in self.spans for page in range(first, min(last, pages) + 1)]

    def count(self, pages: int) -> int:
        """Return the number of selected pages of a file with `pages` pages."""
        return sum(max(0, min(last, pages) - first + 1) for first, last in self.spans)

    def nth(self, number: int) -> int:
        """Return the `number`-th selected page (one-based), assuming the file has enough pages."""
        for first, last in self.spans:
            if number <= last - first + 1:
                return first + number - 1
            number -= last - first + 1
        return self.spans[-1][1] + number

    def __str__(self) -> str:
        return ",".join(
            str(first) if first == last else f"{first}-{'' if last == _NO_END else last}"
            for first, last in self.spans
        )


def _span(part: str, text: str) -> tuple[int, int]:
    match = _SPAN.fullmatch(part)
    if match is None:
        raise UsageError(
            f"--pages is {text!r}; write page ranges such as 1-3,7 or 5-, counting from 1"
        )
    first = int(match[1])
    last = first if match[2] is None else int(match[3] or _NO_END)
    if last < first:
        raise UsageError(f"--pages is {text!r}; the range {part} ends before it starts")
    return first, last


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """Options for selecting and decoding the pages of a file.

    Attributes:
        frames: which frames of an animation become rows.
        background: the colour behind transparent pixels.
        max_image_pixels: larger images produce error rows.
        dpi: resolution of rendered PDF pages.
        pages: the selected pages of PDF and TIFF files; None for all.
        pdf_images: how PDF pages that are a single image are decoded.
    """

    frames: Frames = Frames.FIRST
    background: Colour = WHITE
    max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS
    dpi: float = DEFAULT_DPI
    pages: PageRanges | None = None
    pdf_images: PdfImages = PdfImages.RENDER

    def gives_several(self, kind: str | None, frames: int) -> bool:
        """Return whether a file of this format and number of frames can have several rows."""
        page_format = PAGE_FORMATS.get(kind or "")
        if page_format is None:
            return frames > 1 and self.frames is Frames.ALL
        return frames > 1 or page_format.numbers_single_page

    def numbers(self, kind: str, frames: int) -> Sequence[int]:
        """Return the pages or frames (one-based) of a file that become rows.

        Raises:
            ImageError: `no_such_page`, if the file has none of the selected pages.
        """
        if self.pages is None or not has_pages(kind):
            return range(1, (frames if self.gives_several(kind, frames) else 1) + 1)
        chosen = self.pages.of(frames)
        if not chosen:
            raise ImageError(
                ErrorCode.NO_SUCH_PAGE,
                f"--pages {self.pages} selects none of {pluralize(frames, 'page')}",
            )
        return chosen

    def number(self, kind: str | None, row: int) -> int:
        """Return the page or frame (one-based) of a row of a file that cannot be opened.

        Args:
            kind: the format; None if it is unknown. Then the rows are taken for pages, unless
                frames of animations are rows too.
            row: the number of the row in the file, one-based.
        """
        paged = has_pages(kind) or (kind is None and row > 1 and self.frames is Frames.FIRST)
        if self.pages is None or not paged:
            return row
        return self.pages.nth(row)
