"""Substitutes fonts that a PDF does not embed, and reports characters that still have no glyph."""

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

from ppcli.errors import pluralize

# PDFium's built-in fonts and the system's suffice for most pages. Pages that would lose characters
# get the fonts of weblate-fonts, which are the same on every machine.
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
_INVISIBLE = frozenset({"Cc", "Cf", "Cn", "Cs", "Zl", "Zp", "Zs"})  # Unicode categories
_NO_CHARACTER, _UNKNOWN = 0xFFFF, "\N{REPLACEMENT CHARACTER}"
_NOT_PAINTED = frozenset({pdfium.FPDF_TEXTRENDERMODE_INVISIBLE, pdfium.FPDF_TEXTRENDERMODE_CLIP})
_MAX_LISTED, _MAX_NAME_LENGTH = 5, 60
_GLYPH_SIZE = 12.0

LostCharacters = Counter[tuple[str, str]]  # number of invisible characters by (font, character)
PageObjects = Sequence[pypdfium2.PdfObject]
_Pointer: TypeAlias = Any  # a C pointer, untyped in pypdfium2


class Substitution(IntEnum):
    """What is substituted."""

    NOTHING = 0
    GLYPHS = 1  # missing glyphs, which PDFium requests while rendering
    FONTS = 2  # and missing fonts, which PDFium requests while loading a page


class _FontProvider:
    """PDFium's callbacks for system fonts, with our fonts as a fallback.

    Attributes:
        name: the fallback font, unless PDFium requests a script; None to disable the fallback.
    """

    def __init__(self) -> None:
        self.name: str | None = None
        self._provided: list[bytes] = []
        self._info = pdfium.FPDF_GetDefaultSystemFontInfo()
        self._callbacks = [  # referenced, since C calls them
            self._replace("MapFont", self._map),
            self._replace("GetFontData", self._data),
            self._replace("GetFaceName", self._face),
            self._replace("GetFontCharset", self._charset),
            self._replace("DeleteFont", self._delete),
        ]
        pdfium.FPDF_SetSystemFontInfo(self._info)

    def _replace(self, slot: str, callback: Callable[..., Any]) -> object:
        kind: Any = dict(pdfium.FPDF_SYSFONTINFO._fields_)[slot]
        stock = kind.from_buffer_copy(getattr(self._info.contents, slot))
        function = kind(lambda _, *args: callback(lambda: stock(self._info, *args), *args))
        setattr(self._info.contents, slot, function)
        return function

    def _map(
        self, stock: Callable[[], int | None], weight: int, italic: int, charset: int, *_: object
    ) -> int | None:
        found = stock()
        if found is not None or self.name is None:
            return found
        font = _font(_BY_CHARSET.get(charset, self.name), weight >= _BOLD)
        if font not in self._provided:
            self._provided.append(font)
        return self._provided.index(font) + 1  # smaller than any handle of a system font

    def _is_ours(self, handle: int | None) -> bool:
        return handle is not None and handle <= len(self._provided)

    def _data(
        self, stock: Callable[[], int], handle: int, table: int, buffer: _Pointer, size: int
    ) -> int:
        if not self._is_ours(handle):
            return stock()
        font = b"" if table else self._provided[handle - 1]  # table 0 is the whole file
        return _copy(font, buffer, size)

    def _face(self, stock: Callable[[], int], handle: int, buffer: _Pointer, size: int) -> int:
        return _copy(b"Kurinto\0", buffer, size) if self._is_ours(handle) else stock()

    def _charset(self, stock: Callable[[], int], handle: int) -> int:
        return pdfium.FXFONT_DEFAULT_CHARSET if self._is_ours(handle) else stock()

    def _delete(self, stock: Callable[[], None], handle: int) -> None:
        if not self._is_ours(handle):
            stock()


def _copy(data: bytes, buffer: _Pointer, size: int) -> int:
    if len(data) <= size:
        ctypes.memmove(buffer, data, len(data))
    return len(data)


@cache
def _font(name: str, bold: bool) -> bytes:
    folder = files("weblate_fonts") / "static" / "weblate_fonts" / "kurinto" / "ttf"
    return (folder / f"{name}-{'Bd' if bold else 'Rg'}.ttf").read_bytes()


_provider = _FontProvider()


@contextmanager
def with_substitutes(
    substitution: Substitution,
    lost: LostCharacters,
    loaded: AbstractContextManager[pypdfium2.PdfPage],
) -> Iterator[pypdfium2.PdfPage]:
    """Load a page with substitute fonts.

    Args:
        substitution: what is substituted.
        lost: the characters that are lost without it; they determine the font.
        loaded: loads the page, from a document that has not loaded it before.
    """
    name = _font_for(lost)
    try:
        _provider.name = name if substitution is Substitution.FONTS else None
        with loaded as page:
            _provider.name = None if substitution is Substitution.NOTHING else name
            yield page
    finally:
        _provider.name = None


def _font_for(lost: LostCharacters) -> str:
    known = (character for _, character in lost if character)
    words = {unicodedata.name(character, "").split(" ")[0] for character in known}
    return next((name for script, name in _BY_SCRIPT if script in words), _OTHER_SCRIPTS)


def lost_characters(page: pypdfium2.PdfPage, objects: PageObjects) -> LostCharacters:
    """Count the characters of non-embedded fonts that have no glyph in their substitutes.

    A text that may be blank, or a letter without a glyph, counts as one lost "".

    Args:
        page: the page.
        objects: all objects of the page.
    """
    lost = LostCharacters()
    textpage = None
    has_glyph: dict[tuple[int | None, str], bool] = {}
    for item in objects:
        if not _needs_font(item):
            continue
        if textpage is None:
            textpage = page.get_textpage()
        font = pdfium.FPDFTextObj_GetFont(item)
        name, address = _font_name(font), ctypes.cast(font, ctypes.c_void_p).value
        text = _text_of(item, textpage)
        if not text:
            # PDFium omits text without extent: blanks, and single letters without a glyph
            unclear = "" if _distinguishes_letters(font) else _UNKNOWN
            lost[name, unclear] += 1
        for character, times in Counter(text).items():
            key = address, character
            if key not in has_glyph:
                has_glyph[key] = _is_invisible(character) or _has_glyph(font, character)
            if not has_glyph[key]:
                lost[name, character] += times
    return lost


def annotations_need_fonts(page: pypdfium2.PdfPage) -> bool:
    """Return whether an annotation or field has visible text in a font that is not embedded."""
    for number in range(pdfium.FPDFPage_GetAnnotCount(page)):
        annotation = pdfium.FPDFPage_GetAnnot(page, number)
        needs_font = any(
            _needs_font(pdfium.FPDFAnnot_GetObject(annotation, index))
            for index in range(pdfium.FPDFAnnot_GetObjectCount(annotation))
        )
        pdfium.FPDFPage_CloseAnnot(annotation)
        if needs_font:
            return True
    return False


def _needs_font(item: pypdfium2.PdfObject | _Pointer) -> bool:
    """Return whether an object is visible text in a font that is not embedded."""
    if pdfium.FPDFPageObj_GetType(item) != pdfium.FPDF_PAGEOBJ_TEXT:
        return False
    if pdfium.FPDFTextObj_GetTextRenderMode(item) in _NOT_PAINTED:
        return False
    font = pdfium.FPDFTextObj_GetFont(item)
    return bool(font) and not pdfium.FPDFFont_GetIsEmbedded(font)


def _text_of(item: pypdfium2.PdfObject, textpage: pypdfium2.PdfTextPage) -> str:
    size = pdfium.FPDFTextObj_GetText(item, textpage, None, 0)
    buffer = ctypes.create_string_buffer(size)
    pdfium.FPDFTextObj_GetText(
        item, textpage, ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR)), size
    )
    return buffer.raw.decode("utf-16-le", "replace").rstrip("\0")


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in _INVISIBLE


def _has_glyph(font: _Pointer, character: str) -> bool:
    outline = _outline(font, ord(character))
    return bool(outline) and outline != _outline(font, _NO_CHARACTER)


def _distinguishes_letters(font: _Pointer) -> bool:
    """Return whether PDFium maps letters to glyphs; if it does not, it may return no text."""
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


def _font_name(font: _Pointer) -> str:
    size = pdfium.FPDFFont_GetBaseFontName(font, None, 0)
    buffer = ctypes.create_string_buffer(size)
    pdfium.FPDFFont_GetBaseFontName(font, buffer, size)
    return _printable(buffer.value.decode("utf-8", "replace"))[:_MAX_NAME_LENGTH]


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in text)


def describe_lost(lost: LostCharacters) -> str:
    """Describe the lost characters in one sentence."""
    by_font: dict[str, str] = {}
    for name, character in lost:
        by_font[name] = by_font.get(name, "") + _printable(character)
    some = [
        f"{name or 'unnamed'}: {', '.join(characters[:_MAX_LISTED])}"
        + ", …" * (len(characters) > _MAX_LISTED)
        for name, characters in list(by_font.items())[:_MAX_LISTED]
    ]
    number = lost.total()
    return (
        f"{pluralize(number, 'character')} in fonts that are not embedded "
        f"{'have' if number > 1 else 'has'} no glyph ({'; '.join(some)}); "
        "embed the fonts, or install fonts with these characters"
    )
