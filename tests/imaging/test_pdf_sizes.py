"""The size of a PDF page in pixels, and scans at their own resolution."""

import io
import math
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ppcli.errors import ErrorCode, ImageError
from ppcli.imaging.image_choices import WHITE, PdfImages
from ppcli.imaging.pdf import PdfSource
from ppcli.imaging.reading_options import ReadingOptions
from tests.imaging.pdfs import Page, pdf, stream

RESOLUTIONS = [72.0, 96.0, 100.0, 110.0, 144.0, 150.0, 200.0, 240.0, 300.0, 400.0, 600.0]
NOISE = np.random.default_rng(3).integers(0, 256, 700 * 700 * 3).astype(np.uint8)


def drawn(document: bytes, reading: ReadingOptions) -> np.ndarray:
    source = PdfSource(io.BytesIO(document), reading)
    try:
        return source.page(1, WHITE)
    finally:
        source.close()


def sized(page: Page, **options: object) -> tuple[int, int]:
    """Return width and height."""
    return drawn(pdf([page]), ReadingOptions(**options)).shape[1::-1]


@given(
    st.decimals(4, 90, places=6),
    st.decimals(4, 90, places=6),
    st.decimals(-700, 700, places=2),
    st.sampled_from(RESOLUTIONS),
)
def test_sides_are_rounded_up_from_what_is_written(
    width: Decimal, height: Decimal, left: Decimal, dpi: float
) -> None:
    box = f"/MediaBox[{left} {left} {left + width} {left + height}]"
    document = pdf([Page("")]).replace(b"/MediaBox[0 0 72.0 36.0]", box.encode())
    found = drawn(document, ReadingOptions(dpi=dpi)).shape[1::-1]
    for side, pixels in zip((width, height), found, strict=True):
        exact = side * int(dpi) / 72
        assert pixels in (math.ceil(exact), math.ceil(exact - Decimal("0.002")))


@pytest.mark.parametrize(
    ("points", "dpi", "pixels"),
    [
        ((612, 792), 150.0, (1275, 1650)),
        ((595.2, 841.92), 150.0, (1240, 1754)),
        ((595.276, 841.89), 300.0, (2481, 3508)),
        ((595, 842), 300.0, (2480, 3509)),
        ((612.001, 792), 150.0, (1276, 1650)),
        ((100, 100), 97.3, (136, 136)),
    ],
)
def test_sizes_of_paper(points, dpi: float, pixels) -> None:
    assert sized(Page("", size=points), dpi=dpi) == pixels


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("2", 2), ("2.0", 2), ("0.5", 0.5), ("1", 1)]
    + [(bad, 1) for bad in ("0", "-2", "(2)", "true", "null", "[2]", "/Two")],
)
def test_units_of_a_page(unit: str, factor: float) -> None:
    assert sized(Page(of_page=f"/UserUnit {unit}"), dpi=72) == (72 * factor, 36 * factor)


def test_a_unit_is_not_inherited() -> None:
    document = pdf([Page()]).replace(b"/Type/Pages", b"/Type/Pages/UserUnit 2", 1)
    assert drawn(document, ReadingOptions(dpi=72)).shape == (36, 72, 3)


def test_the_limit_counts_units() -> None:
    with pytest.raises(ImageError) as caught:
        sized(Page(of_page="/UserUnit 5000"), dpi=150)
    assert caught.value.code is ErrorCode.TOO_LARGE
    assert "750,000×375,000" in caught.value.message


def scan(image: np.ndarray, points: tuple[Decimal, Decimal], **more: str) -> bytes:
    width, height = points
    content = f"q {width} 0 0 {height} 0 0 cm /Im Do Q"
    return pdf([Page(content + more.pop("after", ""), points, image, **more)])


def noise(width: int, height: int) -> np.ndarray:
    return NOISE[: width * height * 3].reshape(height, width, 3)


@given(
    st.integers(30, 700),
    st.integers(30, 700),
    st.sampled_from(RESOLUTIONS),
    st.integers(2, 6),
    st.sampled_from([0, 90, 180, 270]),
)
def test_a_scan_at_its_own_resolution_gives_its_own_pixels(
    width: int, height: int, dpi: float, places: int, turn: int
) -> None:
    image = noise(width, height)
    points = tuple(round(side * 72 / Decimal(dpi), places) for side in (width, height))
    raster = drawn(scan(image, points, of_page=f"/Rotate {turn}"), ReadingOptions(dpi=dpi))
    assert np.array_equal(raster, np.rot90(image, -turn // 90))


@pytest.mark.parametrize(
    ("pixels", "points"),
    [
        ((248, 351), (59.5276, 84.1890)),
        ((249, 350), (59.5276, 84.1890)),
        ((248, 351), (59.6, 84.1)),
    ],
)
def test_a_scan_decides_how_its_page_is_rounded(pixels, points) -> None:
    """The page has 248.03 × 350.79 pixels."""
    image = noise(*pixels)
    assert np.array_equal(drawn(scan(image, points), ReadingOptions(dpi=300)), image)


def test_other_images_do_not() -> None:
    reading = ReadingOptions(dpi=300)
    points = (59.5276, 84.1890)
    usual = (351, 249, 3)
    assert drawn(scan(noise(247, 351), points), reading).shape == usual  # a pixel less
    assert drawn(scan(noise(124, 175), points), reading).shape == usual  # half the resolution
    whole = (72, 84.1890)  # 300 pixels wide, neither more nor less
    assert drawn(scan(noise(301, 351), whole), reading).shape == (351, 300, 3)
    small = Page("q 50 0 0 84.189 0 0 cm /Im Do Q", points, noise(248, 350))
    assert drawn(pdf([small]), reading).shape == usual
    askew = Page("q 59.5 2 -2 84.1 0 0 cm /Im Do Q", points, noise(248, 350))
    assert drawn(pdf([askew]), reading).shape == usual


def test_what_lies_on_a_scan_is_drawn() -> None:
    image = noise(240, 300)
    points = (Decimal("57.6"), Decimal(72))
    after = " 1 0 0 rg 12 12 24 24 re f"
    raster = drawn(scan(image, points, after=after), ReadingOptions(dpi=300))
    assert (raster[151:249, 51:149] == [255, 0, 0]).all()
    assert np.array_equal(raster[:149], image[:149])


def packed_as(form: str, picture: Image.Image) -> tuple[str, bytes, np.ndarray]:
    data = io.BytesIO()
    picture.save(data, form, **({"quality": 90} if form == "JPEG" else {}))
    with Image.open(data) as again:
        return (
            "/Filter/" + {"JPEG": "DCTDecode", "JPEG2000": "JPXDecode"}[form],
            data.getvalue(),
            (np.asarray(again.convert("RGB"))),
        )


PICTURE = Image.fromarray(noise(200, 150)).resize((400, 300), Image.Resampling.BICUBIC)


def gray() -> tuple[str, bytes, np.ndarray]:
    pixels = np.asarray(PICTURE.convert("L"))
    return "/ColorSpace/DeviceGray/BitsPerComponent 8", pixels.tobytes(), pixels


def bits() -> tuple[str, bytes, np.ndarray]:
    pixels = np.asarray(PICTURE.convert("1"))
    return (
        "/ColorSpace/DeviceGray/BitsPerComponent 1",
        np.packbits(pixels, axis=1).tobytes(),
        pixels,
    )


def stencil() -> tuple[str, bytes, np.ndarray]:
    pixels = np.asarray(PICTURE.convert("1"))
    return "/ImageMask true", np.packbits(pixels, axis=1).tobytes(), pixels


def palette() -> tuple[str, bytes, np.ndarray]:
    indexed = PICTURE.quantize(256)
    colours = bytes(indexed.getpalette() or []).ljust(768, b"\0")
    space = f"/ColorSpace[/Indexed/DeviceRGB 255 <{colours.hex()}>]/BitsPerComponent 8"
    return space, indexed.tobytes(), np.asarray(indexed.convert("RGB"))


def jpeg(mode: str, space: str) -> Callable[[], tuple[str, bytes, np.ndarray]]:
    def packed() -> tuple[str, bytes, np.ndarray]:
        entries, data, pixels = packed_as("JPEG", PICTURE.convert(mode))
        return f"/ColorSpace/{space}/BitsPerComponent 8{entries}", data, pixels

    return packed


SCANS = {
    "gray": gray,
    "bits": bits,
    "palette": palette,
    "jpeg": jpeg("RGB", "DeviceRGB"),
    "gray jpeg": jpeg("L", "DeviceGray"),
    "jpeg 2000": lambda: packed_as("JPEG2000", PICTURE),
}


@pytest.mark.parametrize("native", PdfImages)
@pytest.mark.parametrize("kind", SCANS)
def test_scans_of_every_kind(kind: str, native: PdfImages) -> None:
    """Compare with other decoders; JPEGs may differ by rounding."""
    entries, data, pixels = SCANS[kind]()
    own = stream(f"/Type/XObject/Subtype/Image/Width 400/Height 300{entries}", data)
    page = Page("q 96 0 0 72 0 0 cm /Im Do Q", (96, 72), image_object=own)
    raster = drawn(pdf([page]), ReadingOptions(dpi=300, pdf_images=native))
    if pixels.dtype == bool:
        pixels = pixels * np.uint8(255)
    expected = pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=2)
    assert raster.shape == expected.shape
    assert np.abs(raster.astype(int) - expected).max() <= (3 if kind == "jpeg" else 0)


def test_a_stencil_is_drawn_in_its_colour() -> None:
    entries, data, pixels = stencil()
    own = stream(f"/Type/XObject/Subtype/Image/Width 400/Height 300{entries}", data)
    page = Page("q 1 0 0 rg 96 0 0 72 0 0 cm /Im Do Q", (96, 72), image_object=own)
    for native in PdfImages:
        raster = drawn(pdf([page]), ReadingOptions(dpi=300, pdf_images=native))
        assert np.array_equal(raster, np.where(pixels[:, :, None], [255] * 3, [255, 0, 0]))
