"""Renders PDF pages with PDFium, and computes their size in pixels."""

import math
from dataclasses import dataclass

import numpy as np
import pypdfium2
import pypdfium2.raw as pdfium
from numpy.typing import NDArray

from ppcli.imaging.image_choices import Colour

POINTS_PER_INCH = 72
Raster = NDArray[np.uint8]
Pairs = NDArray[np.float64]

_FLAGS = pdfium.FPDF_ANNOT | pdfium.FPDF_REVERSE_BYTE_ORDER
_PRECISION = 2.0**-23  # relative precision of coordinates, which PDFium stores as float32
# PDFium draws an image over every pixel it touches, so rounding errors would widen it
_INSET = 1e-3


@dataclass(frozen=True)
class PageSide:
    """Length of one side of a page in pixels.

    Attributes:
        exact: the computed length.
        error: its maximum rounding error.
    """

    exact: float
    error: float

    @property
    def pixels(self) -> int:
        """The length rounded up, so that nothing is cut off."""
        return math.ceil(self.exact - self.error)

    def is_nearly(self, pixels: int) -> bool:
        """Return whether the length is `pixels`, rounded up or down."""
        return pixels in (self.pixels, math.floor(self.exact + self.error))


def page_sides(page: pypdfium2.PdfPage, dpi: float) -> tuple[PageSide, PageSide]:
    """Return width and height of an upright page at a resolution."""
    left, bottom, right, top = map(abs, page.get_bbox())
    error = 2 * _PRECISION * max(left, bottom, right, top) * dpi / POINTS_PER_INCH
    width, height = (side * dpi / POINTS_PER_INCH for side in page.get_size())
    return PageSide(width, error), PageSide(height, error)


def render_page(page: pypdfium2.PdfPage, size: tuple[int, int], background: Colour) -> Raster:
    """Render a page and its form fields, scaled to a size.

    Args:
        page: the page.
        size: width and height in pixels.
        background: colour of empty areas.

    Returns:
        RGB, uint8 (height, width, 3).
    """
    bitmap = _bitmap(size, background)
    arguments = (bitmap, page, 0, 0, *size, 0, _FLAGS)
    pdfium.FPDF_RenderPageBitmap(*arguments)
    _draw_form_fields(page, arguments)
    return np.array(bitmap.to_numpy())


def render_area(
    page: pypdfium2.PdfPage, corners: Pairs, size: tuple[int, int], background: Colour
) -> Raster:
    """Render a rectangle of a page, so that an image that fills it is not resampled.

    Args:
        page: the page.
        corners: float (2, 2), the upper left and lower right corner of the rectangle as (x, y)
            relative to the page size, with y downwards.
        size: width and height in pixels.
        background: colour of empty areas.

    Returns:
        RGB, uint8 (height, width, 3).
    """
    bitmap = _bitmap(size, background)
    points = corners * page.get_size()
    scale = (np.array(size) - 2 * _INSET) / (points[1] - points[0])
    offset = _INSET - points[0] * scale
    matrix = pdfium.FS_MATRIX(scale[0], 0, 0, scale[1], *offset)
    clip = pdfium.FS_RECTF(0, 0, *size)
    pdfium.FPDF_RenderPageBitmapWithMatrix(bitmap, page, matrix, clip, _FLAGS)
    _draw_form_fields(page, (bitmap, page, 0, 0, *size, 0, _FLAGS))
    return np.array(bitmap.to_numpy())


def _bitmap(size: tuple[int, int], background: Colour) -> pypdfium2.PdfBitmap:
    bitmap = pypdfium2.PdfBitmap.new_native(*size, pdfium.FPDFBitmap_BGR, rev_byteorder=True)
    bitmap.fill_rect((*background, 255), 0, 0, *size)
    return bitmap


def _draw_form_fields(page: pypdfium2.PdfPage, arguments: tuple[object, ...]) -> None:
    if page.formenv:
        pdfium.FPDF_FFLDraw(page.formenv, *arguments)
