"""Reads PDF files, one page at a time."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import BinaryIO

import numpy as np
import pikepdf
import pypdfium2
import pypdfium2.raw as pdfium
from numpy.typing import NDArray

from ppcli.errors import ErrorCode, ImageError, pluralize
from ppcli.imaging.image_choices import Colour, PdfImages
from ppcli.imaging.limits import check_pixels
from ppcli.imaging.page_formats import PDF
from ppcli.imaging.pdf_damage import DamageCheck
from ppcli.imaging.pdf_draw import page_sides, render_area, render_page
from ppcli.imaging.pdf_fonts import (
    LostCharacters,
    PageObjects,
    Substitution,
    annotations_need_fonts,
    describe_lost,
    lost_characters,
    with_substitutes,
)
from ppcli.imaging.pdf_images import find_scan, native_pixels
from ppcli.imaging.pdf_structure import Structure, user_unit
from ppcli.imaging.reading_options import ReadingOptions

_TAIL_BYTES = 1024
_BLOCK_BYTES = 1 << 20
_END, _ENCRYPTED = b"%%EOF", b"/Encrypt"
_USUAL_BYTES_OF_PAGE = 256  # with fewer, the declared number of pages may be wrong
_BYTES_HELD = 16 << 20
_DEEPEST = 8  # levels of nested forms that are searched


class PdfSource:
    """An open PDF file.

    Attributes:
        format: PDF.
        frames: number of pages.
        failed: always False, because a page that fails does not affect the others.
        warning: what may be wrong with the last page that was read, or None.
    """

    format, failed = PDF, False

    def __init__(self, file: BinaryIO, reading: ReadingOptions) -> None:
        """Find the pages without drawing any.

        Raises:
            ImageError: `encrypted`, `truncated`, `corrupt`, or any error of reading the file.
        """
        self.warning: str | None = None
        self._reading = reading
        self._file = file
        size = file.seek(0, os.SEEK_END)
        self._document = self._opened()
        self.frames = len(self._document)
        self._structure = self._structured()
        if self.frames == 0 or (
            self.frames * _USUAL_BYTES_OF_PAGE > size and self._structure is None
        ):
            self.close()
            message = f"the PDF declares {pluralize(self.frames, 'page')} in only {size:,} bytes"
            raise ImageError(ErrorCode.CORRUPT, message)
        self._damage = DamageCheck()
        self._bytes_of_page = size / self.frames
        self._bytes_held = 0.0

    def _opened(self) -> pypdfium2.PdfDocument:
        try:
            document = pypdfium2.PdfDocument(self._file)
            document.init_forms()  # draws the values of form fields
        except pypdfium2.PdfiumError as error:
            raise self._explained(error) from error
        return document

    def _structured(self) -> Structure | None:
        """Return the pages as qpdf reads them, or None if it cannot or finds fewer than PDFium."""
        try:
            structure = Structure(self._file)
        except pikepdf.PikepdfError:  # PDFium repairs more
            return None
        if structure.pages == self.frames:
            return structure
        structure.close()
        if structure.pages > self.frames:
            self._document.close()
            raise ImageError(
                ErrorCode.CORRUPT,
                f"the PDF declares {pluralize(self.frames, 'page')}, but contains "
                f"{structure.pages:,}; rewrite it, for example with qpdf",
            )
        return None

    def _explained(self, error: pypdfium2.PdfiumError) -> ImageError:
        locked = error.err_code in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY)
        if locked and self._contains(_ENCRYPTED):  # the code may be from another file
            return ImageError(
                ErrorCode.ENCRYPTED, "the PDF needs a password; remove the password first"
            )
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(max(0, size - _TAIL_BYTES))
        if _END not in self._file.read():
            return ImageError(ErrorCode.TRUNCATED, "the PDF is truncated: its end mark is missing")
        return ImageError(ErrorCode.CORRUPT, "PDFium finds no pages in the file")

    def _contains(self, word: bytes) -> bool:
        self._file.seek(0)
        before = b""
        while block := self._file.read(_BLOCK_BYTES):
            if word in before + block:
                return True
            before = block[1 - len(word) :]
        return False

    def original(self) -> None:
        """Return None: programs differ in what they show of such a file."""

    def close(self) -> None:
        """Close the file."""
        if self._structure is not None:
            self._structure.close()
        self._document.close()
        self._file.close()

    def page(self, number: int, background: Colour) -> NDArray[np.uint8]:
        """Draw one page (one-based), or decode its image, as `ReadingOptions.pdf_images` says.

        Afterwards `warning` says what may be wrong with the page.

        Returns:
            Upright RGB, uint8 (height, width, 3).

        Raises:
            ImageError: `too_large` or `corrupt`.
        """
        self.warning = None
        self._let_go_of_read_pages()
        doubts: list[str] = []
        dpi = self._reading.dpi
        if self._structure is not None:
            entries = self._structure.page(number)
            doubts += self._damage.check_page(entries)
            dpi *= user_unit(entries)
        with _loaded(self._document, number) as page:
            things = _things(page)
            lost = self._lost(page, things, number)
            if not lost:
                pixels = self._pixels(page, things, dpi, background)
        if lost:
            pixels, lost = self._with_other_fonts(number, lost, dpi, background)
        if certain := LostCharacters({key: times for key, times in lost.items() if key[1]}):
            doubts.append(describe_lost(certain))
        self.warning = "; ".join(doubts) or None
        return pixels

    def _pixels(
        self, page: pypdfium2.PdfPage, things: PageObjects, dpi: float, background: Colour
    ) -> NDArray[np.uint8]:
        if self._reading.pdf_images is PdfImages.NATIVE:
            pixels = native_pixels(page, things, self._check_own_size)
            if pixels is not None:
                return pixels
        sides = page_sides(page, dpi)
        scan = find_scan(page, things, sides)
        if scan is not None:
            self._check_size(*scan.size)
            return render_area(page, scan.corners, scan.size, background)
        size = sides[0].pixels, sides[1].pixels
        self._check_size(*size)
        return render_page(page, size, background)

    def _lost(self, page: pypdfium2.PdfPage, things: PageObjects, number: int) -> LostCharacters:
        """Return the characters of a page and its annotations that have no glyph."""
        if not annotations_need_fonts(page):
            return lost_characters(page, things)
        with closing(self._opened()) as document:  # flattening changes it
            with _loaded(document, number) as own:
                pdfium.FPDFPage_Flatten(own, pdfium.FLAT_NORMALDISPLAY)
            with _loaded(document, number) as flat:
                return lost_characters(flat, _things(flat))

    def _with_other_fonts(
        self, number: int, lost: LostCharacters, dpi: float, background: Colour
    ) -> tuple[NDArray[np.uint8], LostCharacters]:
        """Draw a page with the fonts that lose the fewest characters; return those still lost."""
        left = {Substitution.NOTHING: lost}
        for supply in (Substitution.GLYPHS, Substitution.FONTS):
            with self._supplied(supply, lost, number) as page:
                things = _things(page)
                left[supply] = self._lost(page, things, number)
        best = min(left, key=lambda supply: left[supply].total())
        with self._supplied(best, lost, number) as page:
            things = _things(page)
            return self._pixels(page, things, dpi, background), left[best]

    @contextmanager
    def _supplied(
        self, supply: Substitution, lost: LostCharacters, number: int
    ) -> Iterator[pypdfium2.PdfPage]:
        """Load a page from a new copy of the document, which has not loaded any fonts."""
        with (
            closing(self._opened()) as document,
            with_substitutes(supply, lost, _loaded(document, number)) as page,
        ):
            yield page

    def _let_go_of_read_pages(self) -> None:
        """Reopen the document at times: PDFium keeps all it has read until it is closed."""
        self._bytes_held += self._bytes_of_page
        if self._bytes_held > _BYTES_HELD:
            self._document.close()
            self._document = self._opened()
            if self._structure is not None:
                self._structure.reopen()
            self._bytes_held = self._bytes_of_page

    def _check_size(
        self, width: int, height: int, advice: str = "; a lower --dpi gives fewer pixels"
    ) -> None:
        if width < 1 or height < 1:
            raise ImageError(ErrorCode.CORRUPT, f"the page has {width}×{height} pixels")
        check_pixels(width, height, self._reading.max_image_pixels, advice)

    def _check_own_size(self, width: int, height: int) -> None:
        self._check_size(width, height, advice="; without --pdf-images native, --dpi sets the size")


def _things(page: pypdfium2.PdfPage) -> PageObjects:
    return list(page.get_objects(max_depth=_DEEPEST))


@contextmanager
def _loaded(document: pypdfium2.PdfDocument, number: int) -> Iterator[pypdfium2.PdfPage]:
    try:
        page = document[number - 1]
    except pypdfium2.PdfiumError as error:
        message = f"PDFium cannot read page {number:,}"
        raise ImageError(ErrorCode.CORRUPT, message) from error
    try:
        yield page
    finally:
        page.close()
