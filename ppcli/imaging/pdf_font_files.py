"""Checks the font files embedded in a PDF; PDFium draws no text with a damaged one."""

import re
import struct
from collections.abc import Iterator

import pikepdf

from ppcli.imaging.pdf_streams import GENERAL, UnreadableError, decoded_data, filtered_data
from ppcli.imaging.pdf_structure import Value, entry, name_text

_SELECTS = re.compile(rb"/([!-$&'*-.0-;=?-Z\\^-z|~]+)\s+[-+.\d]+\s+Tf\b")
_FILES = ("/FontFile", "/FontFile2", "/FontFile3")
_MAX_BYTES = 64 << 20
_SFNT = (b"\0\1\0\0", b"true", b"OTTO")
_MAX_NAME_LENGTH = 60


def used_fonts(content: bytes, resources: Value) -> Iterator[Value]:
    """Yield the fonts that a content selects; of a composite font, its descendant."""
    fonts = entry(resources, "/Font")
    for name in sorted(set(_SELECTS.findall(content))):
        font = entry(fonts, "/" + name.decode("ascii"))
        descendants = entry(font, "/DescendantFonts")
        is_composite = isinstance(descendants, pikepdf.Array) and len(descendants)
        yield descendants[0] if is_composite else font


def font_file(font: Value) -> Value:
    """Return the stream of an embedded font, or None if the font is not embedded."""
    descriptor = entry(font, "/FontDescriptor")
    found = (entry(descriptor, name) for name in _FILES)
    return next((one for one in found if isinstance(one, pikepdf.Stream)), None)


def font_problem(font: Value, file: Value) -> str | None:
    """Return a warning about a damaged font file, or None."""
    try:
        source = filtered_data(file)
        if source.by is not None and source.by not in GENERAL:
            return None
        data, _ = decoded_data(source, _MAX_BYTES)
        _require_tables(data)
    except UnreadableError as error:
        name = name_text(entry(font, "/BaseFont"))[:_MAX_NAME_LENGTH]
        return f"the font {name or 'without a name'} {error}; its text may be missing"
    return None


def _require_tables(data: bytes) -> None:
    """Check that the tables of a TrueType or OpenType font are within its data."""
    if data[:4] not in _SFNT or len(data) < 12:
        return
    (tables,) = struct.unpack_from(">H", data, 4)
    directory = data[12 : 12 + 16 * tables]
    if len(directory) < 16 * tables:
        raise UnreadableError("is truncated")
    for _, _, start, size in struct.iter_unpack(">4sIII", directory):
        if start + size > len(data):
            raise UnreadableError("is truncated")
