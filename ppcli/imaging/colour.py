"""Converts every Pillow mode to upright RGB with 8 bits per channel."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from ppcli.errors import ErrorCode, ImageError
from ppcli.imaging.image_choices import WHITE, Colour

_CONVERTIBLE = frozenset(
    {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"}
)
_SIXTEEN_BITS = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
_TURNS: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}


def upright(pixels: NDArray[np.uint8], image: Image.Image) -> NDArray[np.uint8]:
    """Apply the EXIF orientation of an image to its pixels, (height, width, 3).

    A broken EXIF block is ignored. So is an orientation in XMP, as viewers do. Pillow applies
    the orientation of a TIFF itself while loading, and then drops the tag.
    """
    try:
        orientation = _exif(image).get(ExifTags.Base.Orientation, 1)
    except Exception:
        orientation = 1
    return turned(pixels, orientation)


def is_upright(image: Image.Image) -> bool:
    """Return whether no program turns an image: neither its EXIF nor its XMP block asks for it."""
    try:
        orientations = (
            one.get(ExifTags.Base.Orientation, 1) for one in (_exif(image), image.getexif())
        )
        return all(orientation == 1 for orientation in orientations)
    except Exception:
        return False


def turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Apply an EXIF orientation to pixels, (height, width, 3)."""
    turn = _TURNS.get(orientation)
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def _exif(image: Image.Image) -> Image.Exif:
    """Parse the EXIF block; unlike Pillow's `getexif`, never take an orientation from XMP."""
    exif = Image.Exif()
    block = image.info.get("exif")
    if block is None and "Raw profile type exif" in image.info:  # ImageMagick's form in PNG
        lines = image.info["Raw profile type exif"].split("\n")
        block = bytes.fromhex("".join(lines[3:]))
    if block is not None:
        exif.load(block)
    return exif


def to_rgb(image: Image.Image, background: Colour = WHITE) -> Image.Image:
    """Convert to RGB, compositing transparent pixels on the background.

    Palette, grey, 1-bit and CMYK images are converted as Pillow does. 16 bits become 8 by
    dropping the low byte. ICC profiles are not applied.

    Raises:
        ImageError: `unsupported_mode` for 32-bit, floating-point and CIE Lab images.
    """
    image = _convertible(image)
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    layer = image.convert("RGBA")
    if layer.getchannel("A").getextrema() == (255, 255):
        return layer.convert("RGB")
    page = Image.new("RGBA", layer.size, (*background, 255))
    return Image.alpha_composite(page, layer).convert("RGB")


def to_rgba(image: Image.Image) -> Image.Image:
    """Convert to RGBA, as `to_rgb` does but with the transparency.

    Raises:
        ImageError: `unsupported_mode`.
    """
    return _convertible(image).convert("RGBA")


def _convertible(image: Image.Image) -> Image.Image:
    if image.mode in _SIXTEEN_BITS:
        image = _high_bytes(image)
    if image.mode not in _CONVERTIBLE:
        raise ImageError(
            ErrorCode.UNSUPPORTED_MODE,
            f"mode {image.mode!r} has no unambiguous conversion to 8-bit RGB; "
            "convert the image first",
        )
    if image.mode in ("La", "RGBa"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    return image


def _high_bytes(image: Image.Image) -> Image.Image:
    """Convert 16-bit grey to 8 bits, with an alpha channel if one level is transparent."""
    levels = np.asarray(image)
    grey = Image.fromarray((levels >> 8).astype(np.uint8))
    transparent = image.info.get("transparency")
    if not isinstance(transparent, int):
        return grey
    alpha = Image.fromarray(np.where(levels == transparent, 0, 255).astype(np.uint8))
    return Image.merge("LA", (grey, alpha))
