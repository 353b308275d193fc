"""Arranges pictures with captions on one sheet."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ppcli.errors import pluralize
from ppcli.show.overlay import ramp

_PAPER, _INK = (236, 238, 242), (24, 28, 36)
_PIXELS_PER_SIZE = 40  # fits a caption of about sixty characters in one line
_SMALLEST, _LARGEST = 13, 64
_NARROWEST = 280


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """A picture on a sheet.

    Attributes:
        pixels: uint8 (height, width, 3).
        caption: text below it; ASCII, since Pillow's built-in font has little else.
        most_levels: if given, a colour scale from 0 to this level is drawn below.
    """

    pixels: NDArray[np.uint8]
    caption: str
    most_levels: int | None = None


def sheet(panels: Sequence[Panel]) -> Image.Image:
    """Arrange panels in a grid: up to three in one row, more in a nearly square shape.

    Args:
        panels: pictures of equal size.
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
            line = top + height + _line_offset(len(text) - 1, size)
            _draw_scale(out, (left, line), cell, size, panel.most_levels)
    return out


def _columns(number: int, shape: float) -> int:
    """Return the number of columns: up to three panels in a row, else nearly square, few gaps.

    Args:
        number: number of panels.
        shape: width over height of a panel.
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
    """Wrap a caption; a colour scale takes an extra line at the end."""
    lines = [""]
    for word in panel.caption.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _font(size).getlength(longer) > width - size:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines if panel.most_levels is None else [*lines, ""]


def _write(out: Image.Image, origin: tuple[int, int], lines: Sequence[str], size: int) -> None:
    draw = ImageDraw.Draw(out)
    for number, line in enumerate(lines):
        position = origin[0] + size // 2, origin[1] + _line_offset(number, size)
        draw.text(position, line, fill=_INK, font=_font(size))


def _line_offset(number: int, size: int) -> int:
    """Return the distance of a caption line from the picture above, in pixels."""
    return round(size * (0.35 + 1.4 * number))


def _draw_scale(
    out: Image.Image, origin: tuple[int, int], width: int, size: int, most: int
) -> None:
    """Draw the colour scale between its lowest and highest value."""
    draw, font = ImageDraw.Draw(out), _font(size)
    y = origin[1]
    words = pluralize(most, "level")
    left = origin[0] + size // 2
    draw.text((left, y), "0", fill=_INK, font=font)
    bar_left = left + round(size * 1.2)
    bar_wide = max(4, min(12 * size, width - round(2.7 * size + font.getlength(words))))
    bar = np.repeat(ramp(bar_wide)[None], round(size * 0.8), axis=0)
    out.paste(Image.fromarray(bar), (bar_left, y + round(size * 0.2)))
    draw.text((bar_left + bar_wide + size // 2, y), words, fill=_INK, font=font)
