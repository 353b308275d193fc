"""Images of a PDF: whether all of their pixels can be had."""

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
from ppcli.imaging.pdf_streams import GENERAL, Packed, UnreadableError, packed, size_unpacked
from ppcli.imaging.pdf_structure import Value, entry, spelled

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
_NOT_ITS_OWN = ("/SMask", "/Mask", "/Metadata", "/Alternates", "/OPI", "/OC", "/StructParent")
_BITS = frozenset({1, 2, 4, 8, 16})
_STRAY_BYTES = "extraneous bytes"  # between markers of a JPEG; its pixels are whole
_DAMAGED_JPEG = ("corrupt jpeg", "premature end")
_REDUCED = 3  # times that a JPEG 2000 is halved; its codestream is checked all the same
_NOISE = np.random.default_rng(0).bytes(4096)
_TAIL = 32  # bytes of a fax, its end mark included
_SHORTEST_SEGMENT, _UNKNOWN_SIZE = 11, 0xFFFFFFFF  # of JBIG2
_KINDS_OF_SEGMENTS = frozenset(
    {0, 4, 6, 7, 16, 20, 22, 23, 36, 38, 39, 40, 42, 43, 48, 49, 50, 51, 52, 53, 62}
)
_LAST_SEGMENTS = frozenset({49, 51})
Decoded = NDArray[np.uint8] | None


def check_image(image: Value) -> bool:
    """See that an image can be decoded.

    Args:
        image: a stream of a PDF.

    Returns:
        whether its checksum is right, where it has one.

    Raises:
        UnreadableError: when it cannot, or ends too early; the text goes on after "an image".
    """
    width, height = entry(image, "/Width"), entry(image, "/Height")
    if isinstance(width, int) and isinstance(height, int) and min(width, height) < 1:
        return True  # it shows nothing
    source = packed(image)
    if source.by is None or source.by in GENERAL:
        return _check_size(image, source)
    check = _CHECKS.get(source.by, _check_drawing)
    check(image, source)
    return True


def _check_size(image: Value, source: Packed) -> bool:
    needed = _bytes_needed(image, source)
    if needed is None:
        _check_drawing(image, source)
        return True
    size, right = size_unpacked(source, needed)
    if size < needed:
        raise UnreadableError("ends too early")
    return right


def _bytes_needed(image: Value, source: Packed) -> int | None:
    """How many bytes all pixels take; None where the dictionary leaves that open."""
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
        return _COMPONENTS.get(spelled(space))
    if not isinstance(space, pikepdf.Array) or None in (parts := list(space)) or not parts:
        return None
    kind = spelled(parts[0])
    if kind == "ICCBased" and len(parts) > 1:
        number = entry(parts[1], "/N")
        return number if isinstance(number, int) else None
    if kind == "DeviceN" and len(parts) > 1 and isinstance(parts[1], pikepdf.Array):
        return len(parts[1])
    return _COMPONENTS.get(kind)


def _check_jpeg(image: Value, source: Packed) -> None:
    try:
        space = simplejpeg.decode_jpeg_header(source.data)[2]
        wanted = "CMYK" if space in ("CMYK", "YCCK") else "GRAY"
        simplejpeg.decode_jpeg(source.data, wanted, min_height=1, min_width=1, strict=True)
    except ValueError as error:
        said = str(error).lower()
        if _STRAY_BYTES not in said and any(word in said for word in _DAMAGED_JPEG):
            raise UnreadableError("is damaged, or ends too early (JPEG)") from error
        _check_drawing(image, source)
    try:
        refuse_missing_scans(source.data)
    except ImageError as error:
        raise UnreadableError("ends too early (JPEG)") from error


def _check_jpeg2000(image: Value, source: Packed) -> None:
    """With Pillow, which decodes it smaller; where that cannot, PDFium's word counts."""
    try:
        with Image.open(BytesIO(source.data), formats=["JPEG2000"]) as opened:
            opened.reduce = _REDUCED  # type: ignore[assignment]
            opened.load()
    except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError):
        _check_drawing(image, source)


def _check_fax(image: Value, source: Packed) -> None:
    """A fax does not say how long it is, but its last row comes just before its end.

    So more data must change nothing, and other data at the end must change something.
    """
    pixels = _check_drawing(image, source)
    longer = _drawn_alone(image, source, source.data + _NOISE)
    if longer is None or not np.array_equal(pixels, longer):
        raise UnreadableError("ends too early (fax)")
    other = _drawn_alone(image, source, source.data.rstrip(b"\0")[:-_TAIL] + _NOISE)
    if other is not None and np.array_equal(pixels, other):
        raise UnreadableError("is damaged (fax)")


def _check_jbig2(image: Value, source: Packed) -> None:
    """Each of its segments says how long it is."""
    data, at = source.data, 0
    while len(data) - at >= _SHORTEST_SEGMENT:
        kind, at = _segment(data, at)
        if kind not in _KINDS_OF_SEGMENTS or at > len(data):
            raise UnreadableError("is damaged, or ends too early (JBIG2)")
        if kind in _LAST_SEGMENTS:
            break
    _check_drawing(image, source)


def _segment(data: bytes, at: int) -> tuple[int, int]:
    """The kind of the segment that begins there, and where the next one does (T.88, 7.2)."""
    number, flags, references = struct.unpack_from(">IBB", data, at)
    count, head = references >> 5, 6
    if count == 7:
        count = int.from_bytes(data[at + 5 : at + 9], "big") & 0x1FFFFFFF
        head = 9 + (count + 8) // 8
    head += count * (1 if number <= 256 else 2 if number <= 65536 else 4)
    head += 4 if flags & 64 else 1
    size = int.from_bytes(data[at + head : at + head + 4], "big")
    left = max(0, len(data) - at - head - 4)
    return flags & 63, at + head + 4 + (left if size == _UNKNOWN_SIZE else size)


def _check_drawing(image: Value, source: Packed) -> NDArray[np.uint8]:
    pixels = _drawn_alone(image, source, source.data)
    if pixels is None:
        raise UnreadableError(f"cannot be decoded ({source.by or 'not packed'})")
    return pixels


def _drawn_alone(image: Value, source: Packed, data: bytes) -> Decoded:
    """What PDFium makes of an image with these data instead of its own; None for nothing."""
    document = pikepdf.new()
    copy = document.copy_foreign(image)
    for key in _NOT_ITS_OWN:
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


_CHECKS: dict[str, Callable[[Value, Packed], object]] = {
    "DCTDecode": _check_jpeg,
    "JPXDecode": _check_jpeg2000,
    "CCITTFaxDecode": _check_fax,
    "JBIG2Decode": _check_jbig2,
}
