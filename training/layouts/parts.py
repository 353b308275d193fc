"""What several kinds of documents have in common."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from training.facts import Fact
from training.page import Page
from training.words import Words


@dataclass(slots=True)
class Draft:
    """A page in the making.

    Attributes:
        page: drawn on.
        words: to draw.
        rng: decides.
        left, right, top, bottom: what is free, in pixels.
        facts: that it states.
    """

    page: Page
    words: Words
    rng: random.Random
    left: float
    right: float
    top: float
    bottom: float
    facts: list[Fact]

    @classmethod
    def on(cls, page: Page, words: Words, rng: random.Random) -> "Draft":
        """A draft with random margins."""
        wide, high = page.image.size
        left, right = (rng.randint(4, max(5, wide // 12)) for _ in range(2))
        top, bottom = (rng.randint(3, max(4, high // 12)) for _ in range(2))
        return cls(page, words, rng, left, wide - right, top, high - bottom, [])

    @property
    def width(self) -> float:
        """Of what is free."""
        return self.right - self.left

    def rows(self, line: float, least: int = 2) -> int:
        """Some number of rows that fit, more often many than few; at least one."""
        most = max(1, int((self.bottom - self.top) // line))
        return max(self.rng.randint(min(least, most), most), self.rng.randint(1, most))

    def fitting(self, make: Callable[[], str], width: float) -> str | None:
        """A text that is not too wide; None when none was found."""
        tried = (make() for _ in range(8))
        return next((text for text in tried if self.page.width_of(text) <= width), None)

    def title(self, always: bool = False) -> None:
        """A heading, often."""
        if not always and self.rng.random() < 0.45:
            return
        larger = self.rng.choice((1.0, 1.15, 1.3))
        words = self.words.one("titles")
        if self.page.width_of(words, larger) > self.width:
            return
        y = self.top + self.page.theme.size * larger * 0.6
        align = self.rng.choice(("left", "left", "middle"))
        x = self.left if align == "left" else (self.left + self.right) / 2
        fill = self.rng.choice((None, None, self.page.theme.accent))
        self.page.text(x, y, words, fill, larger, align)
        self.top = y + self.page.line * larger * 0.65
        if self.rng.random() < 0.4:
            self.page.rule(self.left, self.top, self.width)
        self.top += self.rng.randint(2, 5)
        self.facts.append(Fact("title", words))


def window(draft: Draft) -> None:
    """A frame with a title bar around what is free."""
    page, rng, theme = draft.page, draft.rng, draft.page.theme
    high = page.line + rng.randint(0, 4)
    area = (draft.left, draft.top, draft.width, draft.bottom - draft.top)
    page.box(area, theme.paper, theme.faint, rng.choice((0, 4)))
    accented = rng.random() < 0.4
    bar = (draft.left, draft.top, draft.width, high)
    page.box(bar, theme.accent if accented else theme.panel, theme.faint)
    fill = theme.paper if accented else theme.ink
    middle, side = rng.random() < 0.3, theme.size * 0.5
    x = (draft.left + draft.right) / 2 if middle else draft.left + rng.randint(5, 10)
    words = draft.fitting(lambda: draft.words.one("titles"), draft.width - 28 - side)
    if words:
        page.text(x, draft.top + high / 2, words, fill, align="middle" if middle else "left")
        draft.facts.append(Fact("title", words))
    if rng.random() < 0.7 and not middle:
        x, y = draft.right - 6 - side, draft.top + high / 2 - side / 2
        page.box((x, y, side, side), None, fill)
    draft.left, draft.right = draft.left + rng.randint(6, 12), draft.right - rng.randint(6, 12)
    draft.top, draft.bottom = draft.top + high + rng.randint(2, 6), draft.bottom - rng.randint(2, 6)
