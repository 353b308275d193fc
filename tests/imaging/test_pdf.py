"""PDF pages, compared with PDFium through pypdfium2 and with known pixels."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from PIL import Image
from pypdf import PdfReader, PdfWriter

from ppcli.errors import ErrorCode, ImageError
from ppcli.files import LocalFile
from ppcli.imaging.image_choices import WHITE, PdfImages
from ppcli.imaging.page_source import open_source
from ppcli.imaging.reading_options import ReadingOptions
from tests.imaging.pdfs import Page, pdf, stream

NATIVE = ReadingOptions(pdf_images=PdfImages.NATIVE)
SCAN = np.random.default_rng(5).integers(0, 256, (6, 8, 3)).astype(np.uint8)
SCAN = SCAN.repeat(16, axis=0).repeat(24, axis=1)
WHOLE = "q 72 0 0 36 0 0 cm /Im Do Q"
HIDDEN_TEXT = "BT 3 Tr /F 8 Tf 5 5 Td (as it was read) Tj ET"


def pages(path: Path, reading: ReadingOptions = ReadingOptions()) -> list[np.ndarray]:  # noqa: B008
    source = open_source(LocalFile(str(path)), reading)
    try:
        return [source.page(number, WHITE) for number in range(1, source.frames + 1)]
    finally:
        source.close()


def fails(path: Path, reading: ReadingOptions = ReadingOptions()) -> ImageError:  # noqa: B008
    with pytest.raises(ImageError) as caught:
        pages(path, reading)
    return caught.value


@pytest.fixture
def written(tmp_path: Path):
    """Write a PDF file with these pages."""

    def write(*given: Page) -> Path:
        path = tmp_path / "some.pdf"
        path.write_bytes(pdf(given))
        return path

    return write


@pytest.mark.parametrize(("dpi", "with_noise"), [(60.0, 5), (150.0, 31)])
def test_pages_are_those_of_pdfium(corpus: Path, dpi: float, with_noise: int) -> None:
    """Rounding errors are ignored: 792 points at 150 dpi are 1650 pixels, not 1651."""
    files = [*corpus.glob("images/pdf/*.pdf"), *corpus.glob("hostile/*.pdf")]
    compared = noisy = 0
    for path in files:
        document = pypdfium2.PdfDocument(path)
        document.init_forms()
        ours = pages(path, ReadingOptions(dpi=dpi))
        for page, raster in zip(document, ours, strict=True):
            theirs = np.asarray(page.render(scale=dpi / 72).to_pil().convert("RGB"))
            if raster.shape != theirs.shape:
                noisy += 1
                theirs = np.asarray(page.render(scale=dpi / 72 * (1 - 1e-6)).to_pil())
            assert np.array_equal(raster, theirs)
            compared += 1
    assert (compared, noisy) == (45, with_noise)


def test_what_is_filled_into_a_form_shows(tmp_path: Path) -> None:
    """Add a text field and its appearance, which PDFium draws separately from the page."""
    field = "<</Type/Annot/Subtype/Widget/FT/Tx/T(a)/V(x)/Rect[0 16 40 36]/AP<</N 6 0 R>>/F 4>>"
    look = stream("/Type/XObject/Subtype/Form/BBox[0 0 40 20]", b"1 0 0 rg 0 0 40 20 re f")
    page = Page("", of_page="/Annots[7 0 R]")
    path = tmp_path / "form.pdf"
    path.write_bytes(pdf([page], "/AcroForm<</Fields[7 0 R]>>", [look, field.encode()]))
    (raster,) = pages(path, ReadingOptions(dpi=72))
    assert raster[10, 30].tolist() == [255, 0, 0]
    assert raster[30, 60].tolist() == [255, 255, 255]


def test_the_background_shows_where_nothing_is_drawn(written) -> None:
    source = open_source(LocalFile(str(written(Page()))), ReadingOptions(dpi=72))
    raster = source.page(1, (10, 20, 30))
    source.close()
    assert raster.shape == (36, 72, 3)
    assert raster[0, 0].tolist() == [10, 20, 30]
    assert raster[10, 20].tolist() == [0, 0, 255]


def test_what_is_no_pdf_inside(tmp_path: Path) -> None:
    whole = pdf([Page()] * 3)
    cases = {
        "encrypted.pdf": ErrorCode.ENCRYPTED,
        "half.pdf": ErrorCode.TRUNCATED,
        "noise.pdf": ErrorCode.CORRUPT,
        "none.pdf": ErrorCode.CORRUPT,
        "empty.pdf": ErrorCode.EMPTY,
        "gone.pdf": ErrorCode.NOT_FOUND,
    }
    (tmp_path / "half.pdf").write_bytes(whole[:60])
    (tmp_path / "noise.pdf").write_bytes(b"%PDF-1.7\n" + b"\x93" * 3000 + b"%%EOF")
    (tmp_path / "none.pdf").write_bytes(pdf([]))
    (tmp_path / "empty.pdf").touch()
    writer = PdfWriter(clone_from=PdfReader(BytesIO(whole)))
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(tmp_path / "encrypted.pdf")
    assert {name: fails(tmp_path / name).code for name in cases} == cases


def test_a_password_that_is_empty_asks_nobody(tmp_path: Path) -> None:
    writer = PdfWriter(clone_from=PdfReader(BytesIO(pdf([Page()]))))
    writer.encrypt("", "of the owner", algorithm="RC4-128")
    writer.write(tmp_path / "open.pdf")
    assert len(pages(tmp_path / "open.pdf")) == 1


def test_junk_before_the_header(tmp_path: Path) -> None:
    path = tmp_path / "mailed.PDF"
    path.write_bytes(b"Content-Type: application/pdf\r\n\r\n" + pdf([Page(), Page()]))
    assert len(pages(path)) == 2


def test_good_pages_of_a_broken_file(tmp_path: Path) -> None:
    raw = pdf([Page()] * 4)
    path = tmp_path / "some.pdf"
    path.write_bytes(raw.replace(b"6 0 obj\n<</Type/Page/", b"6 0 obj\n<</Type/Sage/"))
    source = open_source(LocalFile(str(path)), ReadingOptions())
    assert source.frames == 4
    good = [source.page(number, WHITE) for number in (1, 3, 4)]
    with pytest.raises(ImageError, match="page 2") as caught:
        source.page(2, WHITE)
    assert caught.value.code is ErrorCode.CORRUPT
    assert np.array_equal(source.page(1, WHITE), good[0])
    source.close()


def test_a_long_file_is_opened_anew_and_its_pages_stay_the_same(
    tmp_path: Path, monkeypatch
) -> None:
    path = tmp_path / "long.pdf"
    path.write_bytes(pdf([Page(f"{n} 0 0 rg {n} 4 9 9 re f") for n in range(12)]))
    before = pages(path)
    opened = []
    stock = pypdfium2.PdfDocument
    monkeypatch.setattr(pypdfium2, "PdfDocument", lambda file: opened.append(1) or stock(file))
    monkeypatch.setattr("ppcli.imaging.pdf._BYTES_HELD", path.stat().st_size // 4)
    assert all(map(np.array_equal, before, pages(path)))
    assert 4 <= len(opened) <= 6


def test_a_page_that_is_too_large_is_not_drawn(written) -> None:
    huge = Page(size=(14_400, 14_400))
    path = written(Page(), huge)
    error = fails(path, ReadingOptions(dpi=2880))  # it would take a terabyte
    assert error.code is ErrorCode.TOO_LARGE
    assert "576,000×576,000" in error.message
    assert "--dpi" in error.message


TURNS = {
    0: lambda image: image,
    90: lambda image: np.rot90(image, -1),
    180: lambda image: np.rot90(image, 2),
    270: lambda image: np.rot90(image, 1),
}
PLACES = {
    "q 72 0 0 36 0 0 cm /Im Do Q": lambda image: image,
    "q -72 0 0 36 72 0 cm /Im Do Q": lambda image: image[:, ::-1],
    "q 72 0 0 -36 0 36 cm /Im Do Q": lambda image: image[::-1],
    "q 0 36 72 0 0 0 cm /Im Do Q": lambda image: np.rot90(image[:, ::-1], 1)[::-1, ::-1],
    "q 0 36 -72 0 72 0 cm /Im Do Q": lambda image: np.rot90(image, 1),
    "q 0 -36 72 0 0 36 cm /Im Do Q": lambda image: np.rot90(image, -1),
}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("place", PLACES)
def test_own_pixels_stand_as_the_page_shows_them(written, turn: int, place: str) -> None:
    path = written(Page(place, image=SCAN, of_page=f"/Rotate {turn}"))
    (native,) = pages(path, NATIVE)
    assert np.array_equal(native, TURNS[turn](PLACES[place](SCAN)))
    (drawn,) = pages(path, ReadingOptions(dpi=288))
    small = Image.fromarray(np.ascontiguousarray(native)).resize(drawn.shape[1::-1])
    assert np.abs(np.asarray(small, float) - drawn).mean() < 30
    assert np.abs(np.asarray(small, float)[::-1, ::-1] - drawn).mean() > 60


@pytest.mark.parametrize(
    ("page", "own"),
    [
        (Page(WHOLE, image=SCAN), True),
        (Page(WHOLE + HIDDEN_TEXT, image=SCAN), True),
        (Page("q 60 0 0 30 6 3 cm /Im Do Q", image=SCAN), True),
        (Page(WHOLE + HIDDEN_TEXT.replace("3 Tr", "0 Tr"), image=SCAN), False),
        (Page(WHOLE + " 0 0 9 9 re f", image=SCAN), False),
        (Page(WHOLE + " " + WHOLE, image=SCAN), False),
        (Page("q 70 9 -9 35 5 0 cm /Im Do Q", image=SCAN), False),
        (Page("q 144 0 0 72 0 0 cm /Im Do Q", image=SCAN), False),
        (Page("0 0 20 20 re W n " + WHOLE, image=SCAN), False),
        (Page(WHOLE, image=SCAN, of_image="/SMask 6 0 R"), False),
        (Page(WHOLE, image=SCAN, of_image="/Width 0"), False),
        (Page(), False),
    ],
    ids=lambda value: value.content[:24] if isinstance(value, Page) else "",
)
def test_own_pixels_only_where_the_page_is_one_image(tmp_path: Path, page: Page, own: bool) -> None:
    mask = "/Type/XObject/Subtype/Image/Width 1/Height 1/BitsPerComponent 8/ColorSpace/DeviceGray"
    path = tmp_path / "some.pdf"
    path.write_bytes(pdf([page], more=[stream(mask, b"\x30")]))
    (native,) = pages(path, NATIVE)
    (drawn,) = pages(path)
    assert np.array_equal(native, SCAN if own else drawn)


def test_own_pixels_are_limited_before_they_are_decoded(written) -> None:
    reading = ReadingOptions(pdf_images=PdfImages.NATIVE, max_image_pixels=96 * 192 - 1)
    error = fails(written(Page(WHOLE, image=SCAN)), reading)
    assert error.code is ErrorCode.TOO_LARGE
    assert "without --pdf-images native" in error.message


def test_own_pixels_have_the_colours_that_show(written) -> None:
    """The image is stored inverted."""
    (native,) = pages(written(Page(WHOLE, image=SCAN, of_image="/Decode[1 0 1 0 1 0]")), NATIVE)
    assert native.shape == SCAN.shape
    assert np.abs(native.astype(int) - (255 - SCAN)).max() <= 1
