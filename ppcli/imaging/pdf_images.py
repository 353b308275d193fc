"""The pixels of a PDF page that is one embedded image, such as a scan."""

from collections.abc import Callable

import numpy as np
import pypdfium2
import pypdfium2.raw as pdfium
from numpy.typing import NDArray
from PIL import Image

_LOOK_PIXELS = 512  # the longer side of the drawn page that the image is compared with
_LOOK_BLOCKS = 32  # along each side, compared by their means, which smoothing leaves alone
_UNLIKE = 40  # levels between two blocks; half a pixel at an edge gives 8
_ASKEW = 1e-3  # of the image's own side
_DEEPEST = 8
Raster = NDArray[np.uint8]
Pairs = NDArray[np.float64]


def own_pixels(page: pypdfium2.PdfPage, check_size: Callable[[int, int], None]) -> Raster | None:
    """The pixels of the page's only image, turned as the page shows it.

    None where there is more on the page, or where it shows the image otherwise than it is stored:
    askew, cut off, through a mask. That is seen by drawing the page small, and comparing.

    Args:
        page: of a PDF.
        check_size: called with width and height before the image is decoded; may raise.

    Returns:
        RGB, uint8 (height, width, 3).
    """
    image = _only_image(page)
    if image is None:
        return None
    sides, size = _sides_on_page(image, page), image.get_px_size()
    if sides is None or min(size) < 1:
        return None
    check_size(*size)
    try:
        pixels = _rgb(image.get_bitmap())
    except pypdfium2.PdfiumError:  # some encodings cannot be had raw
        return None
    pixels = _turned(pixels, sides[1:])
    return pixels if _looks_like(pixels, page, sides) else None


def _only_image(page: pypdfium2.PdfPage) -> pypdfium2.PdfImage | None:
    """The one thing on a page that shows, if it is an image; hidden text under it does not."""
    if pdfium.FPDFPage_GetAnnotCount(page):
        return None
    found = None
    for thing in page.get_objects(max_depth=_DEEPEST):
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


def _sides_on_page(image: pypdfium2.PdfImage, page: pypdfium2.PdfPage) -> Pairs | None:
    """Where an image lies on the page as it is shown.

    Returns:
        float (3, 2): its upper left corner, its upper and its left side, as (right, down) in shares
        of the page; None when no side of it goes along the page's.
    """
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
    shown[1:] -= shown[0]
    lengths = np.abs(shown[1:]).max(axis=1)
    off = np.abs(shown[1:]).min(axis=1)
    return shown if (lengths > 0).all() and (off <= _ASKEW * lengths).all() else None


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
    if abs(upper[0]) < abs(upper[1]):
        pixels, upper, left = pixels.transpose(1, 0, 2), left, upper
    if upper[0] < 0:
        pixels = pixels[:, ::-1]
    if left[1] < 0:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _looks_like(pixels: Raster, page: pypdfium2.PdfPage, sides: Pairs) -> bool:
    """Whether the page, drawn small, shows just these pixels."""
    scale = _LOOK_PIXELS / max(page.get_size())
    drawn = np.array(page.render(scale=scale, rev_byteorder=True).to_numpy())
    height, width = drawn.shape[:2]
    ends = np.stack([sides[0], sides[0] + sides[1] + sides[2]]) * (width, height)
    (left, upper), (right, lower) = np.round([ends.min(axis=0), ends.max(axis=0)]).astype(int)
    if left < -1 or upper < -1 or right > width + 1 or lower > height + 1:
        return False  # a part of it lies outside the page
    left, upper = max(0, left), max(0, upper)
    shown = drawn[upper:lower, left:right]
    if not shown.size:
        return False
    return bool(np.abs(_blocks(pixels) - _blocks(shown)).max() < _UNLIKE)


def _blocks(pixels: Raster) -> NDArray[np.int64]:
    """The mean colours of blocks, (32, 32, 3)."""
    size = (_LOOK_BLOCKS, _LOOK_BLOCKS)
    means = Image.fromarray(pixels).resize(size, Image.Resampling.BOX)
    return np.asarray(means).astype(np.int64)
