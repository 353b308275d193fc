"""Text in fonts that are not embedded: it is drawn, or a warning says that it is not."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pypdfium2
import pytest

from ppcli.files import LocalFile
from ppcli.imaging import pdf_fonts
from ppcli.imaging.image_choices import WHITE
from ppcli.imaging.page_source import open_source
from ppcli.imaging.pdf import PdfSource
from ppcli.imaging.reading_options import ReadingOptions
from tests.imaging.pdfs import Page, pdf, stream

STANDARD = (
    *("Helvetica", "Helvetica-Bold", "Helvetica-Oblique", "Helvetica-BoldOblique"),
    *("Times-Roman", "Times-Bold", "Times-Italic", "Times-BoldItalic"),
    *("Courier", "Courier-Bold", "Courier-Oblique", "Courier-BoldOblique"),
)
CYRILLIC = "/afii10031/afii10080/afii10078"
NOBODY_HAS = "/uniE000/uniE001/uniE002"


def page_of(document: bytes) -> tuple[np.ndarray, str | None]:
    source = PdfSource(io.BytesIO(document), ReadingOptions(dpi=72))
    try:
        return source.page(1, WHITE), source.warning
    finally:
        source.close()


def ink(raster: np.ndarray) -> int:
    return int((raster < 128).any(axis=2).sum())


def lettered(
    text: str, font: str, more: Sequence[bytes] = (), before: str = "", **of_page: str
) -> bytes:
    """Write a page with text in a font, which is object 6."""
    content = f"BT /G 20 Tf {before} 5 10 Td {text} Tj ET"
    document = pdf([Page(content, (400, 36), **of_page)], more=[font.encode(), *more])
    return document.replace(b"/Font<<", b"/Font<</G 6 0 R", 1)


def simple(names: str, kind: str = "TrueType", base: str = "ArialMT") -> str:
    """Write a font whose characters from A have these glyph names."""
    encoding = f"<</Type/Encoding/BaseEncoding/WinAnsiEncoding/Differences[65 {names}]>>"
    widths = "/FirstChar 65/LastChar 70/Widths[" + "600 " * 6 + "]"
    return f"<</Type/Font/Subtype/{kind}/BaseFont/{base}/Encoding {encoding}{widths}>>"


def composite(base: str, encoding: str, order: str, more: str = "") -> tuple[str, list[bytes]]:
    """Write a composite font: three objects."""
    system = f"<</Registry(Adobe)/Ordering({order})/Supplement 2>>"
    kind = "CIDFontType2" if order == "Identity" else "CIDFontType0"
    own = (
        f"<</Type/Font/Subtype/Type0/BaseFont/{base}/Encoding/{encoding}"
        f"/DescendantFonts[7 0 R]{more}>>"
    )
    below = (
        f"<</Type/Font/Subtype/{kind}/BaseFont/{base}/CIDSystemInfo{system}/DW 1000"
        "/FontDescriptor 8 0 R>>"
    )
    measures = (
        f"<</Type/FontDescriptor/FontName/{base}/Flags 6/FontBBox[0 -200 1000 900]/ItalicAngle 0"
        "/Ascent 800/Descent -200/CapHeight 700/StemV 80>>"
    )
    return own, [below.encode(), measures.encode()]


def coded(text: str, encoding: str = "utf-16-be") -> str:
    return f"<{text.encode(encoding).hex()}>"


@pytest.mark.parametrize("name", [*STANDARD, "ArialMT", "TimesNewRomanPS-BoldMT", "Nobody"])
def test_latin_text_needs_nothing(name: str) -> None:
    font = f"<</Type/Font/Subtype/Type1/BaseFont/{name}/Encoding/WinAnsiEncoding>>"
    every = bytes(range(32, 256)).hex()
    raster, warning = page_of(lettered(f"<{every}>", font))
    assert warning is None
    assert ink(raster) > 700


@pytest.mark.parametrize("name", ["Symbol", "ZapfDingbats"])
def test_nor_do_symbols(name: str) -> None:
    font = f"<</Type/Font/Subtype/Type1/BaseFont/{name}>>"
    assert page_of(lettered("(abcde ABCDE 12345)", font))[1] is None


@pytest.mark.parametrize("kind", ["TrueType", "Type1"])
@pytest.mark.parametrize(
    "names",
    [
        CYRILLIC,
        "/uni0416/uni0436/uni042F",
        "/alpha/beta/Psi",
        "/afii57415/afii57416/afii57417",  # Arabic
        "/afii57664/afii57665/afii57666",  # Hebrew
        "/uni4E2D/uni6587/uni5B57",  # Han
    ],
)
def test_other_scripts_show(kind: str, names: str) -> None:
    document = lettered("(ABC)", simple(names, kind))
    alone = pypdfium2.PdfDocument(document)[0].render().to_numpy()
    raster, warning = page_of(document)
    assert ink(alone) == 0  # what stands in for Arial has none of them
    assert warning is None
    first, second, third = (ink(raster[:, 5 + 12 * at : 17 + 12 * at]) for at in range(3))
    assert min(first, second, third) > 5


@pytest.mark.parametrize(
    ("base", "encoding", "order", "text"),
    [
        ("HeiseiMin-W3", "UniJIS-UCS2-H", "Japan1", coded("請求書の合計")),
        ("HeiseiMin-W3", "90ms-RKSJ-H", "Japan1", coded("請求書", "cp932")),
        ("STSong-Light", "UniGB-UCS2-H", "GB1", coded("中文简体")),
        ("STSong-Light", "GBK-EUC-H", "GB1", coded("中文", "gbk")),
        ("MSung-Light", "UniCNS-UCS2-H", "CNS1", coded("中文繁體")),
        ("HYSMyeongJo-Medium", "UniKS-UCS2-H", "Korea1", coded("한국어")),
    ],
)
def test_chinese_japanese_korean(base: str, encoding: str, order: str, text: str) -> None:
    font, more = composite(base, encoding, order)
    document = lettered(text, font, more)
    raster, warning = page_of(document)
    assert ink(pypdfium2.PdfDocument(document)[0].render().to_numpy()) == 0
    assert warning is None
    assert ink(raster) > 100


def test_fonts_stand_in_for_nothing_else() -> None:
    """Latin letters look as on a page without other scripts, and later pages do not change."""
    latin = "/A/B/C"
    usual, _ = page_of(lettered("(DEDE)", simple(latin)))
    mixed, warning = page_of(lettered("(DEDEABC)", simple(CYRILLIC)))
    again, _ = page_of(lettered("(DEDE)", simple(latin)))
    assert warning is None
    assert ink(mixed[:, 53:]) > 50
    assert np.array_equal(mixed[:, :52], usual[:, :52])
    assert np.array_equal(again, usual)


def test_what_no_font_has_is_told() -> None:
    raster, warning = page_of(lettered("(ABCB)", simple(NOBODY_HAS)))
    assert ink(raster) == 0
    assert warning is not None
    assert warning.startswith("4 characters in fonts that are not embedded have no glyph")
    assert "ArialMT" in warning
    assert warning.isprintable()


@pytest.mark.parametrize("before", ["3 Tr", "7 Tr"])
def test_text_that_is_not_painted_needs_no_font(before: str) -> None:
    assert page_of(lettered("(ABC)", simple(NOBODY_HAS), before=before))[1] is None


@pytest.mark.parametrize(
    ("encoding", "place"),
    [
        ("UniJIS-UCS2-H", "1 0 0 1 5 10 Tm"),
        ("UniJIS-UCS2-V", "1 0 0 1 30 30 Tm"),
        ("UniJIS-UCS2-H", "0 1 -1 0 40 5 Tm"),
    ],
)
def test_letters_one_by_one_show(encoding: str, place: str) -> None:
    """PDFium returns no text for these while they have no glyph, as for blanks."""
    font, more = composite("HeiseiMin-W3", encoding, "Japan1")
    for text in ("<3053>", "<3053> Tj <3093>"):
        raster, warning = page_of(lettered(text, font, more, before=place))
        assert ink(raster) > 20
        assert warning is None


def test_one_letter_of_another_script_shows() -> None:
    names = "/afii57664 /afii10017 /uni0E01"
    font = simple(names).replace("/FirstChar 65/LastChar 70/Widths[" + "600 " * 6 + "]", "")
    for letter in "ABC":
        raster, warning = page_of(lettered(f"({letter})", font))
        assert ink(raster) > 20
        assert warning is None


def test_spaces_need_no_glyph() -> None:
    assert page_of(lettered("(ABCD)", simple("/space/uni00A0/uni2003/uni200B")))[1] is None


def test_a_warning_is_short() -> None:
    names = " ".join(f"/uniE{number:03d}" for number in range(150))
    base = "Long#0aName#7f" + "x" * 300
    _, warning = page_of(lettered(f"<{bytes(range(65, 215)).hex()}>", simple(names, base=base)))
    assert warning is not None
    assert warning.isprintable()
    assert len(warning) < 300


def test_text_that_cannot_be_told_is_told() -> None:
    """Glyph numbers of a missing font cannot be mapped to letters."""
    for text in ("<002400250026>", "<1234>"):
        font, more = composite("SimSun", "Identity-H", "Identity")
        assert "SimSun" in (page_of(lettered(text, font, more))[1] or "")


def test_glyph_numbers_that_a_table_explains() -> None:
    table = (
        b"begincmap 1 begincodespacerange <0000><ffff> endcodespacerange "
        b"2 beginbfchar <0001><0416> <0002><4e2d> endbfchar endcmap"
    )
    font, more = composite("SimSun", "Identity-H", "Identity", "/ToUnicode 9 0 R")
    raster, warning = page_of(lettered("<00010002>", font, [*more, stream("", table)]))
    assert warning is None
    assert ink(raster) > 50


def test_fonts_in_the_file_are_believed() -> None:
    """The embedded font has empty glyphs, as those of hidden text layers have."""
    glyphs = "/FontBBox[0 0 1 1]/FontMatrix[1 0 0 1 0 0]/FirstChar 65/LastChar 65/Widths[1]"
    font = f"<</Type/Font/Subtype/Type3{glyphs}/CharProcs<</a 7 0 R>>"
    font += "/Encoding<</Differences[65/a]>>/Resources<<>>>>"
    assert page_of(lettered("(A)", font, [stream("", b"1 0 d0")]))[1] is None


def test_text_in_forms() -> None:
    for names, lost in ((CYRILLIC, False), (NOBODY_HAS, True)):
        inner = stream(
            "/Type/XObject/Subtype/Form/BBox[0 0 400 36]/Resources<</Font<</G 7 0 R>>>>",
            b"BT /G 20 Tf 5 10 Td (ABC) Tj ET",
        )
        page = Page("/Im Do", (400, 36), image_object=inner)
        document = pdf([page], more=[b"null", simple(names).encode()])
        raster, warning = page_of(document)
        assert (ink(raster) == 0, warning is not None) == (lost, lost)


@pytest.mark.parametrize("kind", ["/Subtype/FreeText/DA(/G 20 Tf)", "/Subtype/Widget/FT/Tx/T(a)"])
def test_text_in_annotations_and_fields(kind: str) -> None:
    for names, lost in ((CYRILLIC, False), (NOBODY_HAS, True), ("/A/B/C", False)):
        look = stream(
            "/Type/XObject/Subtype/Form/BBox[0 0 90 30]/Resources<</Font<</G 8 0 R>>>>",
            b"BT /G 20 Tf 5 10 Td (ABC) Tj ET",
        )
        annotation = f"<</Type/Annot{kind}/Rect[0 0 90 30]/AP<</N 6 0 R>>/F 4>>".encode()
        form = "/AcroForm<</Fields[7 0 R]>>" if "Widget" in kind else ""
        page = Page("", (400, 36), of_page="/Annots[7 0 R]")
        document = pdf([page], form, more=[look, annotation, simple(names).encode()])
        raster, warning = page_of(document)
        assert (ink(raster) == 0, warning is not None) == (lost, lost)


def test_a_warning_is_that_of_the_last_page() -> None:
    pages = [Page("BT /G 20 Tf 5 10 Td (ABC) Tj ET"), Page()]
    document = pdf(pages, more=[simple(NOBODY_HAS).encode()])
    document = document.replace(b"/Font<<", b"/Font<</G 9 0 R")
    source = PdfSource(io.BytesIO(document), ReadingOptions(dpi=72))
    source.page(1, WHITE)
    assert source.warning is not None
    source.page(2, WHITE)
    assert source.warning is None
    source.close()


@pytest.mark.parametrize("name", ["cyrillic_arial.pdf", "cjk_jp.pdf"])
def test_given_files_show_their_text(corpus: Path, name: str, monkeypatch) -> None:
    path = str(corpus.parent / "cases" / "inputs" / name)
    source = open_source(LocalFile(path), ReadingOptions())
    assert ink(source.page(1, WHITE)) > 2000
    assert source.warning is None
    monkeypatch.setattr(pdf_fonts, "_font", lambda *_: b"")
    assert ink(source.page(1, WHITE)) == 0
    assert "characters in fonts that are not embedded" in (source.warning or "")
    source.close()


def test_no_page_of_the_corpus_lacks_a_glyph(corpus: Path) -> None:
    for path in (*corpus.glob("images/pdf/*.pdf"), *corpus.glob("hostile/*.pdf")):
        source = open_source(LocalFile(str(path)), ReadingOptions(dpi=10))
        for number in range(1, source.frames + 1):
            source.page(number, WHITE)
            assert source.warning is None, (path, number)
        source.close()
