"""Enumerations and defaults of imaging. Imports nothing heavy, since `--help` needs them."""

from enum import StrEnum

Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)

DEFAULT_MAX_IMAGE_PIXELS = 1 << 28
DEFAULT_DPI = 150.0
DEFAULT_FPS = 2.0  # as Qwen3-VL's own processor samples videos


class Fit(StrEnum):
    """How an image is brought onto the tile grid.

    `resize` resamples it to whole tiles, as the model's own processor does; `pad` repeats the
    pixels of its right and bottom edges.
    """

    RESIZE = "resize"
    PAD = "pad"


class Frames(StrEnum):
    """Which frames of an animation become rows. All pages of a TIFF become rows in any case."""

    FIRST = "first"
    ALL = "all"


class PdfImages(StrEnum):
    """How PDF pages that consist of one embedded image are read.

    `render` draws them like other pages; `native` takes the pixels of the image unscaled.
    """

    RENDER = "render"
    NATIVE = "native"
