"""Every mode Pillow decodes to, as upright RGB with 8 bits a channel; DESIGN section 4."""

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
# How the pixels of each EXIF orientation are turned to be upright.
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
    """Pixels, (height, width, 3), turned as the EXIF orientation of their file says.

    A broken EXIF block is ignored, and so is what XMP says: viewers do not turn by it. Pillow turns
    TIFF itself while loading and then drops the tag.
    """
    try:
        orientation = _exif(image).get(ExifTags.Base.Orientation, 1)
    except Exception:
        orientation = 1
    return turned(pixels, orientation)


def turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Pixels, (height, width, 3), upright, of which EXIF has this orientation."""
    turn = _TURNS.get(orientation)
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def _exif(image: Image.Image) -> Image.Exif:
    """The block itself: Pillow's own `getexif` takes an orientation from XMP where it has none."""
    exif = Image.Exif()
    block = image.info.get("exif")
    if block is None and "Raw profile type exif" in image.info:  # as ImageMagick puts it into PNG
        lines = image.info["Raw profile type exif"].split("\n")
        block = bytes.fromhex("".join(lines[3:]))
    if block is not None:
        exif.load(block)
    return exif


def to_rgb(image: Image.Image, background: Colour = WHITE) -> Image.Image:
    """Convert to RGB; what is transparent shows the background.

    Palette, grey, 1-bit and CMYK as Pillow converts them; 16 bits become 8 by dropping the low
    byte. ICC profiles are not applied.

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
    """As `to_rgb`, with its transparency.

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
            f"pixels of mode {image.mode!r} have no one way to 8-bit RGB; convert the image first",
        )
    if image.mode in ("La", "RGBa"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    return image


def _high_bytes(image: Image.Image) -> Image.Image:
    """A 16-bit grey image as 8-bit grey, with an alpha channel where one level is transparent."""
    levels = np.asarray(image)
    grey = Image.fromarray((levels >> 8).astype(np.uint8))
    clear = image.info.get("transparency")
    if not isinstance(clear, int):
        return grey
    alpha = Image.fromarray(np.where(levels == clear, 0, 255).astype(np.uint8))
    return Image.merge("LA", (grey, alpha))
