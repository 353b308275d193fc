"""A file of pictures, whatever kind it is."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ppcli.imaging.decode import ImageSource, open_regular
from ppcli.imaging.image_choices import Colour
from ppcli.imaging.reading_options import PAGED, TIFF, ReadingOptions
from ppcli.inputs.sniff import sniff_pages


class PageSource(Protocol):
    """An open file.

    Attributes:
        format: the name of its format.
        frames: how many pages or frames it has.
        failed: whether a page failed so that nothing more can be had of it.
        warning: what the page that was read last does not show as it is meant; None mostly.
    """

    format: str
    frames: int
    failed: bool
    warning: str | None

    def page(self, number: int, background: Colour) -> NDArray[np.uint8]:
        """One page or frame (one-based) as upright RGB, uint8 (height, width, 3)."""

    def close(self) -> None:
        """Let go of the file."""


def open_source(path: str, reading: ReadingOptions) -> PageSource:
    """Open a file and see what it is; nothing is decoded yet.

    Raises:
        ImageError: when it cannot be read, or is nothing that is read here.
    """
    kind = sniff_pages(path)
    if kind not in PAGED:
        return ImageSource(path, reading.max_image_pixels)
    file = open_regular(path)
    try:
        if kind == TIFF:
            from ppcli.imaging.tiff import TiffSource

            return TiffSource(file, reading.max_image_pixels)
        from ppcli.imaging.pdf import PdfSource  # PDFium takes a while to load

        return PdfSource(file, reading)
    except BaseException:
        file.close()
        raise
