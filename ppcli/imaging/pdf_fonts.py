"""Fonts that a PDF names but does not hold: what stands in, and what even that cannot write."""

import ctypes
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import IntEnum
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

import pypdfium2
import pypdfium2.raw as pdfium

# What PDFium has on board, and finds among the system's fonts, is enough for most pages. Pages
# that would lose characters get the fonts of weblate-fonts, which are the same on every machine.
_BY_CHARSET = {
    pdfium.FXFONT_SHIFTJIS_CHARSET: "KurintoSansJP",
    pdfium.FXFONT_HANGEUL_CHARSET: "KurintoSansKR",
    pdfium.FXFONT_GB2312_CHARSET: "KurintoSansSC",
    pdfium.FXFONT_CHINESEBIG5_CHARSET: "KurintoSansTC",
}
_BY_SCRIPT = (
    ("HANGUL", "KurintoSansKR"),
    ("HIRAGANA", "KurintoSansJP"),
    ("KATAKANA", "KurintoSansJP"),
    ("CJK", "KurintoSansSC"),
)
_OTHER_SCRIPTS = "KurintoSans"
_BOLD = 600
_UNSEEN = frozenset({"Cc", "Cf", "Cn", "Cs", "Zl", "Zp", "Zs"})  # of Unicode's categories
_NO_CHARACTER, _UNKNOWN = 0xFFFF, "\N{REPLACEMENT CHARACTER}"
_NOT_PAINTED = frozenset({pdfium.FPDF_TEXTRENDERMODE_INVISIBLE, pdfium.FPDF_TEXTRENDERMODE_CLIP})
_SHOWN, _LONGEST_NAME = 5, 60
_GLYPH_SIZE = 12.0

Lost = Counter[tuple[str, str]]  # how often each (font, character) shows nothing
Things = Sequence[pypdfium2.PdfObject]
_Pointer: TypeAlias = Any  # of C, which has no type here


class Supply(IntEnum):
    """What fonts stand in for."""

    NOTHING = 0
    GLYPHS = 1  # that a font lacks: PDFium asks for them while it draws
    FONTS = 2  # whole ones too: PDFium asks for them while it reads a page


class _Supplier:
    """The functions by which PDFium asks the system for fonts, with ours behind the system's.

    Attributes:
        name: of the fonts that stand in now, unless PDFium asks for a script; None for none.
    """

    def __init__(self) -> None:
        self.name: str | None = None
        self._given: list[bytes] = []
        self._info = pdfium.FPDF_GetDefaultSystemFontInfo()
        self._kept = [  # what C calls must not be let go of
            self._replaced("MapFont", self._map),
            self._replaced("GetFontData", self._data),
            self._replaced("GetFaceName", self._face),
            self._replaced("GetFontCharset", self._charset),
            self._replaced("DeleteFont", self._delete),
        ]
        pdfium.FPDF_SetSystemFontInfo(self._info)

    def _replaced(self, slot: str, ours: Callable[..., Any]) -> object:
        kind: Any = dict(pdfium.FPDF_SYSFONTINFO._fields_)[slot]
        stock = kind.from_buffer_copy(getattr(self._info.contents, slot))
        function = kind(lambda _, *args: ours(lambda: stock(self._info, *args), *args))
        setattr(self._info.contents, slot, function)
        return function

    def _map(
        self, stock: Callable[[], int | None], weight: int, italic: int, charset: int, *_: object
    ) -> int | None:
        found = stock()
        if found is not None or self.name is None:
            return found
        font = _font(_BY_CHARSET.get(charset, self.name), weight >= _BOLD)
        if font not in self._given:
            self._given.append(font)
        return self._given.index(font) + 1  # addresses of the system's fonts are larger

    def _is_ours(self, handle: int | None) -> bool:
        return handle is not None and handle <= len(self._given)

    def _data(
        self, stock: Callable[[], int], handle: int, table: int, buffer: _Pointer, size: int
    ) -> int:
        if not self._is_ours(handle):
            return stock()
        font = b"" if table else self._given[handle - 1]  # 0 is the whole
        return _copied(font, buffer, size)

    def _face(self, stock: Callable[[], int], handle: int, buffer: _Pointer, size: int) -> int:
        return _copied(b"Kurinto\0", buffer, size) if self._is_ours(handle) else stock()

    def _charset(self, stock: Callable[[], int], handle: int) -> int:
        return pdfium.FXFONT_DEFAULT_CHARSET if self._is_ours(handle) else stock()

    def _delete(self, stock: Callable[[], None], handle: int) -> None:
        if not self._is_ours(handle):
            stock()


def _copied(data: bytes, buffer: _Pointer, size: int) -> int:
    if len(data) <= size:
        ctypes.memmove(buffer, data, len(data))
    return len(data)


@cache
def _font(name: str, bold: bool) -> bytes:
    place = files("weblate_fonts") / "static" / "weblate_fonts" / "kurinto" / "ttf"
    return (place / f"{name}-{'Bd' if bold else 'Rg'}.ttf").read_bytes()


_supplier = _Supplier()


@contextmanager
def standing_in(
    supply: Supply, lost: Lost, loaded: AbstractContextManager[pypdfium2.PdfPage]
) -> Iterator[pypdfium2.PdfPage]:
    """A page, with fonts for what it would lose.

    Args:
        supply: what they stand in for.
        lost: which characters; they say which fonts.
        loaded: loads the page, from a document that has not loaded it before.
    """
    name = _name_for(lost)
    try:
        _supplier.name = name if supply is Supply.FONTS else None
        with loaded as page:
            _supplier.name = None if supply is Supply.NOTHING else name
            yield page
    finally:
        _supplier.name = None


def _name_for(lost: Lost) -> str:
    known = (character for _, character in lost if character)
    words = {unicodedata.name(character, "").split(" ")[0] for character in known}
    return next((name for script, name in _BY_SCRIPT if script in words), _OTHER_SCRIPTS)


def lost_characters(page: pypdfium2.PdfPage, things: Things) -> Lost:
    """What is written in fonts that are not in the file, and has no glyph in those that stand in.

    A text that may be blank or a letter that is lost counts as one lost "": with a font that has
    the letter it is one.

    Args:
        page: of a PDF.
        things: all objects of the page.
    """
    lost = Lost()
    textpage = None
    has_glyph: dict[tuple[int | None, str], bool] = {}
    for thing in things:
        if not _wants_a_font(thing):
            continue
        if textpage is None:
            textpage = page.get_textpage()
        font = pdfium.FPDFTextObj_GetFont(thing)
        name, address = _name_of(font), ctypes.cast(font, ctypes.c_void_p).value
        text = _text_of(thing, textpage)
        if not text:
            # PDFium gives none of what has no extent: blanks, and a single letter without a glyph.
            unclear = "" if _tells_letters_apart(font) else _UNKNOWN
            lost[name, unclear] += 1
        for character, times in Counter(text).items():
            key = address, character
            if key not in has_glyph:
                has_glyph[key] = _shows_nothing_by_itself(character) or _has_glyph(font, character)
            if not has_glyph[key]:
                lost[name, character] += times
    return lost


def annotations_want_fonts(page: pypdfium2.PdfPage) -> bool:
    """Whether an annotation or a field has text in a font that is not in the file."""
    for number in range(pdfium.FPDFPage_GetAnnotCount(page)):
        annotation = pdfium.FPDFPage_GetAnnot(page, number)
        wants = any(
            _wants_a_font(pdfium.FPDFAnnot_GetObject(annotation, one))
            for one in range(pdfium.FPDFAnnot_GetObjectCount(annotation))
        )
        pdfium.FPDFPage_CloseAnnot(annotation)
        if wants:
            return True
    return False


def _wants_a_font(thing: pypdfium2.PdfObject | _Pointer) -> bool:
    """Whether it is text that shows, in a font that is not in the file."""
    if pdfium.FPDFPageObj_GetType(thing) != pdfium.FPDF_PAGEOBJ_TEXT:
        return False
    if pdfium.FPDFTextObj_GetTextRenderMode(thing) in _NOT_PAINTED:
        return False
    font = pdfium.FPDFTextObj_GetFont(thing)
    return bool(font) and not pdfium.FPDFFont_GetIsEmbedded(font)


def _text_of(thing: pypdfium2.PdfObject, textpage: pypdfium2.PdfTextPage) -> str:
    size = pdfium.FPDFTextObj_GetText(thing, textpage, None, 0)
    buffer = ctypes.create_string_buffer(size)
    pdfium.FPDFTextObj_GetText(
        thing, textpage, ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR)), size
    )
    return buffer.raw.decode("utf-16-le", "replace").rstrip("\0")


def _shows_nothing_by_itself(character: str) -> bool:
    return unicodedata.category(character) in _UNSEEN


def _has_glyph(font: _Pointer, character: str) -> bool:
    outline = _outline(font, ord(character))
    return bool(outline) and outline != _outline(font, _NO_CHARACTER)


def _tells_letters_apart(font: _Pointer) -> bool:
    """Whether PDFium knows which of its glyphs are which letters; else it may give no text."""
    return _outline(font, ord("A")) != _outline(font, ord("B"))


def _outline(font: _Pointer, code: int) -> list[tuple[float, float]]:
    path = pdfium.FPDFFont_GetGlyphPath(font, code, _GLYPH_SIZE)
    points = []
    x, y = ctypes.c_float(), ctypes.c_float()
    for number in range(pdfium.FPDFGlyphPath_CountGlyphSegments(path) if path else 0):
        segment = pdfium.FPDFGlyphPath_GetGlyphPathSegment(path, number)
        pdfium.FPDFPathSegment_GetPoint(segment, x, y)
        points.append((x.value, y.value))
    return points


def _name_of(font: _Pointer) -> str:
    size = pdfium.FPDFFont_GetBaseFontName(font, None, 0)
    buffer = ctypes.create_string_buffer(size)
    pdfium.FPDFFont_GetBaseFontName(font, buffer, size)
    return _printable(buffer.value.decode("utf-8", "replace"))[:_LONGEST_NAME]


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in text)


def described(lost: Lost) -> str:
    """One sentence about characters that do not show."""
    by_font: dict[str, str] = {}
    for name, character in lost:
        by_font[name] = by_font.get(name, "") + _printable(character)
    some = [
        f"{name or 'no name'}: {', '.join(characters[:_SHOWN])}"
        + ", …" * (len(characters) > _SHOWN)
        for name, characters in list(by_font.items())[:_SHOWN]
    ]
    number = lost.total()
    return (
        f"{number:,} character{'s' * (number > 1)} of text in fonts that are not embedded "
        f"{'have' if number > 1 else 'has'} no glyph here ({'; '.join(some)}); "
        "embed them, or install fonts for them"
    )
