"""Every mode Pillow decodes to, as upright RGB with 8 bits a channel; DESIGN section 4."""

import numpy as np
from PIL import ExifTags, Image

from ppcli.errors import ErrorCode, ImageError

Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)

_CONVERTIBLE = frozenset(
    {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"}
)
_SIXTEEN_BITS = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright(image: Image.Image) -> Image.Image:
    """The loaded image turned as its EXIF orientation says; a broken EXIF block is ignored.

    Pillow turns TIFF itself while loading and then drops the tag.
    """
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        turn = None
    return image if turn is None else image.transpose(turn)


def to_rgb(image: Image.Image, background: Colour = WHITE) -> Image.Image:
    """Convert to RGB; what is transparent shows the background.

    Palette, grey, 1-bit and CMYK as Pillow converts them; 16 bits become 8 by dropping the low
    byte. ICC profiles are not applied.

    Raises:
        ImageError: `unsupported_mode` for 32-bit, floating-point and CIE Lab images.
    """
    if image.mode in _SIXTEEN_BITS:
        image = _high_bytes(image)
    if image.mode not in _CONVERTIBLE:
        raise ImageError(
            ErrorCode.UNSUPPORTED_MODE,
            f"pixels of mode {image.mode!r} have no one way to 8-bit RGB; convert the image first",
        )
    if image.mode in ("La", "RGBa"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    layer = image.convert("RGBA")
    if layer.getchannel("A").getextrema() == (255, 255):
        return layer.convert("RGB")
    page = Image.new("RGBA", layer.size, (*background, 255))
    return Image.alpha_composite(page, layer).convert("RGB")


def _high_bytes(image: Image.Image) -> Image.Image:
    """A 16-bit grey image as 8-bit grey, with an alpha channel where one level is transparent."""
    levels = np.asarray(image)
    grey = Image.fromarray((levels >> 8).astype(np.uint8))
    clear = image.info.get("transparency")
    if not isinstance(clear, int):
        return grey
    alpha = Image.fromarray(np.where(levels == clear, 0, 255).astype(np.uint8))
    return Image.merge("LA", (grey, alpha))
