"""The formats whose files have pages. Each page becomes a row, unless `--pages` leaves it out.

The frames of a video that `--fps` chooses count as pages. Frames of animations do not: whether
they become rows depends on `--frames`. A new format
needs a signature in `ppcli.inputs.sniff`, an entry here, and a class that reads it.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ppcli.files import OpenFile
from ppcli.inputs.sniff import has_image_extension

if TYPE_CHECKING:
    from ppcli.imaging.page_source import PageSource
    from ppcli.imaging.reading_options import ReadingOptions

PDF, TIFF = "PDF", "TIFF"
MP4, MOV, MKV, AVI = "MP4", "MOV", "MKV", "AVI"


def _open_pdf(file: OpenFile, reading: "ReadingOptions") -> "PageSource":
    from ppcli.imaging.pdf import PdfSource  # PDFium takes a while to load

    return PdfSource(file, reading)


def _open_tiff(file: OpenFile, reading: "ReadingOptions") -> "PageSource":
    from ppcli.imaging.tiff import TiffSource

    return TiffSource(file, reading.max_image_pixels)


def _open_video(kind: str, file: OpenFile, reading: "ReadingOptions") -> "PageSource":
    from ppcli.imaging.video import VideoSource

    return VideoSource(file, kind, reading)


@dataclass(frozen=True, slots=True)
class PageFormat:
    """A format whose files have pages.

    Attributes:
        extensions: of its files, lower case.
        numbers_single_page: whether the row of a file of one page has the page in its `image_id`.
        open: makes the `PageSource` of an open file, which it closes in the end.
    """

    extensions: tuple[str, ...]
    numbers_single_page: bool
    open: Callable[[OpenFile, "ReadingOptions"], "PageSource"]


PAGE_FORMATS = {
    PDF: PageFormat((".pdf",), True, _open_pdf),
    TIFF: PageFormat((".tif", ".tiff"), False, _open_tiff),
    MP4: PageFormat((".mp4", ".m4v"), True, partial(_open_video, MP4)),
    MOV: PageFormat((".mov",), True, partial(_open_video, MOV)),
    MKV: PageFormat((".mkv", ".webm"), True, partial(_open_video, MKV)),
    AVI: PageFormat((".avi",), True, partial(_open_video, AVI)),
}


def has_pages(image_format: str | None) -> bool:
    """Return whether files of a format have pages."""
    return image_format in PAGE_FORMATS


def may_have_pages(name: str) -> bool:
    """Return whether a file may have several pages, judged by its name."""
    extension = os.path.splitext(name)[1].lower()
    paged = any(extension in known.extensions for known in PAGE_FORMATS.values())
    return paged or not has_image_extension(name)
