"""Font files within a PDF: where one is damaged, PDFium draws its text with nothing."""

import re
import struct
from collections.abc import Iterator

import pikepdf

from ppcli.imaging.pdf_streams import GENERAL, UnreadableError, packed, unpacked
from ppcli.imaging.pdf_structure import Value, entry, spelled

_CHOOSES = re.compile(rb"/([!-$&'*-.0-;=?-Z\\^-z|~]+)\s+[-+.\d]+\s+Tf\b")
_FILES = ("/FontFile", "/FontFile2", "/FontFile3")
_MOST_BYTES = 64 << 20
_SFNT = (b"\0\1\0\0", b"true", b"OTTO")
_LONGEST_NAME = 60


def chosen_fonts(content: bytes, resources: Value) -> Iterator[Value]:
    """The fonts that a content chooses, those of many characters by the one that they hold."""
    fonts = entry(resources, "/Font")
    for name in sorted(set(_CHOOSES.findall(content))):
        font = entry(fonts, "/" + name.decode("ascii"))
        below = entry(font, "/DescendantFonts")
        yield below[0] if isinstance(below, pikepdf.Array) and len(below) else font


def font_file(font: Value) -> Value:
    """The stream that holds a font; None for one that is not in the file."""
    descriptor = entry(font, "/FontDescriptor")
    found = (entry(descriptor, name) for name in _FILES)
    return next((one for one in found if isinstance(one, pikepdf.Stream)), None)


def doubt_about(font: Value, file: Value) -> str | None:
    """What is wrong with the file of a font, in words; None where nothing is seen."""
    try:
        source = packed(file)
        if source.by is not None and source.by not in GENERAL:
            return None
        data, _ = unpacked(source, _MOST_BYTES)
        _require_tables(data)
    except UnreadableError as error:
        name = spelled(entry(font, "/BaseFont"))[:_LONGEST_NAME]
        return f"the font {name or 'without a name'} {error}; its text may be missing"
    return None


def _require_tables(data: bytes) -> None:
    """See that the tables of a TrueType or OpenType font are within its data."""
    if data[:4] not in _SFNT or len(data) < 12:
        return
    (tables,) = struct.unpack_from(">H", data, 4)
    listed = data[12 : 12 + 16 * tables]
    if len(listed) < 16 * tables:
        raise UnreadableError("ends too early")
    for _, _, start, size in struct.iter_unpack(">4sIII", listed):
        if start + size > len(data):
            raise UnreadableError("ends too early")
