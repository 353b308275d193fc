"""Native pixels of an image are used only if the page shows exactly those."""

import io
from pathlib import Path

import numpy as np
import pytest

from ppcli.files import LocalFile
from ppcli.imaging.image_choices import WHITE, PdfImages
from ppcli.imaging.page_source import open_source
from ppcli.imaging.pdf import PdfSource
from ppcli.imaging.reading_options import ReadingOptions
from tests.imaging.pdfs import Page, pdf, stream

SIZE = 200, 100
IMAGE = np.random.default_rng(2).integers(0, 256, (SIZE[1], SIZE[0], 3)).astype(np.uint8)
IMAGE[::2] = 240
IMAGE[40] = 0  # a line that may be hidden
WHOLE = "q 72 0 0 36 0 0 cm /Im Do Q"


def taken(document: bytes, images: PdfImages) -> np.ndarray:
    source = PdfSource(io.BytesIO(document), ReadingOptions(dpi=90, pdf_images=images))
    try:
        return source.page(1, WHITE)
    finally:
        source.close()


def is_drawn(document: bytes) -> bool:
    """Return whether the page was rendered; if not, assert that the pixels are the image's."""
    native, drawn = (taken(document, images) for images in (PdfImages.NATIVE, PdfImages.RENDER))
    if native.shape == drawn.shape:
        assert np.array_equal(native, drawn)
        return True
    assert np.array_equal(native, IMAGE)
    return False


def gray(values: np.ndarray) -> bytes:
    height, width = values.shape
    entries = f"/Width {width}/Height {height}/BitsPerComponent 8/ColorSpace/DeviceGray"
    return stream(f"/Type/XObject/Subtype/Image{entries}", values.tobytes())


def bits(values: np.ndarray) -> bytes:
    height, width = values.shape
    entries = f"/Width {width}/Height {height}/ImageMask true/BitsPerComponent 1"
    return stream(f"/Type/XObject/Subtype/Image{entries}", np.packbits(values, axis=1).tobytes())


SHOWN = np.full((SIZE[1], SIZE[0]), 255, np.uint8)
LINE = SHOWN.copy()
LINE[40] = 0
FAINT = SHOWN.copy()
FAINT[40, 100] = 200  # of one pixel
STATE = "/ExtGState<</G {}>>"


@pytest.mark.parametrize(
    ("entry", "mask", "drawn"),
    [
        ("/SMask 6 0 R", gray(SHOWN), False),
        ("/SMask 6 0 R", gray(LINE), True),
        ("/SMask 6 0 R", gray(FAINT), True),
        ("/SMask 6 0 R", gray(LINE[::4, ::4]), True),
        ("/Mask 6 0 R", bits(SHOWN == 0), False),
        ("/Mask 6 0 R", bits(LINE == 0), True),
        ("/Mask[0 0 0 0 0 0]", gray(SHOWN), True),
        ("/Mask[1 1 0 0 1 1]", gray(SHOWN), False),  # a colour that it does not have
    ],
)
def test_masks(entry: str, mask: bytes, drawn: bool) -> None:
    page = Page(WHOLE, image=IMAGE, of_image=entry)
    assert is_drawn(pdf([page], more=[mask])) is drawn


@pytest.mark.parametrize(
    ("state", "drawn"),
    [
        ("<</ca 1/BM/Normal>>", False),
        ("<</ca 0.99>>", True),
        ("<</BM/Difference>>", False),  # from nothing: paper is not part of the page's group
        ("<</SMask<</S/Luminosity/G 6 0 R>>>>", True),
    ],
)
def test_transparency(state: str, drawn: bool) -> None:
    group = stream(
        "/Type/XObject/Subtype/Form/BBox[0 0 72 36]/Group<</S/Transparency/CS/DeviceGray>>",
        b"1 g 0 0 72 36 re f 0 g 0 20 72 1 re f",
    )
    document = pdf([Page("/G gs " + WHOLE, image=IMAGE)], more=[group])
    given = document.replace(
        b"/Resources<<", b"/Resources<</ExtGState<</G " + state.encode() + b">>"
    )
    assert is_drawn(given) is drawn


@pytest.mark.parametrize(
    ("content", "drawn"),
    [
        (WHOLE, False),
        ("q 36 0 0 18 18 9 cm /Im Do Q", False),  # smaller than the page
        ("0 0 72 36 re W n " + WHOLE, False),  # cuts nothing off
        ("0 0 72 35 re W n " + WHOLE, True),
        ("0 0 m 72 0 l 0 36 l h W n " + WHOLE, True),
        (WHOLE + " BT 3 Tr /F 9 Tf 9 9 Td (hidden) Tj ET", False),
        (WHOLE + " BT 7 Tr /F 9 Tf 9 9 Td (clips) Tj ET", True),
        (WHOLE + " BT 1 1 1 rg /F 4 Tf 9 9 Td (white) Tj ET", True),
        (WHOLE + " 0 0 0 rg 70 30 .1 .1 re f", True),
        ("q 36 0 0 18 0 0 cm /Im Do Q 0 0 0 rg 50 20 1 1 re f", True),  # beside the image
        ("q 72.5 0 0 36 0 0 cm /Im Do Q", True),  # goes beyond the page
        ("q 72 0 3 36 0 0 cm /Im Do Q", True),  # sheared
    ],
)
def test_what_else_is_on_the_page(content: str, drawn: bool) -> None:
    assert is_drawn(pdf([Page(content, image=IMAGE)])) is drawn


def test_a_masked_line_of_a_given_file(corpus: Path) -> None:
    rasters = []
    for images in PdfImages:
        path = corpus.parent / "cases" / "inputs" / "smask_line20.pdf"
        source = open_source(LocalFile(str(path)), ReadingOptions(dpi=75, pdf_images=images))
        rasters.append(source.page(1, WHITE))
        source.close()
    assert np.array_equal(*rasters)


@pytest.mark.parametrize("name", ["nemotron_multipage", "sample_with_rotation_mismatch"])
def test_real_scans_stay_native(corpus: Path, name: str) -> None:
    path = corpus / "images" / "pdf" / f"docling__sources_{name}.pdf"
    source = open_source(LocalFile(str(path)), ReadingOptions(dpi=20, pdf_images=PdfImages.NATIVE))
    assert min(source.page(1, WHITE).shape[:2]) > 2000
    source.close()
