"""Damaged embedded fonts: their text is not drawn, and a warning says so."""

import io
import zlib
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from ppcli.imaging.image_choices import WHITE
from ppcli.imaging.pdf import PdfSource
from ppcli.imaging.reading_options import ReadingOptions
from tests.imaging.pdfs import Page, pdf, stream

FONT = (Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSansMono.ttf").read_bytes()
PACKED = zlib.compress(FONT)
USES = "BT /G 20 Tf 5 10 Td (ABC) Tj ET"


def page_with(file: bytes, content: str = USES) -> tuple[np.ndarray, str | None]:
    """Draw a page with an embedded font; return its pixels and warning."""
    font = (
        b"<</Type/Font/Subtype/TrueType/BaseFont/Held/Encoding/WinAnsiEncoding/FirstChar 65"
        b"/LastChar 67/Widths[600 600 600]/FontDescriptor 7 0 R>>"
    )
    descriptor = (
        b"<</Type/FontDescriptor/FontName/Held/Flags 32/FontBBox[0 0 1000 1000]/ItalicAngle 0"
        b"/Ascent 800/Descent -200/CapHeight 700/StemV 80/FontFile2 8 0 R>>"
    )
    document = pdf([Page(content)], more=[font, descriptor, file])
    document = document.replace(b"/Font<<", b"/Font<</G 6 0 R", 1)
    source = PdfSource(io.BytesIO(document), ReadingOptions(dpi=72))
    try:
        return source.page(1, WHITE), source.warning
    finally:
        source.close()


@pytest.mark.parametrize(
    "whole", [stream("", FONT), stream("/Filter/FlateDecode", PACKED)], ids=["plain", "packed"]
)
def test_a_whole_font_is_not_doubted(whole: bytes) -> None:
    raster, warning = page_with(whole)
    assert (raster < 128).sum() > 100
    assert warning is None


@pytest.mark.parametrize(
    "damaged",
    [
        stream("", FONT[: len(FONT) // 2]),
        stream("", FONT[:60]),
        stream("/Filter/FlateDecode", PACKED[: len(PACKED) // 2]),
        stream("/Filter/FlateDecode", PACKED[:99] + bytes(999) + PACKED[1098:]),
    ],
    ids=["half", "start", "half packed", "zeros"],
)
def test_a_damaged_font_is_told(damaged: bytes) -> None:
    _, warning = page_with(damaged)
    assert warning is not None
    assert "the font Held" in warning
    assert page_with(damaged, "0 0 1 rg 10 10 30 30 re f")[1] is None, "a font that is not used"
