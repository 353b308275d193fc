"""A canvas for pages and screens, drawn with the font that Pillow carries."""

from functools import cache
from math import ceil, floor

from PIL import Image, ImageDraw, ImageFont

INK = "#1b1f24"
GREY = "#6b7280"
RULE = "#c9ced6"
SCALE = 4


@cache
def font(size):
    """Returns Pillow's font, laid out by its own engine so that Raqm makes no difference."""
    return ImageFont.load_default(size).font_variant(layout_engine=ImageFont.Layout.BASIC)


def text_width(words, size):
    """Returns the width of a line of text in whole pixels."""
    return ceil(font(size).getlength(words))


def shorten(words, size, width):
    """Cuts a line of text so that it fits, with an ellipsis for what is missing."""
    if text_width(words, size) <= width:
        return words
    while words and text_width(words.rstrip() + "…", size) > width:
        words = words[:-1]
    return words.rstrip() + "…"


def wrap(words, size, width):
    """Breaks text into the lines of a column."""
    lines, line = [], ""
    for word in words.split():
        longer = f"{line} {word}".strip()
        if line and text_width(longer, size) > width:
            lines.append(line)
            line = word
        else:
            line = longer
    return [*lines, line]


def cell_width(size):
    """Returns the width of one character cell of fixed-width text."""
    return round(size * 0.57)


@cache
def _cell_mask(char, size, bold):
    cell, height = cell_width(size), size * 3 // 2
    width = max(cell, text_width(char, size))
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).text(
        (width / 2, size * 1.1),
        char,
        fill=255,
        font=font(size),
        anchor="ms",
        stroke_width=0.4 if bold else 0,
    )
    return mask if width == cell else mask.resize((cell, height))


class Canvas:
    """An RGB image with the few strokes that pages and screens are made of."""

    def __init__(self, width, height, background="white"):
        self.image = Image.new("RGB", (width, height), background)
        self.draw = ImageDraw.Draw(self.image)

    def text(self, x, y, words, size=14, fill=INK, anchor="la", bold=False, width=None):
        """Draws one line, shortened to the width if one is given."""
        if width is not None:
            words = shorten(words, size, width)
        stroke = 0.15 + size / 90 if bold else 0
        self.draw.text((x, y), words, fill, font(size), anchor, stroke_width=stroke)

    def centred(self, x, y, words, size=14, fill=INK, bold=False):
        """Draws one line centred on a point, by the height of capitals."""
        self.text(x, y + round(size * 0.36), words, size, fill, "ms", bold)

    def row_text(self, x, y, words, size=14, fill=INK, bold=False, width=None, right=False):
        """Draws one line vertically centred on y, from x on or up to x."""
        anchor = "rs" if right else "ls"
        self.text(x, y + round(size * 0.36), words, size, fill, anchor, bold, width)

    def paragraph(self, x, y, width, words, size=14, fill=INK, leading=None, justify=False):
        """Draws wrapped text and returns the y below it."""
        leading = leading or round(size * 1.5)
        lines = wrap(words, size, width)
        for index, line in enumerate(lines):
            if justify and index + 1 < len(lines):
                self._justified(x, y, width, line, size, fill)
            else:
                self.text(x, y, line, size, fill)
            y += leading
        return y

    def _justified(self, x, y, width, line, size, fill):
        words = line.split()
        gap = (width - sum(text_width(word, size) for word in words)) / max(1, len(words) - 1)
        for word in words:
            self.text(round(x), y, word, size, fill)
            x += text_width(word, size) + gap

    def mono(self, x, y, words, size=14, fill=INK, bold=False):
        """Draws fixed-width text and returns the x behind it."""
        for char in words:
            if char != " ":
                self.image.paste(fill, (x, y), _cell_mask(char, size, bold))
            x += cell_width(size)
        return x

    def rule(self, x, y, width, fill=RULE, line=1):
        """Draws a horizontal rule."""
        self.draw.rectangle((x, y, x + width - 1, y + line - 1), fill)

    def pole(self, x, y, height, fill=RULE, line=1):
        """Draws a vertical rule."""
        self.draw.rectangle((x, y, x + line - 1, y + height - 1), fill)

    def dashes(self, x, y, width, fill=RULE, dash=4, gap=3):
        """Draws a dashed horizontal rule."""
        for start in range(x, x + width, dash + gap):
            self.rule(start, y, min(dash, x + width - start), fill)

    def box(self, x, y, width, height, fill=None, outline=None, radius=0, line=1):
        """Draws a box, with smooth corners when they are round."""
        if not radius:
            self.draw.rectangle((x, y, x + width - 1, y + height - 1), fill, outline, line)
            return
        area = (x, y, width, height)
        edges, curve = (0, 0, width * SCALE - 1, height * SCALE - 1), radius * SCALE
        if fill:
            self._smooth(area, fill, lambda d: d.rounded_rectangle(edges, curve, 255))
        if outline:
            pen = line * SCALE
            self._smooth(area, outline, lambda d: d.rounded_rectangle(edges, curve, None, 255, pen))

    def disc(self, x, y, radius, fill=None, outline=None, line=1):
        """Draws a disc or a ring around a point."""
        left, top, side = floor(x - radius), floor(y - radius), ceil(2 * radius) + 2
        area, edges = (left, top, side, side), _scaled_circle(x - left, y - top, radius)
        if fill:
            self._smooth(area, fill, lambda d: d.ellipse(edges, 255))
        if outline:
            pen = round(line * SCALE)
            self._smooth(area, outline, lambda d: d.ellipse(edges, None, 255, pen))

    def slice(self, x, y, radius, start, end, fill):
        """Draws a slice of a pie; angles are in degrees, clockwise from the top."""
        area = (x - radius, y - radius, 2 * radius + 1, 2 * radius + 1)
        edges = _scaled_circle(radius, radius, radius)
        self._smooth(area, fill, lambda d: d.pieslice(edges, start - 90, end - 90, 255))

    def polygon(self, points, fill):
        """Draws a filled polygon with smooth edges."""
        area, local = _localise(points, 1)
        self._smooth(area, fill, lambda d: d.polygon(local, 255))

    def path(self, points, fill=INK, line=1.5):
        """Draws a line through points with smooth edges and round ends."""
        area, local = _localise(points, ceil(line))
        pen = round(line * SCALE)

        def paint(draw):
            draw.line(local, 255, pen, "curve")
            for x, y in (local[0], local[-1]):
                draw.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), 255)

        self._smooth(area, fill, paint)

    def button(self, x, y, width, height, words, fill, ink="white", outline=None, size=14):
        """Draws a push button."""
        self.box(x, y, width, height, fill, outline, radius=5)
        self.centred(x + width // 2, y + height // 2, words, size, ink)

    def scrollbar(self, x, y, height, start, length, track, thumb):
        """Draws a vertical scrollbar with its thumb."""
        self.box(x, y, 12, height, track)
        self.box(x + 3, y + start, 6, length, thumb, radius=3)

    def barcode(self, x, y, width, height, seed):
        """Draws bars of several widths that encode nothing."""
        state, end = seed, x + width
        while x < end:
            state = (state * 1103515245 + 12345) % 2**31
            bar, gap = 1 + (state >> 16) % 3, 1 + (state >> 20) % 3
            self.box(x, y, min(bar, end - x), height, INK)
            x += bar + gap

    def _smooth(self, area, fill, paint):
        """Fills a shape that `paint` draws enlarged, so that its edges come out smooth."""
        x, y, width, height = area
        mask = Image.new("L", (width * SCALE, height * SCALE))
        paint(ImageDraw.Draw(mask))
        self.image.paste(fill, (x, y), mask.reduce(SCALE))


def _scaled_circle(x, y, radius):
    return [(x - radius) * SCALE, (y - radius) * SCALE, (x + radius) * SCALE, (y + radius) * SCALE]


def _localise(points, margin):
    """Returns the area around some points and the points inside it, enlarged."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    left, top = floor(min(xs)) - margin, floor(min(ys)) - margin
    width, height = ceil(max(xs)) + margin - left + 1, ceil(max(ys)) + margin - top + 1
    local = [((x - left) * SCALE, (y - top) * SCALE) for x, y in points]
    return (left, top, width, height), local
