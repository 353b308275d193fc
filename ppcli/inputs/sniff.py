"""What a file is, judged by its first bytes and, only for folders, by its extension."""

import os
import re
from collections.abc import Callable
from typing import BinaryIO

SIGNATURE_BYTES = 32

# Offset, bytes, and the name of the format as Pillow spells it. Those that Pillow does not
# open are here too, so that their error says what the file is.
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (8, b"WEBP", "WEBP"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "TIFF"),
    (0, b"MM\x00+", "TIFF"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (4, b"ftyphei", "HEIF"),
    (4, b"ftyphev", "HEIF"),
    (4, b"ftypmif1", "HEIF"),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG2000"),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"8BPS\x00", "PSD"),
    (0, b"\x00\x00\x01\x00", "ICO"),
    (0, b"icns", "ICNS"),
    (0, b"qoif", "QOI"),
    (0, b"DDS ", "DDS"),
    (0, b"\x01\xda", "SGI"),
    (0, b"%PDF-", "PDF"),
    (0, b"%!PS", "EPS"),
)
# Two letters are not enough where any text may begin with them.
_BMP = re.compile(rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL)
_BEGINNINGS = (
    *(signature for offset, signature, _ in _SIGNATURES if offset == 0),
    *(b"RIFF", b"\0\0\0", b"BM"),
    *(b"P%c" % kind for kind in b"1234567fF"),
)
_NETPBM = re.compile(rb"P([1-6]\s+[\d#]|7\s+[A-Z#]|[fF]\s+[\d#])")

# EPS is a program, not an image: named directly it gets its error row, but in a folder it is
# passed over like any other file.
_NOT_IN_FOLDERS = frozenset({"EPS"})
_PDF = ".pdf"
_JUNK_BYTES = 1024  # that readers of PDF allow before its signature, and after its end
_LATE_PDF = re.compile(rb"%PDF-\d")
_END_OF_PDF = re.compile(rb"startxref\s+\d+\s+%%EOF")

_EXTENSIONS = frozenset(
    {
        *(".apng", ".avif", ".avifs", ".bmp", ".dcx", ".dds", ".dib", ".gif", ".heic", ".heif"),
        *(".icns", ".ico", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx"),
        *(".jxl", ".mpo", ".pbm", ".pcx", ".pdf", ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".psd"),
        *(".qoi", ".sgi", ".tga", ".tif", ".tiff", ".webp"),
    }
)


def sniff(head: bytes) -> str | None:
    """The format that the first `SIGNATURE_BYTES` bytes of a file announce, or None."""
    for offset, signature, name in _SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return name if name != "WEBP" or head[:4] == b"RIFF" else None
    if _BMP.match(head):
        return "BMP"
    return "PPM" if _NETPBM.match(head) else None


def may_become_image(head: bytes) -> bool:
    """Whether the first bytes of a stream are too few to see that it is no image."""
    return len(head) < SIGNATURE_BYTES and any(
        head.startswith(one) or one.startswith(head) for one in _BEGINNINGS
    )


def has_image_extension(name: str) -> bool:
    """Whether a file's name ends the way names of images do."""
    return os.path.splitext(name)[1].lower() in _EXTENSIONS


def sniff_pages(path: str) -> str | None:
    """The format of a regular file, or None; also None where it cannot be read.

    PDF also where junk stands before its signature.
    """
    named = path.lower().endswith(_PDF)
    return _sniffed(path, lambda head, file: sniff(head) or _late_pdf(head, file, named))


def has_image_signature(path: str) -> bool:
    """Whether a regular file starts the way images do; False where it cannot be read."""
    found = _sniffed(path, lambda head, file: sniff(head) or _late_pdf(head, file, named=False))
    return found is not None and found not in _NOT_IN_FOLDERS


def _sniffed(path: str, judge: Callable[[bytes, BinaryIO], str | None]) -> str | None:
    try:
        if not os.path.isfile(path):  # to open a pipe would be to wait for its writer
            return None
        with open(path, "rb", buffering=0) as file:
            return judge(file.read(_JUNK_BYTES), file)
    except (OSError, ValueError):
        return None


def _late_pdf(head: bytes, file: BinaryIO, named: bool) -> str | None:
    """PDF, where its signature comes late, and either its name or its end says so too.

    A text that merely mentions the signature has neither.
    """
    if not _LATE_PDF.search(head):
        return None
    if not named:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _JUNK_BYTES))
        if not _END_OF_PDF.search(file.read(_JUNK_BYTES)):
            return None
    return "PDF"
