"""The choices of this stop, apart from the code that needs Pillow: `--help` shows them."""

from enum import StrEnum

Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)

DEFAULT_MAX_IMAGE_PIXELS = 1 << 28
DEFAULT_DPI = 150.0


class Fit(StrEnum):
    """Resample to whole tiles as the model's processor does, or repeat the edge pixels."""

    RESIZE = "resize"
    PAD = "pad"


class Frames(StrEnum):
    """Which frames of an animation become rows; pages of a TIFF always all do."""

    FIRST = "first"
    ALL = "all"


class PdfImages(StrEnum):
    """Draw every page, or take the pixels of a page that is one embedded image as they are."""

    RENDER = "render"
    NATIVE = "native"
