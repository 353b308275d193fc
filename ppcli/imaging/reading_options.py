"""Which pages of a file become rows, and how they become pixels."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from ppcli.arguments import describe_value
from ppcli.errors import ErrorCode, ImageError, UsageError, pluralize
from ppcli.imaging.image_choices import (
    DEFAULT_DPI,
    DEFAULT_FPS,
    DEFAULT_MAX_IMAGE_PIXELS,
    WHITE,
    Colour,
    Frames,
    PdfImages,
)
from ppcli.imaging.page_formats import PAGE_FORMATS, has_pages
from ppcli.options import Option, Options

_SPAN = re.compile(r"([1-9]\d*)(-([1-9]\d*)?)?")
_NO_END = 1 << 62

MaxStoredPixels = Annotated[
    int,
    Option(
        "Do not rebuild larger images.",
        flags=("--max-image-pixels",),
        metavar="N",
        min=1,
    ),
]


@dataclass(frozen=True, slots=True)
class PageRanges:
    """Ranges of pages, applied to every file that has pages.

    Attributes:
        spans: first and last page (one-based) of each range, in order; no two touch or overlap.
    """

    spans: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, text: str) -> "PageRanges":
        """Parse ranges such as `1-3,7` or `5-`.

        Raises:
            UsageError: the text is not a list of ranges.
        """
        merged: list[tuple[int, int]] = []
        for first, last in sorted(_span(part.strip(), text) for part in text.split(",")):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
            else:
                merged.append((first, last))
        return cls(tuple(merged))

    def of(self, pages: int) -> list[int]:
        """Return the chosen pages of a file with `pages` pages."""
        return [page for first, last in self.spans for page in range(first, min(last, pages) + 1)]

    def count(self, pages: int) -> int:
        """Return the number of chosen pages of a file with `pages` pages."""
        return sum(max(0, min(last, pages) - first + 1) for first, last in self.spans)

    def nth(self, number: int) -> int:
        """Return the `number`-th chosen page (one-based) of a file with enough pages."""
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


def parse_colour(name: str) -> Colour:
    """Parse a colour as CSS spells it.

    Raises:
        UsageError: the text is not a colour.
    """
    if name == "white":  # the default; Pillow takes a while to load
        return WHITE
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(name)[:3]
    except ValueError:
        raise UsageError(f"{name!r} is not a colour; write it like white or #ffffff") from None
    return red, green, blue


@dataclass(frozen=True, slots=True)
class ReadingOptions(Options):
    """How files become pages, and pages become pixels.

    Attributes:
        frames: which frames of an animation become rows.
        background: colour behind transparent pixels.
        max_image_pixels: larger images produce error rows.
        dpi: resolution of PDF pages.
        fps: at how many moments of each second of a video a frame is taken.
        pages: which pages of PDF and TIFF files, and which of the frames that are taken from a
            video, become rows; None for all.
        pdf_images: how PDF pages that consist of one image are read.
    """

    panel: ClassVar = "Reading"

    frames: Annotated[Frames, Option("Frames of an animation that become rows.")] = Frames.FIRST
    background: Annotated[
        Colour,
        Option(
            "Colour behind transparent pixels.",
            metavar="COLOUR",
            parse=parse_colour,
            default_text="white",
        ),
    ] = WHITE
    max_image_pixels: Annotated[
        int,
        Option("Do not decode larger images; they produce error rows.", metavar="N", min=1),
    ] = DEFAULT_MAX_IMAGE_PIXELS
    dpi: Annotated[
        float, Option("Resolution of PDF pages in pixels per inch.", metavar="N", min=1, max=9600)
    ] = DEFAULT_DPI
    fps: Annotated[
        float,
        Option(
            "Frames per second of a video that become rows; each frame of the video at most once.",
            metavar="N",
            min=0.001,
            max=1000,
        ),
    ] = DEFAULT_FPS
    pages: Annotated[
        PageRanges | None,
        Option(
            "Pages of PDF and TIFF files, or of the frames of videos, such as 1-3,7 or 5-. "
            "Default: all.",
            metavar="PAGES",
            parse=PageRanges.parse,
        ),
    ] = None
    pdf_images: Annotated[
        PdfImages,
        Option("For PDF pages that are one image: render the page, or use the image unscaled."),
    ] = PdfImages.RENDER

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        if not _is_colour(self.background):
            raise UsageError(
                f"background is {describe_value(self.background)}; it must be three levels from 0 "
                "to 255"
            )

    def gives_several(self, kind: str | None, frames: int) -> bool:
        """Return whether a file of this format and number of frames can have several rows."""
        page_format = PAGE_FORMATS.get(kind or "")
        if page_format is None:
            return frames > 1 and self.frames is Frames.ALL
        return frames > 1 or page_format.numbers_single_page

    def numbers(self, kind: str, frames: int) -> Sequence[int]:
        """Return the pages or frames (one-based) of a file that become rows.

        Raises:
            ImageError: `no_such_page`, if `pages` contains no page of the file.
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
        """Return the page or frame (one-based) of a row of a file that can no longer be opened.

        A file whose format is unknown, because the file is gone, counts as paged unless frames
        are rows too.
        """
        paged = has_pages(kind) or (kind is None and row > 1 and self.frames is Frames.FIRST)
        if self.pages is None or not paged:
            return row
        return self.pages.nth(row)


def _is_colour(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 3
        and all(isinstance(level, int) and 0 <= level <= 255 for level in value)
    )
