"""Identifies formats by the first bytes of files; in folders, extensions count too."""

import os
import re
from typing import BinaryIO

from ppcli.errors import ErrorCode, ImageError
from ppcli.files import InputFile, OpenFile

SIGNATURE_BYTES = 32

# Offset, bytes, and the name of the format as Pillow spells it. Formats that are not supported
# are listed too, so that their error names the format.
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
    (0, b"\x1aE\xdf\xa3", "MKV"),
    (4, b"ftypqt  ", "MOV"),
)
# The signature BM is not enough: any text may begin with it.
_BMP = re.compile(rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL)
_BEGINNINGS = (
    *(signature for offset, signature, _ in _SIGNATURES if offset == 0),
    *(b"RIFF", b"\0\0\0", b"BM"),
    *(b"P%c" % kind for kind in b"1234567fF"),
)
_NETPBM = re.compile(rb"P([1-6]\s+[\d#]|7\s+[A-Z#]|[fF]\s+[\d#])")

# Every brand but those of sound, raw photos and still images; old QuickTime files have none.
_MP4 = re.compile(rb".{4}ftyp(?!M4A |M4B |M4P |crx |mif|miaf|msf|jp|jx)", re.DOTALL)
_OLD_MOVIE = re.compile(rb"[\0-\x08].{3}(moov|mdat|wide|free|skip|pnot)", re.DOTALL)
_AVI = re.compile(rb"RIFF.{4}AVI ", re.DOTALL)
_VIDEO_EXTENSIONS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"})
_VIDEOS = frozenset({"AVI", "MKV", "MOV", "MP4"})

# EPS is a program, not an image. A file that is named directly becomes an error row; in a folder
# it is skipped like any other file that is not an image.
_NOT_IN_FOLDERS = frozenset({"EPS"})
_PDF = ".pdf"
_JUNK_BYTES = 1024  # that PDF readers allow before the signature and after the end mark
_LATE_PDF = re.compile(rb"%PDF-\d")
_END_OF_PDF = re.compile(rb"startxref\s+\d+\s+%%EOF")

_EXTENSIONS = _VIDEO_EXTENSIONS | frozenset(
    {
        *(".apng", ".avif", ".avifs", ".bmp", ".dcx", ".dds", ".dib", ".gif", ".heic", ".heif"),
        *(".icns", ".ico", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx"),
        *(".jxl", ".mpo", ".pbm", ".pcx", ".pdf", ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".psd"),
        *(".qoi", ".sgi", ".tga", ".tif", ".tiff", ".webp"),
    }
)


def sniff(head: bytes) -> str | None:
    """Return the format of a file with these first `SIGNATURE_BYTES` bytes, or None."""
    for offset, signature, name in _SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return name if name != "WEBP" or head[:4] == b"RIFF" else None
    if _BMP.match(head):
        return "BMP"
    if _MP4.match(head):
        return "MP4"
    if _OLD_MOVIE.match(head):
        return "MOV"
    if _AVI.match(head):
        return "AVI"
    return "PPM" if _NETPBM.match(head) else None


def may_become_image(head: bytes) -> bool:
    """Return whether a stream may still be an image, given its first few bytes."""
    return len(head) < SIGNATURE_BYTES and any(
        head.startswith(one) or one.startswith(head) for one in _BEGINNINGS
    )


def has_image_extension(name: str) -> bool:
    """Return whether a file name has the extension of an image format."""
    return os.path.splitext(name)[1].lower() in _EXTENSIONS


def has_video_extension(name: str) -> bool:
    """Return whether a file name has the extension of a video."""
    return os.path.splitext(name)[1].lower() in _VIDEO_EXTENSIONS


def format_of(file: OpenFile, name: str = "") -> str | None:
    """Return the format of an open file by its content; None if it is unknown.

    A PDF may have other bytes before its signature. Then it is recognized only if its extension
    or its end mark confirms it.

    Args:
        file: open at its start; the position is restored.
        name: name of the file.

    Raises:
        ImageError: `unreadable`.
    """
    try:
        head = file.read(_JUNK_BYTES)
        found = sniff(head) or _late_pdf(head, file, name.lower().endswith(_PDF))
        file.seek(0)
    except OSError as error:
        raise ImageError(ErrorCode.UNREADABLE, error.strerror or str(error)) from error
    return found


def sniffed_format(file: InputFile) -> str | None:
    """Return the format of a file by its content; None if it is unknown or unreadable."""
    try:
        with file.open() as opened:
            return format_of(opened, file.name)
    except ImageError:
        return None


def has_image_signature(file: OpenFile, name: str = "") -> bool:
    """Return whether an open file starts like an image, so that it counts in a folder.

    What starts like a video does not if its name has another extension: sound and other data
    start alike.

    Args:
        file: the file, open at its start.
        name: its name, if it has one.

    Raises:
        ImageError: `unreadable`.
    """
    found = format_of(file)
    if found in _VIDEOS:
        return has_video_extension(name) or not os.path.splitext(name)[1]
    return found is not None and found not in _NOT_IN_FOLDERS


def _late_pdf(head: bytes, file: BinaryIO, named: bool) -> str | None:
    """Return PDF for a late signature that the extension or the end mark confirms, else None.

    A text file that merely mentions the signature has neither.
    """
    if not _LATE_PDF.search(head):
        return None
    if not named:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _JUNK_BYTES))
        if not _END_OF_PDF.search(file.read(_JUNK_BYTES)):
            return None
    return "PDF"
