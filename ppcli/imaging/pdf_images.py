"""Pages of a PDF that are one embedded image, such as scans."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pypdfium2
import pypdfium2.raw as pdfium

from ppcli.imaging.image_choices import WHITE
from ppcli.imaging.pdf_draw import Pairs, Raster, Side, drawn_around
from ppcli.imaging.pdf_fonts import Things

_ASKEW = 1e-3  # of the image's own side
_MARGIN = 0.5  # pixels of a page that a scan of it may leave free, or go beyond
_OUTSIDE = 1e-3  # shares of the page


@dataclass(frozen=True)
class Placed:
    """An image whose sides go along the page's.

    Attributes:
        image: as PDFium has it.
        size: its width and height in pixels, as the page shows it.
        corner: float (2,): where its own upper left corner lies.
        sides: float (2, 2): its own upper and left side. All are (right, down), in shares of the
            page as it is shown.
    """

    image: pypdfium2.PdfImage
    size: tuple[int, int]
    corner: Pairs
    sides: Pairs

    @property
    def corners(self) -> Pairs:
        """The upper left and the lower right corner as they are shown, float (2, 2)."""
        ends = np.stack([self.corner, self.corner + self.sides.sum(axis=0)])
        return np.stack([ends.min(axis=0), ends.max(axis=0)])


def scan_of(page: pypdfium2.PdfPage, things: Things, sides: tuple[Side, Side]) -> Placed | None:
    """The image that covers a page, if it has just the pixels that the page should have.

    Args:
        page: of a PDF.
        things: all objects of the page.
        sides: of the page, in pixels.
    """
    lengths = np.array([side.exact for side in sides])
    for thing in things:
        placed = _placed(thing, page) if isinstance(thing, pypdfium2.PdfImage) else None
        if placed is None or not all(
            side.is_nearly(pixels) for side, pixels in zip(sides, placed.size, strict=True)
        ):
            continue
        if (np.abs(placed.corners - [[0, 0], [1, 1]]) * lengths <= _MARGIN).all():
            return placed
    return None


def own_pixels(
    page: pypdfium2.PdfPage, things: Things, check_size: Callable[[int, int], None]
) -> Raster | None:
    """The pixels of the page's only image, turned as the page shows it.

    None where there is more on the page, or where it shows the image otherwise than it is stored:
    askew, cut off, through a mask, in other colours. That is seen by drawing it pixel by pixel.

    Args:
        page: of a PDF.
        things: all objects of the page.
        check_size: called with width and height before the image is decoded; may raise.

    Returns:
        RGB, uint8 (height, width, 3).
    """
    image = _only_image(page, things)
    placed = None if image is None else _placed(image, page)
    if placed is None or _goes_outside(placed.corners):
        return None
    check_size(*placed.size)
    try:
        stored = _rgb(placed.image.get_bitmap())
    except pypdfium2.PdfiumError:  # some encodings cannot be had raw
        return None
    pixels = _turned(stored, placed.sides)
    shown = drawn_around(page, placed.corners, placed.size, WHITE)
    return pixels if np.array_equal(pixels, shown) else None


def _only_image(page: pypdfium2.PdfPage, things: Things) -> pypdfium2.PdfImage | None:
    """The one thing on a page that shows, if it is an image; hidden text under it does not."""
    if pdfium.FPDFPage_GetAnnotCount(page):
        return None
    found = None
    for thing in things:
        if thing.type == pdfium.FPDF_PAGEOBJ_FORM or _is_hidden_text(thing):
            continue
        if found is not None or not isinstance(thing, pypdfium2.PdfImage):
            return None
        found = thing
    return found


def _is_hidden_text(thing: pypdfium2.PdfObject) -> bool:
    if thing.type != pdfium.FPDF_PAGEOBJ_TEXT:
        return False
    return bool(pdfium.FPDFTextObj_GetTextRenderMode(thing) == pdfium.FPDF_TEXTRENDERMODE_INVISIBLE)


def _placed(image: pypdfium2.PdfImage, page: pypdfium2.PdfPage) -> Placed | None:
    """Where an image lies on the page as it is shown; None if it is askew, or has no pixels."""
    corners = np.array([[0.0, 1.0, 1.0], [1.0, 1.0, 1.0], [0.0, 0.0, 1.0]])  # y goes up
    thing: pypdfium2.PdfObject | None = image
    while thing is not None:
        a, b, c, d, e, f = thing.get_matrix().get()
        corners = corners @ np.array([[a, b, 0], [c, d, 0], [e, f, 1]])
        thing = thing.container
    left, bottom, right, top = page.get_bbox()
    x, y = (corners[:, 0] - left) / (right - left), (top - corners[:, 1]) / (top - bottom)
    for _ in range(page.get_rotation() // 90):
        x, y = 1 - y, x
    shown = np.stack([x, y], axis=1)
    sides = shown[1:] - shown[0]
    lengths, off = np.abs(sides).max(axis=1), np.abs(sides).min(axis=1)
    width, height = image.get_px_size()
    if min(width, height) < 1 or not (lengths > 0).all() or (off > _ASKEW * lengths).any():
        return None
    size = (height, width) if _lies_on_its_side(sides) else (width, height)
    return Placed(image, size, shown[0], sides)


def _lies_on_its_side(sides: Pairs) -> bool:
    return bool(abs(sides[0, 0]) < abs(sides[0, 1]))


def _goes_outside(corners: Pairs) -> bool:
    return bool((corners < -_OUTSIDE).any() or (corners > 1 + _OUTSIDE).any())


def _rgb(bitmap: pypdfium2.PdfBitmap) -> Raster:
    """A bitmap of PDFium as RGB."""
    stored = bitmap.to_numpy()
    if stored.ndim == 2:
        return np.repeat(stored[:, :, None], 3, axis=2)
    return np.ascontiguousarray(stored[:, :, 2::-1])


def _turned(pixels: Raster, sides: Pairs) -> Raster:
    """Pixels so that the image stands as the page shows it.

    Args:
        pixels: as they are stored.
        sides: where the upper and the left side go, (right, down).
    """
    upper, left = sides
    if _lies_on_its_side(sides):
        pixels, upper, left = pixels.transpose(1, 0, 2), left, upper
    if upper[0] < 0:
        pixels = pixels[:, ::-1]
    if left[1] < 0:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
