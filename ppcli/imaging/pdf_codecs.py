"""Checks that the images of a PDF can be decoded completely."""

import struct
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pikepdf
import pypdfium2
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from ppcli.errors import ImageError
from ppcli.imaging.jpeg import refuse_missing_scans
from ppcli.imaging.pdf_streams import (
    GENERAL,
    FilteredData,
    UnreadableError,
    decoded_size,
    filtered_data,
)
from ppcli.imaging.pdf_structure import Value, entry, name_text

_COMPONENTS = {
    "DeviceGray": 1,
    "CalGray": 1,
    "G": 1,
    "Indexed": 1,
    "I": 1,
    "Separation": 1,
    "DeviceRGB": 3,
    "CalRGB": 3,
    "RGB": 3,
    "Lab": 3,
    "DeviceCMYK": 4,
    "CMYK": 4,
}
_REFERENCES = ("/SMask", "/Mask", "/Metadata", "/Alternates", "/OPI", "/OC", "/StructParent")
_BITS = frozenset({1, 2, 4, 8, 16})
_STRAY_BYTES = "extraneous bytes"  # between JPEG markers; the pixels are complete
_DAMAGED_JPEG = ("corrupt jpeg", "premature end")
_REDUCED = 3  # decode JPEG 2000 at 1/8 of its size; the whole codestream is still checked
_NOISE = np.random.default_rng(0).bytes(4096)
_TAIL = 32  # bytes at the end of a fax, including its end mark
_SHORTEST_SEGMENT, _UNKNOWN_SIZE = 11, 0xFFFFFFFF  # JBIG2
_KINDS_OF_SEGMENTS = frozenset(
    {0, 4, 6, 7, 16, 20, 22, 23, 36, 38, 39, 40, 42, 43, 48, 49, 50, 51, 52, 53, 62}
)
_LAST_SEGMENTS = frozenset({49, 51})
Decoded = NDArray[np.uint8] | None


def check_image(image: Value) -> bool:
    """Check that an image can be decoded.

    Args:
        image: an image stream of a PDF.

    Returns:
        Whether its checksum is right; True if it has none.

    Raises:
        UnreadableError: it cannot be decoded or is truncated; the text continues "the image …".
    """
    width, height = entry(image, "/Width"), entry(image, "/Height")
    if isinstance(width, int) and isinstance(height, int) and min(width, height) < 1:
        return True  # invisible
    source = filtered_data(image)
    if source.by is None or source.by in GENERAL:
        return _check_size(image, source)
    check = _CHECKS.get(source.by, _check_drawing)
    check(image, source)
    return True


def _check_size(image: Value, source: FilteredData) -> bool:
    needed = _bytes_needed(image, source)
    if needed is None:
        _check_drawing(image, source)
        return True
    size, is_checksum_right = decoded_size(source, needed)
    if size < needed:
        raise UnreadableError("is truncated")
    return is_checksum_right


def _bytes_needed(image: Value, source: FilteredData) -> int | None:
    """Return the bytes of all pixels, or None if the dictionary does not determine them."""
    width, height, bits = (entry(image, key) for key in ("/Width", "/Height", "/BitsPerComponent"))
    components = _components(entry(image, "/ColorSpace"))
    if entry(image, "/ImageMask") is True:
        bits, components = 1, 1
    if components is None or not all(isinstance(one, int) for one in (width, height, bits)):
        return None
    if bits not in _BITS:
        return None
    row = -(-width * bits * components // 8) + (source.by == "FlateDecode" and source.has_predictor)
    return int(row * height)


def _components(space: Value) -> int | None:
    if isinstance(space, pikepdf.Name):
        return _COMPONENTS.get(name_text(space))
    if not isinstance(space, pikepdf.Array) or None in (parts := list(space)) or not parts:
        return None
    kind = name_text(parts[0])
    if kind == "ICCBased" and len(parts) > 1:
        number = entry(parts[1], "/N")
        return number if isinstance(number, int) else None
    if kind == "DeviceN" and len(parts) > 1 and isinstance(parts[1], pikepdf.Array):
        return len(parts[1])
    return _COMPONENTS.get(kind)


def _check_jpeg(image: Value, source: FilteredData) -> None:
    try:
        space = simplejpeg.decode_jpeg_header(source.data)[2]
        output = "CMYK" if space in ("CMYK", "YCCK") else "GRAY"
        simplejpeg.decode_jpeg(source.data, output, min_height=1, min_width=1, strict=True)
    except ValueError as error:
        message = str(error).lower()
        if _STRAY_BYTES not in message and any(word in message for word in _DAMAGED_JPEG):
            raise UnreadableError("is damaged or truncated (JPEG)") from error
        _check_drawing(image, source)
    try:
        refuse_missing_scans(source.data)
    except ImageError as error:
        raise UnreadableError("is truncated (JPEG)") from error


def _check_jpeg2000(image: Value, source: FilteredData) -> None:
    """Decode with Pillow, at a reduced size; if it cannot, with PDFium."""
    try:
        with Image.open(BytesIO(source.data), formats=["JPEG2000"]) as opened:
            opened.reduce = _REDUCED  # type: ignore[assignment]
            opened.load()
    except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError):
        _check_drawing(image, source)


def _check_fax(image: Value, source: FilteredData) -> None:
    """Check a fax, which declares no length, by changing its data.

    The last row is just before the end of the data. Appended data must therefore change nothing,
    and different data at the end must change something.
    """
    pixels = _check_drawing(image, source)
    longer = _draw_alone(image, source, source.data + _NOISE)
    if longer is None or not np.array_equal(pixels, longer):
        raise UnreadableError("is truncated (fax)")
    other = _draw_alone(image, source, source.data.rstrip(b"\0")[:-_TAIL] + _NOISE)
    if other is not None and np.array_equal(pixels, other):
        raise UnreadableError("is damaged (fax)")


def _check_jbig2(image: Value, source: FilteredData) -> None:
    """Check the declared length of each segment, then decode."""
    data, at = source.data, 0
    while len(data) - at >= _SHORTEST_SEGMENT:
        kind, at = _segment(data, at)
        if kind not in _KINDS_OF_SEGMENTS or at > len(data):
            raise UnreadableError("is damaged or truncated (JBIG2)")
        if kind in _LAST_SEGMENTS:
            break
    _check_drawing(image, source)


def _segment(data: bytes, at: int) -> tuple[int, int]:
    """Return type of the segment at an offset, and the offset of the next (T.88, 7.2)."""
    number, flags, references = struct.unpack_from(">IBB", data, at)
    count, head = references >> 5, 6
    if count == 7:
        count = int.from_bytes(data[at + 5 : at + 9], "big") & 0x1FFFFFFF
        head = 9 + (count + 8) // 8
    head += count * (1 if number <= 256 else 2 if number <= 65536 else 4)
    head += 4 if flags & 64 else 1
    size = int.from_bytes(data[at + head : at + head + 4], "big")
    remaining = max(0, len(data) - at - head - 4)
    return flags & 63, at + head + 4 + (remaining if size == _UNKNOWN_SIZE else size)


def _check_drawing(image: Value, source: FilteredData) -> NDArray[np.uint8]:
    pixels = _draw_alone(image, source, source.data)
    if pixels is None:
        raise UnreadableError(f"cannot be decoded ({source.by or 'uncompressed'})")
    return pixels


def _draw_alone(image: Value, source: FilteredData, data: bytes) -> Decoded:
    """Decode an image with PDFium, with other data; return None if it draws nothing."""
    document = pikepdf.new()
    copy = document.copy_foreign(image)
    for key in _REFERENCES:
        if key in copy:
            del copy[key]
    parameters = entry(copy, "/DecodeParms")
    if isinstance(parameters, pikepdf.Array):
        parameters = parameters[-1]
    name = None if source.by is None else pikepdf.Name("/" + source.by)
    copy.write(data, filter=name, decode_parms=parameters)
    page = document.add_blank_page().obj
    page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(Im=copy))
    page.Contents = pikepdf.Stream(document, b"/Im Do")
    written = BytesIO()
    document.save(written)
    return _only_bitmap(written.getvalue())


def _only_bitmap(document: bytes) -> Decoded:
    with pypdfium2.PdfDocument(document) as opened:
        page = opened[0]
        try:
            image = next(page.get_objects())
            assert isinstance(image, pypdfium2.PdfImage)
            return np.array(image.get_bitmap().to_numpy())
        except (StopIteration, pypdfium2.PdfiumError):
            return None
        finally:
            page.close()


_CHECKS: dict[str, Callable[[Value, FilteredData], object]] = {
    "DCTDecode": _check_jpeg,
    "JPXDecode": _check_jpeg2000,
    "CCITTFaxDecode": _check_fax,
    "JBIG2Decode": _check_jbig2,
}
