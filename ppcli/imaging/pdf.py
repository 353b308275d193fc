"""PDF files, one page at a time."""

import math
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
import pypdfium2
import pypdfium2.raw as pdfium
from numpy.typing import NDArray

from ppcli.errors import ErrorCode, ImageError
from ppcli.imaging.choices import PdfImages
from ppcli.imaging.colour import Colour
from ppcli.imaging.pdf_images import own_pixels
from ppcli.imaging.reading import PDF, Reading

_POINTS_PER_INCH = 72
_TAIL_BYTES = 1024
_END, _ENCRYPTED = b"%%EOF", b"/Encrypt"
_LEAST_BYTES_OF_PAGE = 16  # to be told apart from other pages, however well packed
_BYTES_HELD = 16 << 20


class PdfSource:
    """An open PDF file.

    Attributes:
        format: PDF.
        frames: how many pages it has.
        failed: always False: a page that fails says nothing of the others.
    """

    format, failed = PDF, False

    def __init__(self, file: BinaryIO, reading: Reading) -> None:
        """Read where its pages are; none is drawn yet.

        Raises:
            ImageError: `encrypted`, `truncated`, `corrupt`, or as reading the file raises.
        """
        self._reading = reading
        self._file = file
        size = file.seek(0, os.SEEK_END)
        self._document = self._opened()
        self.frames = len(self._document)
        if self.frames * _LEAST_BYTES_OF_PAGE > size or self.frames == 0:
            self._document.close()
            message = f"the PDF says that it has {self.frames:,} pages, in {size:,} bytes"
            raise ImageError(ErrorCode.CORRUPT, message)
        self._bytes_of_page = size / self.frames
        self._bytes_held = 0.0

    def _opened(self) -> pypdfium2.PdfDocument:
        try:
            document = pypdfium2.PdfDocument(self._file)
            document.init_forms()  # what is filled in shows
        except pypdfium2.PdfiumError as error:
            raise self._explained(error) from error
        return document

    def _explained(self, error: pypdfium2.PdfiumError) -> ImageError:
        locked = error.err_code in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY)
        if locked and self._contains(_ENCRYPTED):  # the code may be that of another file
            return ImageError(
                ErrorCode.ENCRYPTED, "the PDF asks for a password; take that off it first"
            )
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(max(0, size - _TAIL_BYTES))
        if _END not in self._file.read():
            return ImageError(ErrorCode.TRUNCATED, "the PDF ends before its end mark")
        return ImageError(ErrorCode.CORRUPT, "PDFium finds no pages in it")

    def _contains(self, word: bytes) -> bool:
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(word) >= 0

    def close(self) -> None:
        """Let go of the file."""
        self._document.close()
        self._file.close()

    def page(self, number: int, background: Colour) -> NDArray[np.uint8]:
        """Draw one page (one-based), or take its own pixels, as `Reading.pdf_images` has it.

        Returns:
            upright RGB, uint8 (height, width, 3).

        Raises:
            ImageError: `too_large` or `corrupt`.
        """
        self._let_go_of_read_pages()
        with self._loaded(number) as page:
            if self._reading.pdf_images is PdfImages.NATIVE:
                pixels = own_pixels(page, self._check_own_size)
                if pixels is not None:
                    return pixels
            scale = self._reading.dpi / _POINTS_PER_INCH
            width, height = (math.ceil(side * scale) for side in page.get_size())
            self._check_size(width, height)
            drawn = page.render(scale=scale, fill_color=(*background, 255), rev_byteorder=True)
            return np.array(drawn.to_numpy())

    def _let_go_of_read_pages(self) -> None:
        """PDFium holds what it has read of a document until that is closed; begin anew in time."""
        self._bytes_held += self._bytes_of_page
        if self._bytes_held > _BYTES_HELD:
            self._document.close()
            self._document = self._opened()
            self._bytes_held = self._bytes_of_page

    @contextmanager
    def _loaded(self, number: int) -> Iterator[pypdfium2.PdfPage]:
        try:
            page = self._document[number - 1]
        except pypdfium2.PdfiumError as error:
            message = f"PDFium cannot read page {number:,}"
            raise ImageError(ErrorCode.CORRUPT, message) from error
        try:
            yield page
        finally:
            page.close()

    def _check_size(
        self, width: int, height: int, advice: str = "; a lower --dpi gives fewer"
    ) -> None:
        most = self._reading.max_image_pixels
        if width < 1 or height < 1:
            raise ImageError(ErrorCode.CORRUPT, f"the page has {width}×{height} pixels")
        if width * height > most:
            raise ImageError(
                ErrorCode.TOO_LARGE,
                f"{width:,}×{height:,} pixels are above the limit of {most:,} "
                f"(--max-image-pixels{advice})",
            )

    def _check_own_size(self, width: int, height: int) -> None:
        self._check_size(width, height, advice="; without --pdf-images native, --dpi decides")
