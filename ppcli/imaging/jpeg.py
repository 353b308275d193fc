"""What Pillow does not tell of JPEG: scans that are damaged, and kinds without a reader."""

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
# Of libjpeg's warnings, by its texts: it has no other names for them. The others are harmless.
_CUT = re.compile("[Pp]remature end|found marker 0xd9 instead of RST")
_DAMAGE = re.compile("bad Huffman code|bad arithmetic code|instead of RST")
_JUNK_BEFORE_RESTART = re.compile("extraneous bytes before marker 0xd[0-7]")
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")

_MARKER = re.compile(rb"\xff+[^\x00\x01\xff\xd0-\xd8]", re.DOTALL)  # of what has a length
_EOI, _SOS, _COMMENT = 0xD9, 0xDA, 0xFE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_JPEG_LS, _PROGRESSIVE = 0xF7, 2
_APPLICATION = range(0xE0, 0xF0)
# Application segments that matter, and how many bytes each needs to be read.
_SEGMENTS = {
    (0xE0, b"JFIF\0"): 14,
    (0xE1, b"Exif\0\0"): 6,
    (0xE2, b"MPF\0"): 12,
    (0xEE, b"Adobe"): 12,
}


def decode_jpeg(image: Image.Image, data: bytes, background: Colour) -> Pixels | None:
    """The pixels of one JPEG picture, unless something about them is out of the ordinary.

    Args:
        image: the picture as Pillow has opened it.
        data: the same from its first marker; what follows its last one does not matter.
        background: not used: nothing is transparent.

    Returns:
        RGB uint8 (height, width, 3), upright; None when Pillow is to decode it.

    Raises:
        ImageError: `truncated` or `corrupt`, where libjpeg goes on with a warning.
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
    """Raise where a warning of libjpeg tells of damage; the others are harmless.

    Args:
        warning: what libjpeg says.
        data: of the picture.

    Raises:
        ImageError: `truncated` or `corrupt`.
    """
    if _CUT.search(warning):
        raise _cut_off()
    lost_restart = _JUNK_BEFORE_RESTART.search(warning) and not _restarts_in_order(data)
    if lost_restart or _DAMAGE.search(warning):
        raise ImageError(ErrorCode.CORRUPT, f"its compressed data is damaged: {warning}")


def _cut_off() -> ImageError:
    return ImageError(ErrorCode.TRUNCATED, "its compressed data ends before the picture does")


def refuse_missing_scans(data: bytes) -> None:
    """See that each component has its scans, where they come in several.

    Raises:
        ImageError: `truncated`, when a component has none, or low bits of its coefficients never
            came.
    """
    frame = next((s for s in _segments(data) if s[0] in _FRAMES), None)
    scan = next((s for s in _segments(data) if s[0] == _SOS), None)
    if frame is None or scan is None or len(data) < scan[2]:
        return
    components = data[frame[1] + 6 : frame[2] : 3]
    if frame[0] & 3 != _PROGRESSIVE and data[scan[1]] >= len(components):
        return  # all come in one scan
    low_bits: dict[tuple[int, int], int] = {}  # by component and coefficient
    for header in _scan_headers(data):
        first, last, approximation = header[-3:]
        for component in header[1:-3:2]:
            for coefficient in range(first, last + 1):
                low_bits[component, coefficient] = approximation & 15
    if any(low_bits.values()) or not set(components) <= {component for component, _ in low_bits}:
        raise _cut_off()


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
    """Whether the restart markers of the picture count from 0 to 7 and on, in every scan."""
    start = max((end for marker, _, end in _segments(data) if marker == _SOS), default=0)
    scan = data[start:].split(b"\xff\xd9", 1)[0]
    numbers = [found[0] & 7 for found in _RESTART.findall(scan)]
    return all(number == place & 7 for place, number in enumerate(numbers))


def unsupported_jpeg(file: BinaryIO) -> ImageError | None:
    """Why a JPEG picture has no reader here, if its first frame tells that it has none."""
    file.seek(0)
    data = file.read()
    for marker, start, end in _segments(data):
        if marker == _JPEG_LS:
            return ImageError(ErrorCode.UNSUPPORTED_FORMAT, "it is JPEG-LS, which is not read here")
        if marker in _FRAMES and end - start >= 6:
            kind = _kind_without_reader(marker, data[start], data[start + 5])
            return None if kind is None else _refused(kind)
    return None


def _kind_without_reader(marker: int, bits: int, channels: int) -> str | None:
    if bits != 8:
        return f"with {bits} bits a channel"
    if channels not in (1, 3, 4):
        return f"with {channels} channels"
    if marker & 3 == 3:
        return "without loss"
    return "in a hierarchy" if marker & 4 else None


def _refused(kind: str) -> ImageError:
    return ImageError(
        ErrorCode.UNSUPPORTED_MODE, f"JPEG {kind} is not read here; save it as ordinary JPEG or PNG"
    )


def without_broken_segments(data: bytes) -> bytes:
    """The file with application segments as comments that are too short, or have no say in pixels.

    Nothing changes its place. What remains is the data of JFIF, Exif, MPO and Adobe.
    """
    mended = bytearray(data)
    for marker, start, end in _segments(data):
        if marker in _APPLICATION and not any(
            marker == kind and data[start:end].startswith(name) and end - start >= least
            for (kind, name), least in _SEGMENTS.items()
        ):
            mended[start - 3] = _COMMENT
    return bytes(mended)


def _segments(data: bytes, at: int = 0) -> Iterator[tuple[int, int, int]]:
    """Marker, and first and last place, of the content of each segment to the next scan's."""
    while (found := _MARKER.search(data, at)) and found.end() + 2 <= len(data):
        marker, start = found[0][-1], found.end() + 2
        if marker == _EOI:
            return
        end = max(start, found.end() + int.from_bytes(data[found.end() : start], "big"))
        yield marker, start, end
        if marker == _SOS:
            return
        at = end
