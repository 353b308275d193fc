"""Pairs of screenshots: a window, and the same window after one change, each from a seed."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ppcli.imaging.fit import fit_image
from training.facts import Fact
from training.layouts import SEEN
from training.page import Page, Theme
from training.samples import FIT, TILE, Split, drawn_page
from training.words import Words

LAYOUTS = {name: SEEN[name] for name in ("form", "key-values", "receipt", "settings")}
SIZES = ((8, 4), (6, 5), (4, 8))
SIZES_OF_TEXT = (14, 20)
# three kinds of questions about the field that changed, and one about another
CHANGE, NOW, BEFORE, SAME = KINDS = ("change", "now", "before", "same")
EMPTY = "nothing"  # what a field said into which a value was typed
_EMPTY_SHARE = 0.25

Raster = NDArray[np.uint8]
Area = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Stroke:
    """One call that drew something.

    Attributes:
        name: of the method of `Page`.
        given: its arguments.
        named: its named arguments.
        area: left, top, right and bottom of a text or a tick box, in pixels.
    """

    name: str
    given: tuple[Any, ...]
    named: dict[str, Any]
    area: Area | None = None


class RecordedPage(Page):
    """A page that remembers what drew it, so that it can be drawn again with one change."""

    def __init__(self, size: tuple[int, int], theme: Theme) -> None:
        super().__init__(size, theme)
        self.strokes: list[Stroke] = []

    def text(self, *given: Any, **named: Any) -> float:  # noqa: ANN401
        """Draw a line of text."""
        end: float = self._recorded(super().text, given, named)
        return end

    def tick_box(self, *given: Any, **named: Any) -> None:  # noqa: ANN401
        """Draw a tick box."""
        self._recorded(super().tick_box, given, named)

    def rule(self, *given: Any, **named: Any) -> None:  # noqa: ANN401
        """Draw a horizontal line."""
        self._recorded(super().rule, given, named)

    def pole(self, *given: Any, **named: Any) -> None:  # noqa: ANN401
        """Draw a vertical line."""
        self._recorded(super().pole, given, named)

    def box(self, *given: Any, **named: Any) -> None:  # noqa: ANN401
        """Draw a box."""
        self._recorded(super().box, given, named)

    def _recorded(
        self,
        draw: Callable[..., Any],
        given: tuple[Any, ...],
        named: dict[str, Any],
    ) -> Any:  # noqa: ANN401
        spans = len(self._spans)
        end = draw(*given, **named)
        area = self._spans[-1].area if len(self._spans) > spans else None
        self.strokes.append(Stroke(draw.__name__, given, named, area))
        return end

    def place_of(self, fact: Fact) -> int | None:
        """Return the number of the stroke that drew an answer beside its label; None if unsure."""
        texts = [one for one in self.strokes if one.name == "text"]
        rows = {one.given[1] for one in texts if one.given[2].removesuffix(":") == fact.first}
        found = [
            number
            for number, one in enumerate(self.strokes)
            if one.area is not None and one.given[1] in rows and _says(one, fact)
        ]
        return found[0] if len(found) == 1 else None

    def again(self, number: int, stroke: Stroke | None) -> Page:
        """Draw the page again with another stroke in the place of one; None leaves it out."""
        page = Page(self.image.size, self.theme)
        for one in (*self.strokes[:number], stroke, *self.strokes[number + 1 :]):
            if one is not None:
                getattr(page, one.name)(*one.given, **one.named)
        return page


def _says(stroke: Stroke, fact: Fact) -> bool:
    if fact.kind == "ticked":
        return stroke.name == "tick_box"
    return stroke.name == "text" and stroke.given[2] == fact.answer


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A window before and after one change.

    Attributes:
        layout: kind of window.
        images: RGB, before and after, of one size.
        label: of the field that changed.
        questions: about the second image, by kind; `same` may be several.
        areas: where the answers of `same` stand in the rasters that a model receives.
    """

    layout: str
    images: tuple[Image.Image, Image.Image]
    label: str
    questions: dict[str, list[Fact]]
    areas: dict[Fact, Area]

    def fitted(self) -> tuple[Raster, Raster]:
        """Return the rasters that a model receives, (rows, columns, 3)."""
        before, after = (fit_image(np.asarray(one), FIT).raster for one in self.images)
        return before, after


def pair(split: Split, seed: int, tiles: tuple[int, int]) -> Pair:
    """Draw a pair.

    Args:
        split: what may be drawn.
        seed: decides.
        tiles: columns and rows that the images have on the grid.
    """
    rng = random.Random(f"{split.name} pair {seed}")
    while True:
        drawn = drawn_page(rng, split, tiles, SIZES_OF_TEXT, LAYOUTS, RecordedPage)
        made = _with_change(rng, split, *drawn)
        if made is not None:
            return made


def _with_change(
    rng: random.Random, split: Split, layout: str, page: RecordedPage, facts: list[Fact]
) -> Pair | None:
    """Return a page as the second of a pair; None if nothing can change, or nothing else stays."""
    places = {fact: place for fact in facts if (place := page.place_of(fact)) is not None}
    if not places:
        return None
    changed = rng.choice(list(places))
    stroke, said = _earlier(rng, split, page.strokes[places[changed]], changed)
    before = page.again(places[changed], stroke)
    if said == changed.answer or not before.legible:
        return None
    one = Pair(layout, (before.image, page.image), changed.first, {}, {})
    rasters = one.fitted()
    shown = _shown_again(*rasters)
    for fact, place in places.items():
        area = _fitted_area(page.strokes[place], page.image.size, rasters[1].shape)
        if fact != changed and not shown[tiles_of(area)].any():
            one.areas[fact] = area
    if not one.areas:
        return None
    was = "ticked before" if changed.kind == "ticked" else "before"
    questions = {
        CHANGE: [Fact("change", f"{changed.first}: {changed.answer}")],
        NOW: [changed],
        BEFORE: [Fact(was, said, changed.first)],
        SAME: list(one.areas),
    }
    return replace(one, questions=questions)


def _earlier(
    rng: random.Random, split: Split, stroke: Stroke, fact: Fact
) -> tuple[Stroke | None, str]:
    """Return how a field was drawn before it changed, and what it said."""
    x, y, *rest = stroke.given
    if fact.kind == "ticked":
        side, ticked, kind = rest
        given = (x, y, side, not ticked, kind)
        return replace(stroke, given=given), "no" if ticked else "yes"
    if rng.random() < _EMPTY_SHARE:
        return None, EMPTY
    value = Words(rng, split.unseen_words).value_of(fact.first)
    return replace(stroke, given=(x, y, value, *rest[1:])), value


def _shown_again(before: Raster, after: Raster) -> NDArray[np.bool_]:
    """Return the tiles that `--sequence forward` may keep of the second raster.

    They are those that differ, and the first one: bool (rows, columns).
    """
    rows, columns = (side // TILE for side in after.shape[:2])
    differs = (before != after).reshape(rows, TILE, columns, TILE * 3).any(axis=(1, 3))
    differs[0, 0] = True
    return differs


def _fitted_area(stroke: Stroke, size: tuple[int, int], shape: tuple[int, ...]) -> Area:
    """Return the area of a stroke on an image of this size, in pixels of its fitted raster."""
    assert stroke.area is not None
    left, top, right, bottom = stroke.area
    across, down = shape[1] / size[0], shape[0] / size[1]
    return left * across, top * down, right * across, bottom * down


def tiles_of(area: Area) -> tuple[slice, slice]:
    """Return the rows and columns of tiles that an area of a fitted raster touches."""
    left, top, right, bottom = (int(side // TILE) for side in area)
    return slice(top, bottom + 1), slice(left, right + 1)
