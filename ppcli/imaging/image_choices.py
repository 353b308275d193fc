"""Choices for reading images. Imports nothing heavy, since `--help` needs them."""

from enum import StrEnum

Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)

DEFAULT_MAX_IMAGE_PIXELS = 1 << 28
DEFAULT_DPI = 150.0


class Fit(StrEnum):
    """How an image is fitted to the tile grid: resampled as the model does, or padded."""

    RESIZE = "resize"
    PAD = "pad"


class Frames(StrEnum):
    """Which frames of an animation become rows. All pages of a TIFF do."""

    FIRST = "first"
    ALL = "all"


class PdfImages(StrEnum):
    """How PDF pages become pixels: rendered, or taken from a page's single embedded image."""

    RENDER = "render"
    NATIVE = "native"
