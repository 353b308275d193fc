"""Which pages of a file become rows, and how they become pixels."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ppcli.errors import ErrorCode, ImageError, UsageError
from ppcli.imaging.image_choices import (
    DEFAULT_DPI,
    DEFAULT_MAX_IMAGE_PIXELS,
    WHITE,
    Colour,
    Frames,
    PdfImages,
)

PDF, TIFF = "PDF", "TIFF"
PAGED = frozenset({PDF, TIFF})
_SPAN = re.compile(r"([1-9]\d*)(-([1-9]\d*)?)?")
_NO_END = 1 << 62


@dataclass(frozen=True, slots=True)
class PageRanges:
    """Some pages of every file that has pages.

    Attributes:
        spans: first and last page (one-based) of each, in order, none touching the next.
    """

    spans: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, text: str) -> "PageRanges":
        """Read what is written like 1-3,7 or 5-.

        Raises:
            UsageError: when it is not.
        """
        merged: list[tuple[int, int]] = []
        for first, last in sorted(_span(part.strip(), text) for part in text.split(",")):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
            else:
                merged.append((first, last))
        return cls(tuple(merged))

    def of(self, pages: int) -> list[int]:
        """Those that a file of so many pages has."""
        return [page for first, last in self.spans for page in range(first, min(last, pages) + 1)]

    def count(self, pages: int) -> int:
        """How many of them a file of so many pages has."""
        return sum(max(0, min(last, pages) - first + 1) for first, last in self.spans)

    def nth(self, number: int) -> int:
        """The page that is so many in (one-based), in a file that has enough of them."""
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
        raise UsageError(f"--pages is {text!r}; write pages like 1-3,7 or 5-, counted from 1")
    first = int(match[1])
    last = first if match[2] is None else int(match[3] or _NO_END)
    if last < first:
        raise UsageError(f"--pages is {text!r}; {part} ends before it begins")
    return first, last


@dataclass(frozen=True, slots=True)
class Reading:
    """How files become pages, and pages pixels.

    Attributes:
        frames: which frames of an animation become rows.
        background: what shows behind transparent pixels.
        max_image_pixels: larger images are error rows.
        dpi: pixels an inch of PDF pages.
        pages: which pages of PDF and TIFF files; None for all.
        pdf_images: what is taken of a page that is one embedded image.
    """

    frames: Frames = Frames.FIRST
    background: Colour = WHITE
    max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS
    dpi: float = DEFAULT_DPI
    pages: PageRanges | None = None
    pdf_images: PdfImages = PdfImages.RENDER

    def gives_several(self, kind: str | None, frames: int) -> bool:
        """Whether a file of this format and number of frames can give more than one row."""
        if kind == PDF:
            return True
        return frames > 1 and (kind == TIFF or self.frames is Frames.ALL)

    def numbers(self, kind: str, frames: int) -> Sequence[int]:
        """The pages or frames (one-based) of a file that become rows.

        Raises:
            ImageError: `no_such_page`, when `pages` leaves none.
        """
        if self.pages is None or kind not in PAGED:
            return range(1, (frames if self.gives_several(kind, frames) else 1) + 1)
        chosen = self.pages.of(frames)
        if not chosen:
            raise ImageError(
                ErrorCode.NO_SUCH_PAGE,
                f"it has {frames:,} page{'s' * (frames > 1)}, and --pages {self.pages} is outside",
            )
        return chosen

    def number(self, kind: str | None, row: int) -> int:
        """The page or frame of a row (one-based) of a file that cannot be looked into.

        Where it is gone, and with it its format, it had pages unless frames are rows too.
        """
        paged = kind in PAGED or (kind is None and row > 1 and self.frames is Frames.FIRST)
        if self.pages is None or not paged:
            return row
        return self.pages.nth(row)
