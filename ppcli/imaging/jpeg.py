"""Decodes JPEG, and detects damaged scans and unsupported kinds that Pillow does not report."""

import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from ppcli.errors import ErrorCode, ImageError
from ppcli.imaging.colour import upright
from ppcli.imaging.image_choices import Colour

Pixels = NDArray[np.uint8]

_COLOUR_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}
# Warnings of libjpeg that mean damage. It identifies them by their text only.
_TRUNCATED = re.compile("[Pp]remature end|found marker 0xd9 instead of RST")
_DAMAGE = re.compile("bad Huffman code|bad arithmetic code|instead of RST")
_JUNK_BEFORE_RESTART = re.compile("extraneous bytes before marker 0xd[0-7]")
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")

_MARKER = re.compile(rb"\xff+[^\x00\x01\xff\xd0-\xd8]", re.DOTALL)  # of segments with a length
_EOI, _SOS, _COMMENT = 0xD9, 0xDA, 0xFE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_JPEG_LS, _PROGRESSIVE = 0xF7, 2
_APPLICATION = range(0xE0, 0xF0)
# relevant application segments, and the bytes that each needs at least
_SEGMENTS = {
    (0xE0, b"JFIF\0"): 14,
    (0xE1, b"Exif\0\0"): 6,
    (0xE2, b"MPF\0"): 12,
    (0xEE, b"Adobe"): 12,
}


def decode_jpeg(image: Image.Image, data: bytes, background: Colour) -> Pixels | None:
    """Decode a JPEG of a common kind.

    Args:
        image: the image as opened by Pillow.
        data: its bytes from the first marker; bytes after the last marker are ignored.
        background: not used, since JPEG has no transparency.

    Returns:
        RGB uint8 (height, width, 3), upright, or None if Pillow must decode the image.

    Raises:
        ImageError: `truncated` or `corrupt`, where libjpeg only warns.
    """
    space = _COLOUR_SPACES.get(image.mode)
    if space is None:
        return None
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(data, space, strict=True)
    except ValueError as error:
        refuse_damage(str(error), data)
        return None
    if pixels.shape[:2] != (image.height, image.width):
        return None
    refuse_missing_scans(data)
    if space == "GRAY":
        pixels = pixels.repeat(3, axis=2)
    elif space == "CMYK":  # Adobe's convention, as in Pillow
        pixels = np.array(Image.fromarray(~pixels, "CMYK").convert("RGB"))
    return upright(pixels, image)


def refuse_damage(warning: str, data: bytes) -> None:
    """Raise an error if a warning of libjpeg means damage; ignore the harmless ones.

    Args:
        warning: the text of the warning.
        data: the bytes of the image.

    Raises:
        ImageError: `truncated` or `corrupt`.
    """
    if _TRUNCATED.search(warning):
        raise _truncated()
    lost_restart = _JUNK_BEFORE_RESTART.search(warning) and not _restarts_in_order(data)
    if lost_restart or _DAMAGE.search(warning):
        raise ImageError(ErrorCode.CORRUPT, f"the compressed data is damaged: {warning}")


def _truncated() -> ImageError:
    return ImageError(ErrorCode.TRUNCATED, "the compressed data is truncated")


def refuse_missing_scans(data: bytes) -> None:
    """Check that an image with several scans has all of them.

    Raises:
        ImageError: `truncated`, if a component has no scan, or the low bits of its coefficients
            are missing.
    """
    frame = next((s for s in _segments(data) if s[0] in _FRAMES), None)
    scan = next((s for s in _segments(data) if s[0] == _SOS), None)
    if frame is None or scan is None or len(data) < scan[2]:
        return
    components = data[frame[1] + 6 : frame[2] : 3]
    if frame[0] & 3 != _PROGRESSIVE and data[scan[1]] >= len(components):
        return  # a single scan with all components
    low_bits: dict[tuple[int, int], int] = {}  # by component and coefficient
    for header in _scan_headers(data):
        first, last, approximation = header[-3:]
        for component in header[1:-3:2]:
            for coefficient in range(first, last + 1):
                low_bits[component, coefficient] = approximation & 15
    if any(low_bits.values()) or not set(components) <= {component for component, _ in low_bits}:
        raise _truncated()


def _scan_headers(data: bytes) -> Iterator[bytes]:
    at = 0
    while segment := next((s for s in _segments(data, at) if s[0] == _SOS), None):
        _, start, at = segment
        header = data[start:at]
        if not header or len(header) != 4 + 2 * header[0]:
            return
        yield header
        marker = _MARKER.search(data, at)
        at = marker.start() if marker else len(data)


def _restarts_in_order(data: bytes) -> bool:
    """Return whether the restart markers of the first scan count 0 to 7 cyclically."""
    start = max((end for marker, _, end in _segments(data) if marker == _SOS), default=0)
    scan = data[start:].split(b"\xff\xd9", 1)[0]
    numbers = [found[0] & 7 for found in _RESTART.findall(scan)]
    return all(number == index & 7 for index, number in enumerate(numbers))


def unsupported_jpeg(file: BinaryIO) -> ImageError | None:
    """Return the error for a kind of JPEG that is not supported, or None."""
    file.seek(0)
    data = file.read()
    for marker, start, end in _segments(data):
        if marker == _JPEG_LS:
            return ImageError(ErrorCode.UNSUPPORTED_FORMAT, "JPEG-LS is not supported")
        if marker in _FRAMES and end - start >= 6:
            kind = _unsupported_kind(marker, data[start], data[start + 5])
            return None if kind is None else _unsupported_mode(kind)
    return None


def _unsupported_kind(marker: int, bits: int, channels: int) -> str | None:
    if bits != 8:
        return f"JPEG with {bits} bits per channel"
    if channels not in (1, 3, 4):
        return f"JPEG with {channels} channels"
    if marker & 3 == 3:
        return "lossless JPEG"
    return "hierarchical JPEG" if marker & 4 else None


def _unsupported_mode(kind: str) -> ImageError:
    return ImageError(
        ErrorCode.UNSUPPORTED_MODE, f"{kind} is not supported; save it as baseline JPEG or PNG"
    )


def without_broken_segments(data: bytes) -> bytes:
    """Turn application segments into comments if they are too short or irrelevant to the pixels.

    JFIF, Exif, MPO and Adobe segments remain. No offset changes.
    """
    repaired = bytearray(data)
    for marker, start, end in _segments(data):
        if marker in _APPLICATION and not any(
            marker == kind and data[start:end].startswith(name) and end - start >= least
            for (kind, name), least in _SEGMENTS.items()
        ):
            repaired[start - 3] = _COMMENT
    return bytes(repaired)


def _segments(data: bytes, at: int = 0) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of the data of each segment, up to the next scan header."""
    while (found := _MARKER.search(data, at)) and found.end() + 2 <= len(data):
        marker, start = found[0][-1], found.end() + 2
        if marker == _EOI:
            return
        end = max(start, found.end() + int.from_bytes(data[found.end() : start], "big"))
        yield marker, start, end
        if marker == _SOS:
            return
        at = end
