"""Photo-like pictures: a landscape of noise and a receipt on a wooden table."""

import numpy as np
from PIL import Image, ImageFilter

from business import receipt


def _noise(dice, width, height, cells_x, cells_y):
    """Returns smooth noise in [0, 1] that changes about once a cell."""
    grid = dice.integers(0, 256, (cells_y, cells_x), dtype=np.uint8)
    smooth = Image.fromarray(grid).resize((width, cells_y)).resize((width, height))
    return np.asarray(smooth, dtype=np.float32) / 255


def _octaves(dice, width, height, cells_x, cells_y, count):
    total = np.zeros((height, width), np.float32)
    for octave in range(count):
        layer = _noise(dice, width, height, cells_x << octave, cells_y << octave)
        total += layer / 2 ** (octave + 1)
    return total


def _grain(dice, reach, shape):
    return dice.integers(-reach, reach + 1, shape, dtype=np.int8)


def _blend(low, high, share):
    low, high = np.float32(low), np.float32(high)
    return low + (high - low) * share[..., None]


def _picture(levels):
    return Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))


def landscape():
    """Paints hills under clouds above a lake, with the grain of a sensor."""
    width, height, shore = 640, 480, 330
    dice = np.random.Generator(np.random.PCG64(20))
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None] * np.ones((1, width), np.float32)
    levels = _blend((92, 138, 196), (246, 214, 178), np.clip(down * 1.6, 0, 1))
    clouds = np.clip(_octaves(dice, width, height, 4, 6, 5) * 2.6 - 1.1, 0, 1) * (1 - down)
    levels += (np.float32((250, 246, 240)) - levels) * clouds[..., None]
    rows = np.arange(height)[:, None]
    for index, colour in enumerate(((142, 152, 172), (98, 116, 122), (58, 82, 68))):
        ridge = _octaves(dice, width, 1, 3 + 2 * index, 1, 6 - index)
        inside = rows > 150 + 55 * index + 130 * (1 - ridge) - 60
        shade = 0.8 + 0.4 * _octaves(dice, width, height, 24, 24, 4)
        levels = np.where(inside[..., None], np.float32(colour) * shade[..., None], levels)
    levels[shore:] = _lake(dice, levels[:shore], height - shore)
    levels += _grain(dice, 5, (height, width, 1)) + _grain(dice, 2, (height, width, 3))
    return _picture(levels)


def _lake(dice, above, depth):
    """Mirrors what is above the shore and disturbs it with ripples."""
    mirror = above[::-1][: depth * 2 : 2][:depth]
    ripples = _octaves(dice, above.shape[1], depth, 10, 60, 3) - np.float32(0.45)
    return mirror * np.float32(0.72) + ripples[..., None] * np.float32((46, 54, 60)) + 14


def phone_receipt():
    """Photographs the receipt on a table: tilted, with a shadow and uneven light."""
    width, height = 600, 900
    dice = np.random.Generator(np.random.PCG64(7))
    table = _picture(_wood(dice, width, height))
    paper = receipt().convert("RGBA").resize((380, 800)).resize((380, 760))
    paper = paper.rotate(-3.5, Image.Resampling.BICUBIC, expand=True)
    left, top = (width - paper.width) // 2 - 10, (height - paper.height) // 2
    shadow = Image.new("L", (width, height))
    shadow.paste(paper.getchannel("A").point(lambda level: level // 2), (left + 9, top + 12))
    table.paste("#1a0f08", (0, 0), shadow.filter(ImageFilter.GaussianBlur(9)))
    table.paste(paper, (left, top), paper)
    levels = np.asarray(table.filter(ImageFilter.GaussianBlur(0.6)), dtype=np.float32)
    light = 0.74 + 0.36 * _noise(dice, width, height, 2, 3)
    levels = levels * light[..., None] + _grain(dice, 4, (height, width, 3))
    return _picture(levels)


def _wood(dice, width, height):
    grain = _octaves(dice, width, height, 3, 70, 3)
    stain = _noise(dice, width, height, 4, 5)
    levels = _blend((96, 62, 38), (176, 124, 82), 0.7 * grain + 0.3 * stain)
    for seam in (210, 545):
        levels[seam : seam + 4] *= 0.45
    return levels
