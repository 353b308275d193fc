"""Finds PDF pages that consist of one embedded image, such as scans."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pypdfium2
import pypdfium2.raw as pdfium

from ppcli.imaging.image_choices import WHITE
from ppcli.imaging.pdf_draw import PageSide, Pairs, Raster, render_area
from ppcli.imaging.pdf_fonts import PageObjects

_MAX_SKEW = 1e-3  # relative to the side of the image
_MARGIN = 0.5  # pixels by which a scan may be smaller or larger than its page
_OUTSIDE = 1e-3  # relative to the page size


@dataclass(frozen=True)
class PlacedImage:
    """An image whose sides are parallel to those of the page.

    Positions are (x, y) relative to the size of the displayed page, with y downwards.

    Attributes:
        image: the PDFium object.
        size: width and height in pixels, in the orientation of the page.
        corner: float (2,), position of the stored image's upper left corner.
        sides: float (2, 2), vectors of the stored image's upper and left side.
    """

    image: pypdfium2.PdfImage
    size: tuple[int, int]
    corner: Pairs
    sides: Pairs

    @property
    def corners(self) -> Pairs:
        """Upper left and lower right corner on the displayed page, float (2, 2)."""
        ends = np.stack([self.corner, self.corner + self.sides.sum(axis=0)])
        return np.stack([ends.min(axis=0), ends.max(axis=0)])


def find_scan(
    page: pypdfium2.PdfPage, objects: PageObjects, sides: tuple[PageSide, PageSide]
) -> PlacedImage | None:
    """Return the image that covers a page, if its size is that of the rendered page.

    Args:
        page: the page.
        objects: all objects of the page.
        sides: width and height of the rendered page.
    """
    lengths = np.array([side.exact for side in sides])
    for item in objects:
        placed = _locate(item, page) if isinstance(item, pypdfium2.PdfImage) else None
        if placed is None or not all(
            side.is_nearly(pixels) for side, pixels in zip(sides, placed.size, strict=True)
        ):
            continue
        if (np.abs(placed.corners - [[0, 0], [1, 1]]) * lengths <= _MARGIN).all():
            return placed
    return None


def native_pixels(
    page: pypdfium2.PdfPage, objects: PageObjects, check_size: Callable[[int, int], None]
) -> Raster | None:
    """Return the stored pixels of the page's only image, in the orientation of the page.

    Args:
        page: the page.
        objects: all objects of the page.
        check_size: called with width and height before the image is decoded; may raise.

    Returns:
        RGB, uint8 (height, width, 3). None if the page has other visible content, or if the
        rendered image differs from the stored one, as it does when skewed, cropped, masked or
        recoloured.
    """
    image = _only_image(page, objects)
    placed = None if image is None else _locate(image, page)
    if placed is None or _is_cropped(placed.corners):
        return None
    check_size(*placed.size)
    try:
        stored = _rgb(placed.image.get_bitmap())
    except pypdfium2.PdfiumError:  # some encodings have no bitmap
        return None
    pixels = _orient(stored, placed.sides)
    rendered = render_area(page, placed.corners, placed.size, WHITE)
    return pixels if np.array_equal(pixels, rendered) else None


def _only_image(page: pypdfium2.PdfPage, objects: PageObjects) -> pypdfium2.PdfImage | None:
    """Return the only visible object of a page, if it is an image."""
    if pdfium.FPDFPage_GetAnnotCount(page):
        return None
    found = None
    for item in objects:
        if item.type == pdfium.FPDF_PAGEOBJ_FORM or _is_hidden_text(item):
            continue
        if found is not None or not isinstance(item, pypdfium2.PdfImage):
            return None
        found = item
    return found


def _is_hidden_text(item: pypdfium2.PdfObject) -> bool:
    if item.type != pdfium.FPDF_PAGEOBJ_TEXT:
        return False
    return bool(pdfium.FPDFTextObj_GetTextRenderMode(item) == pdfium.FPDF_TEXTRENDERMODE_INVISIBLE)


def _locate(image: pypdfium2.PdfImage, page: pypdfium2.PdfPage) -> PlacedImage | None:
    """Return the image's place on the displayed page; None if it is skewed or has no pixels."""
    corners = np.array([[0.0, 1.0, 1.0], [1.0, 1.0, 1.0], [0.0, 0.0, 1.0]])  # y upwards
    container: pypdfium2.PdfObject | None = image
    while container is not None:
        a, b, c, d, e, f = container.get_matrix().get()
        corners = corners @ np.array([[a, b, 0], [c, d, 0], [e, f, 1]])
        container = container.container
    left, bottom, right, top = page.get_bbox()
    x, y = (corners[:, 0] - left) / (right - left), (top - corners[:, 1]) / (top - bottom)
    for _ in range(page.get_rotation() // 90):
        x, y = 1 - y, x
    displayed = np.stack([x, y], axis=1)
    sides = displayed[1:] - displayed[0]
    lengths, skew = np.abs(sides).max(axis=1), np.abs(sides).min(axis=1)
    width, height = image.get_px_size()
    if min(width, height) < 1 or not (lengths > 0).all() or (skew > _MAX_SKEW * lengths).any():
        return None
    size = (height, width) if _is_transposed(sides) else (width, height)
    return PlacedImage(image, size, displayed[0], sides)


def _is_transposed(sides: Pairs) -> bool:
    return bool(abs(sides[0, 0]) < abs(sides[0, 1]))


def _is_cropped(corners: Pairs) -> bool:
    return bool((corners < -_OUTSIDE).any() or (corners > 1 + _OUTSIDE).any())


def _rgb(bitmap: pypdfium2.PdfBitmap) -> Raster:
    stored = bitmap.to_numpy()
    if stored.ndim == 2:
        return np.repeat(stored[:, :, None], 3, axis=2)
    return np.ascontiguousarray(stored[:, :, 2::-1])


def _orient(pixels: Raster, sides: Pairs) -> Raster:
    """Flip and transpose stored pixels as the page displays them.

    Args:
        pixels: the stored pixels.
        sides: vectors of the upper and the left side on the page.
    """
    upper, left = sides
    if _is_transposed(sides):
        pixels, upper, left = pixels.transpose(1, 0, 2), left, upper
    if upper[0] < 0:
        pixels = pixels[:, ::-1]
    if left[1] < 0:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
