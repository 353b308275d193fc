"""Pictures with captions, side by side on one sheet."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ppcli.show.overlay import ramp

_PAPER, _INK = (236, 238, 242), (24, 28, 36)
_PIXELS_PER_SIZE = 40  # a caption has some sixty letters
_SMALLEST, _LARGEST = 13, 64
_NARROWEST = 280


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """A picture on a sheet.

    Attributes:
        pixels: uint8 (height, width, 3).
        caption: below it; plain ASCII, which the font that Pillow carries has.
        most_levels: when given, a scale of colours from 0 to so many levels stands below.
    """

    pixels: NDArray[np.uint8]
    caption: str
    most_levels: int | None = None


def sheet(panels: Sequence[Panel]) -> Image.Image:
    """All panels, up to three in a row, more as near to a square as they go, with few gaps.

    Args:
        panels: pictures of one size.
    """
    height, width = panels[0].pixels.shape[:2]
    size = min(_LARGEST, max(_SMALLEST, width // _PIXELS_PER_SIZE))
    cell = max(width, _NARROWEST)
    lines = [_wrapped(panel, cell, size) for panel in panels]
    below = round(size * (1.4 * max(map(len, lines)) + 0.7))
    columns = _columns(len(panels), cell / (height + below))
    gap = size if len(panels) > 1 else 0
    rows = math.ceil(len(panels) / columns)
    wide, high = columns * (cell + gap) + gap, rows * (height + below + gap) + gap
    out = Image.new("RGB", (wide, high), _PAPER)
    for number, (panel, text) in enumerate(zip(panels, lines, strict=True)):
        row, column = divmod(number, columns)
        left, top = gap + column * (cell + gap), gap + row * (height + below + gap)
        out.paste(Image.fromarray(panel.pixels), (left, top))
        _write(out, (left, top + height), text, size)
        if panel.most_levels is not None:
            line = top + height + _line(len(text) - 1, size)
            _draw_scale(out, (left, line), cell, size, panel.most_levels)
    return out


def _columns(number: int, shape: float) -> int:
    """How many panels side by side: up to three, else near to a square and with few gaps.

    Args:
        number: of panels.
        shape: how many times as wide as high one is.
    """
    if number <= 3:
        return number
    return min(
        range(1, number + 1),
        key=lambda columns: (
            abs(math.log(columns * shape / math.ceil(number / columns)))
            + math.log(columns * math.ceil(number / columns) / number)
        ),
    )


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _wrapped(panel: Panel, width: int, size: int) -> list[str]:
    """The lines of a caption; the scale has one of its own, the last."""
    lines = [""]
    for word in panel.caption.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _font(size).getlength(longer) > width - size:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines if panel.most_levels is None else [*lines, ""]


def _write(out: Image.Image, place: tuple[int, int], lines: Sequence[str], size: int) -> None:
    draw = ImageDraw.Draw(out)
    for number, line in enumerate(lines):
        spot = place[0] + size // 2, place[1] + _line(number, size)
        draw.text(spot, line, fill=_INK, font=_font(size))


def levels_in_words(number: int) -> str:
    """So many of the 256 levels of a channel, in words."""
    return f"{number} level{'s' * (number != 1)}"


def _line(number: int, size: int) -> int:
    """How far below the picture a line of its caption begins."""
    return round(size * (0.35 + 1.4 * number))


def _draw_scale(out: Image.Image, place: tuple[int, int], width: int, size: int, most: int) -> None:
    """A bar of all colours between the numbers that they stand for."""
    draw, font = ImageDraw.Draw(out), _font(size)
    y = place[1]
    words = levels_in_words(most)
    left = place[0] + size // 2
    draw.text((left, y), "0", fill=_INK, font=font)
    bar_left = left + round(size * 1.2)
    bar_wide = max(4, min(12 * size, width - round(2.7 * size + font.getlength(words))))
    bar = np.repeat(ramp(bar_wide)[None], round(size * 0.8), axis=0)
    out.paste(Image.fromarray(bar), (bar_left, y + round(size * 0.2)))
    draw.text((bar_left + bar_wide + size // 2, y), words, fill=_INK, font=font)
