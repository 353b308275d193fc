"""PDF pages as pixels: how many, and drawing them."""

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
_NOISE = 2.0**-23  # of the larger coordinate: PDFium holds them in single precision
# PDFium stretches an image over every pixel that it touches, so that noise would make it wider.
_INSET = 1e-3


@dataclass(frozen=True)
class Side:
    """How long one side of a page is, in pixels.

    Attributes:
        exact: as the resolution has it.
        noise: how much of that may come from single precision.
    """

    exact: float
    noise: float

    @property
    def pixels(self) -> int:
        """So many that nothing is cut off."""
        return math.ceil(self.exact - self.noise)

    def is_nearly(self, pixels: int) -> bool:
        """Whether it is these pixels, rounded up or down."""
        return pixels in (self.pixels, math.floor(self.exact + self.noise))


def sides_at(page: pypdfium2.PdfPage, dpi: float) -> tuple[Side, Side]:
    """The width and the height of a page, upright, at a resolution."""
    left, bottom, right, top = map(abs, page.get_bbox())
    noise = 2 * _NOISE * max(left, bottom, right, top) * dpi / POINTS_PER_INCH
    width, height = (side * dpi / POINTS_PER_INCH for side in page.get_size())
    return Side(width, noise), Side(height, noise)


def drawn(page: pypdfium2.PdfPage, size: tuple[int, int], background: Colour) -> Raster:
    """The page, stretched over so many pixels.

    Args:
        page: what its forms hold is drawn too.
        size: width and height.
        background: what shows where nothing is drawn.

    Returns:
        RGB, uint8 (height, width, 3).
    """
    bitmap = _bitmap(size, background)
    place = (bitmap, page, 0, 0, *size, 0, _FLAGS)
    pdfium.FPDF_RenderPageBitmap(*place)
    _draw_forms(page, place)
    return np.array(bitmap.to_numpy())


def drawn_around(
    page: pypdfium2.PdfPage, corners: Pairs, size: tuple[int, int], background: Colour
) -> Raster:
    """What a rectangle of the page shows, so that an image of its shape is not resampled.

    Args:
        page: of a PDF.
        corners: float (2, 2): the upper left and the lower right corner of the rectangle, as
            (right, down) in shares of the page.
        size: width and height in pixels.
        background: what shows where nothing is drawn.

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
    _draw_forms(page, (bitmap, page, 0, 0, *size, 0, _FLAGS))
    return np.array(bitmap.to_numpy())


def _bitmap(size: tuple[int, int], background: Colour) -> pypdfium2.PdfBitmap:
    bitmap = pypdfium2.PdfBitmap.new_native(*size, pdfium.FPDFBitmap_BGR, rev_byteorder=True)
    bitmap.fill_rect((*background, 255), 0, 0, *size)
    return bitmap


def _draw_forms(page: pypdfium2.PdfPage, place: tuple[object, ...]) -> None:
    if page.formenv:
        pdfium.FPDF_FFLDraw(page.formenv, *place)
