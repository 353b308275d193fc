"""Opens image files of any format."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ppcli.files import InputFile, OpenFile
from ppcli.imaging.decode import ImageSource
from ppcli.imaging.image_choices import Colour
from ppcli.imaging.page_formats import PAGE_FORMATS
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.inputs.sniff import format_of


class PageSource(Protocol):
    """The pages or frames of an open image file.

    Attributes:
        format: the name of the format, as Pillow spells it.
        frames: the number of pages or frames.
        failed: whether the decoder failed, so that no further page may be read.
        warning: what may be wrong with the last page that was read; usually None.
    """

    format: str
    frames: int
    failed: bool
    warning: str | None

    def page(self, number: int, background: Colour) -> NDArray[np.uint8]:
        """Decode one page or frame (one-based) to upright RGB, uint8 (height, width, 3)."""

    def original(self) -> bytes | None:
        """Return the bytes of the file if any program shows the pixels of `page`; else None.

        These are PNG, JPEG and WebP of one frame with 8 bits, grey or RGB, opaque and upright.
        """

    def close(self) -> None:
        """Close the file."""


def open_source(file: InputFile, reading: ReadingOptions) -> PageSource:
    """Open a file and identify its format; nothing is decoded yet.

    Raises:
        ImageError: if the file cannot be read or is in no supported format.
    """
    return source_of(file.open(), file.name, reading)


def source_of(file: OpenFile, name: str, reading: ReadingOptions) -> PageSource:
    """Identify the format of an open file; nothing is decoded yet.

    Args:
        file: at its start. The source closes it; so does an error.
        name: of the file; only its extension matters.
        reading: how pages are read.

    Raises:
        ImageError: if the file is in no supported format.
    """
    try:
        page_format = PAGE_FORMATS.get(format_of(file, name) or "")
        if page_format is not None:
            return page_format.open(file, reading)
        return ImageSource(file, reading.max_image_pixels)
    except BaseException:
        file.close()
        raise
