"""A page that records the position of every character drawn on it."""

import random
from dataclasses import dataclass
from itertools import combinations

from PIL import Image, ImageDraw

from training.faces import Face, font, width

Colour = tuple[int, int, int]
UNTICKED, TICKED = "\x01", "\x02"  # boxes are read like characters


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours and the font of a page.

    Attributes:
        paper: behind everything.
        ink: of text.
        faint: of rules and borders.
        accent: of what stands out, with text on it in the colour of paper.
        panel: of bars and headers.
        face: the font.
        size: of it, in pixels.
    """

    paper: Colour
    ink: Colour
    faint: Colour
    accent: Colour
    panel: Colour
    face: Face
    size: int

    @classmethod
    def drawn(cls, rng: random.Random, faces: tuple[Face, ...], sizes: tuple[int, int]) -> "Theme":
        """Draw a theme, light more often than dark."""
        tint = [rng.randint(-9, 0) for _ in range(3)]
        dark = rng.random() < 0.25
        paper = (
            rng.randint(18, 60) if dark else 255 if rng.random() < 0.6 else rng.randint(225, 255)
        )
        ink = rng.randint(195, 255) if dark else rng.randint(0, 80)
        step = 1 if dark else -1
        accent = [rng.randint(20, 150) for _ in range(3)]
        if dark:
            accent = [235 - part for part in accent]

        def grey(level: int) -> Colour:
            red, green, blue = (max(0, min(255, level + part)) for part in tint)
            return red, green, blue

        return cls(
            grey(paper),
            grey(ink),
            grey(paper + step * rng.randint(30, 90)),
            (accent[0], accent[1], accent[2]),
            grey(paper + step * rng.randint(6, 26)),
            rng.choice(faces),
            rng.randint(*sizes),
        )


@dataclass(frozen=True, slots=True)
class Glyph:
    """A character and its centre."""

    character: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class _Span:
    """Drawn text and its bounding box."""

    words: str
    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> tuple[float, float, float, float]:
        return self.left, self.top, self.right, self.bottom

    def touches(self, other: "_Span", apart: float) -> bool:
        return (
            self.left < other.right + apart
            and other.left < self.right + apart
            and self.top < other.bottom
            and other.top < self.bottom
        )


class Page:
    """An RGB image with text and the shapes of forms and windows."""

    def __init__(self, size: tuple[int, int], theme: Theme) -> None:
        self.image = Image.new("RGB", size, theme.paper)
        self.theme = theme
        self.glyphs: list[Glyph] = []
        self._spans: list[_Span] = []
        self._draw = ImageDraw.Draw(self.image)

    @property
    def line(self) -> int:
        """Return the pixels from one line of text to the next."""
        return round(self.theme.size * 1.5)

    def width_of(self, words: str, larger: float = 1.0) -> float:
        """Return the width of a line of text in pixels."""
        return width(self.theme.face, round(self.theme.size * larger), words)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        fill: Colour | None = None,
        larger: float = 1.0,
        align: str = "left",
    ) -> float:
        """Draw a line of text vertically centred on y, aligned at x; return where it ends."""
        size = round(self.theme.size * larger)
        whole = width(self.theme.face, size, words)
        x -= {"left": 0.0, "right": whole, "middle": whole / 2}[align]
        x, baseline = round(x), round(y + size * 0.36)
        drawn = font(self.theme.face, size)
        self._draw.text((x, baseline), words, fill or self.theme.ink, drawn, "ls")
        self._spans.append(_Span(words, x, y - size / 2, x + whole, y + size / 2))
        at = float(x)
        for character in words:
            step = width(self.theme.face, size, character)
            self.glyphs.append(Glyph(character, at + step / 2, y))
            at += step
        return at

    @property
    def legible(self) -> bool:
        """Whether all text is within the page, with space between texts."""
        wide, high = self.image.size
        apart = self.theme.size / 4
        return all(
            min(one.left, one.top) >= 0 and one.right <= wide and one.bottom <= high
            for one in self._spans
        ) and not any(one.touches(other, apart) for one, other in combinations(self._spans, 2))

    def lines(self) -> list[str]:
        """Return all text from top to bottom; neighbouring texts share a line."""
        found: list[list[_Span]] = []
        for span in sorted(self._spans, key=lambda one: one.top):
            if found and span.top - found[-1][0].top < self.theme.size / 2:
                found[-1].append(span)
            else:
                found.append([span])
        return [
            " ".join(span.words for span in sorted(line, key=lambda one: one.left))
            for line in found
        ]

    def rule(self, x: float, y: float, length: float, fill: Colour | None = None) -> None:
        """Draw a horizontal line."""
        self._draw.line((x, y, x + length, y), fill or self.theme.faint)

    def pole(self, x: float, y: float, length: float) -> None:
        """Draw a vertical line."""
        self._draw.line((x, y, x, y + length), self.theme.faint)

    def box(
        self,
        area: tuple[float, float, float, float],
        fill: Colour | None = None,
        outline: Colour | None = None,
        radius: int = 0,
    ) -> None:
        """Draw a box, given its corner, width and height."""
        x, y, wide, high = (round(part) for part in area)
        corners = (x, y, x + wide, y + high)
        self._draw.rounded_rectangle(corners, radius, fill, outline)

    def tick_box(self, x: float, y: float, side: int, ticked: bool, kind: str) -> None:
        """Draw a check box, radio button or switch to the right of x, on or off."""
        ink, accent, paper = self.theme.ink, self.theme.accent, self.theme.paper
        top = round(y - side / 2)
        left = round(x)
        wide = 2 * side if kind == "switch" else side
        self.glyphs.append(Glyph(TICKED if ticked else UNTICKED, left + wide / 2, y))
        self._spans.append(_Span("[x]" if ticked else "[ ]", left, top, left + wide, top + side))
        corners = (left, top, left + side, top + side)
        if kind == "switch":
            whole = (left, top, left + wide, top + side)
            self._draw.rounded_rectangle(whole, side // 2, accent if ticked else None, ink)
            knob = left + side if ticked else left
            knob_area = (knob + 2, top + 2, knob + side - 2, top + side - 2)
            self._draw.ellipse(knob_area, paper if ticked else ink)
        elif kind == "disc":
            self._draw.ellipse(corners, paper, ink)
            if ticked:
                third = side / 4
                inner = (left + third, top + third, left + side - third, top + side - third)
                self._draw.ellipse(inner, ink)
        else:
            self._draw.rectangle(corners, accent if ticked and kind == "filled" else paper, ink)
            if ticked:
                stroke = paper if kind == "filled" else ink
                if kind == "cross":
                    inner = (left + 3, top + 3, left + side - 3, top + side - 3)
                    self._draw.line(inner, stroke, 2)
                    self._draw.line((inner[0], inner[3], inner[2], inner[1]), stroke, 2)
                else:
                    bend = (left + side * 0.42, top + side * 0.75)
                    start = (left + side * 0.2, top + side * 0.5)
                    self._draw.line(
                        (start, bend, (left + side * 0.8, top + side * 0.22)), stroke, 2
                    )
