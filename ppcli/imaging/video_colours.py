"""Converts frames of a video to upright RGB with 8 bits per channel."""

import struct
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ppcli.imaging.colour import to_rgb, turned
from ppcli.imaging.image_choices import Colour

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

# Numbers of libav (AVCOL_SPC_UNSPECIFIED) and of libswscale (SWS_CS_ITU709, SWS_CS_ITU601).
_UNSPECIFIED, _BT709, _BT601 = 2, 1, 5
_LARGEST_SD = (1279, 576)  # width and height up to which untagged video is BT.601, as in players
_HIGH_DYNAMIC_RANGE = frozenset({16, 18})  # PQ and HLG
# The display matrix, without its position, as an EXIF orientation.
_ALMOST_ZERO = 16  # of 65,536
_ORIENTATIONS = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}


def pixels_of(frame: "VideoFrame", background: Colour) -> NDArray[np.uint8]:
    """Return the upright pixels of a frame, RGB uint8 (height, width, 3).

    Chroma is interpolated for every pixel, and the arithmetic is that of libswscale's bit-exact
    mode, so that all machines give the same pixels.
    """
    from av.video.reformatter import Interpolation

    exact = Interpolation.ACCURATE_RND | Interpolation.BITEXACT
    full_chroma = Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
    has_alpha = any(part.is_alpha for part in frame.format.components)
    converted = frame.reformat(
        format="rgba" if has_alpha else "rgb24",
        src_colorspace=_colour_space(frame),
        interpolation=int(Interpolation.BICUBIC | exact | full_chroma),
    )
    pixels = np.asarray(converted.to_ndarray(), dtype=np.uint8)
    if has_alpha:
        pixels = np.asarray(to_rgb(Image.fromarray(pixels), background))
    return turned(pixels, orientation_of(frame) or 1)


def warning_of(frame: "VideoFrame", metadata: Mapping[str, str]) -> str | None:
    """Return what the pixels of a frame may show wrongly; None if nothing.

    Args:
        frame: the frame.
        metadata: of its video stream.
    """
    if metadata.get("alpha_mode") == "1":
        return "the transparency of the video is not read"
    if orientation_of(frame) is None:
        return "the video asks to be turned by an angle that is not a multiple of 90°; it is not"
    if frame.color_trc in _HIGH_DYNAMIC_RANGE:
        return "the video has a high dynamic range; its brightness is not converted"
    return None


def orientation_of(frame: "VideoFrame") -> int | None:
    """Return how a frame is turned or mirrored for display, as EXIF counts; None for other ways."""
    for data in cast(Iterable[Any], frame.side_data):
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = struct.unpack_from("=5i", bytes(data))
            return _ORIENTATIONS.get((_sign(a), _sign(b), _sign(c), _sign(d)))
    return 1


def _sign(part: int) -> int:
    return (part > _ALMOST_ZERO) - (part < -_ALMOST_ZERO)


def _colour_space(frame: "VideoFrame") -> int | None:
    """Return the matrix of a frame that does not name it; None if it does."""
    if frame.colorspace != _UNSPECIFIED or frame.format.is_rgb:
        return None
    is_sd = frame.width <= _LARGEST_SD[0] and frame.height <= _LARGEST_SD[1]
    return _BT601 if is_sd else _BT709
