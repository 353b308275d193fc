"""Documents with questions and exact answers, each from a seed."""

import io
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ppcli.imaging.fit import fit_image
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import Fit
from training.everyday import EverydayWords
from training.faces import SEEN as SEEN_FACES
from training.faces import UNSEEN as UNSEEN_FACES
from training.faces import Face, installed
from training.facts import Fact
from training.layouts import SEEN, UNSEEN
from training.layouts.parts import Draft
from training.page import Glyph, Page, Theme
from training.words import Words

TILE = 32
MIN_PIXELS, MAX_PIXELS = 4 * TILE * TILE, 768 * TILE * TILE
FIT = FitOptions(Fit.RESIZE, TILE // 2, 2, MIN_PIXELS, MAX_PIXELS)
SIZES_OF_TEXT = (13, 20)
# white is near 0, so that ink stands out from the first step on
IMAGE_MEAN, IMAGE_STD = 0.9, 0.3
_CELL = 4, 8
_AnyPage = TypeVar("_AnyPage", bound=Page)
_JPEG_SHARE, _UNEVEN_SHARE = 0.25, 0.5


@dataclass(frozen=True, slots=True)
class Split:
    """A split of the data, and what its documents contain.

    Attributes:
        name: of the split; part of every seed.
        unseen_words: whether words come from those that training never uses.
        unseen_faces: likewise fonts.
        unseen_layouts: likewise kinds of documents.
        everyday: whether every word exists, and each value suits its label.
    """

    name: str
    unseen_words: bool = False
    unseen_faces: bool = False
    unseen_layouts: bool = False
    everyday: bool = False


TRAIN, VALIDATION = Split("train"), Split("validation")


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A document: its image and its facts.

    Attributes:
        kind: of document.
        face: the font.
        image: RGB, as a file would hold it.
        glyphs: its characters and their centres, in pixels of the image.
        facts: what can be asked; no two alike.
        lines: all that stands there, from top to bottom.
    """

    kind: str
    face: str
    image: Image.Image
    glyphs: list[Glyph]
    facts: list[Fact]
    lines: list[str]

    def fitted(self) -> NDArray[np.uint8]:
        """Return the fitted raster that a model receives, (rows, columns, 3)."""
        return fit_image(np.asarray(self.image), FIT).raster


def document(
    split: Split, seed: int, tiles: tuple[int, int], text: tuple[int, int] = SIZES_OF_TEXT
) -> Document:
    """Draw a document.

    Args:
        split: what may be drawn.
        seed: decides.
        tiles: columns and rows that the picture has on the grid.
        text: the least and the largest size of text, in pixels.
    """
    rng = random.Random(f"{split.name} {seed}")
    layouts = UNSEEN if split.unseen_layouts else SEEN
    kind, page, facts = drawn_page(rng, split, tiles, text, layouts)
    image = page.image
    if rng.random() < _JPEG_SHARE:
        image = _as_jpeg(image, rng.randint(45, 95))
    return Document(kind, page.theme.face.name, image, page.glyphs, facts, page.lines())


def drawn_page(
    rng: random.Random,
    split: Split,
    tiles: tuple[int, int],
    text: tuple[int, int],
    layouts: Mapping[str, Callable[[Draft], None]],
    blank: Callable[[tuple[int, int], Theme], _AnyPage] = Page,
) -> tuple[str, _AnyPage, list[Fact]]:
    """Draw a legible page that states something.

    Args:
        rng: decides.
        split: what may be drawn.
        tiles: columns and rows that the page has on the grid.
        text: the least and the largest size of text, in pixels.
        layouts: of which one is drawn, by their names.
        blank: makes a page to draw on, of a size in pixels.

    Returns:
        The name of the layout, the page, and its facts, whose questions are unambiguous.
    """
    faces = _faces(split.unseen_faces)
    words = (EverydayWords if split.everyday else Words)(rng, split.unseen_words)
    uneven = rng.random() < _UNEVEN_SHARE
    width, height = (TILE * side + (rng.randint(-15, 15) if uneven else 0) for side in tiles)
    while True:
        page = blank((width, height), Theme.drawn(rng, faces, text))
        draft = Draft.on(page, words, rng)
        kind = rng.choice(sorted(layouts))
        layouts[kind](draft)
        facts = _distinct(draft.facts)
        if facts and page.legible:
            return kind, page, facts


@cache
def _faces(unseen: bool) -> tuple[Face, ...]:
    found = installed(UNSEEN_FACES if unseen else SEEN_FACES)
    if not found:
        files = ", ".join(str(face.file) for face in UNSEEN_FACES)
        msg = f"none of the fonts for the test is installed: {files}"
        raise FileNotFoundError(msg)
    return found


def _distinct(facts: list[Fact]) -> list[Fact]:
    """Return the facts whose questions are unambiguous."""
    asked = [{question.lower() for question in fact.questions()} for fact in facts]
    times = Counter(question for one in asked for question in one)
    return [
        fact
        for fact, one in zip(facts, asked, strict=True)
        if all(times[question] == 1 for question in one)
    ]


def _as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def _code(character: str) -> int:
    """Return a 7-bit code; £ uses the code of #, which occurs in no document."""
    return ord(character) % 128


def characters_of_cells(made: Document) -> NDArray[np.uint8]:
    """Return for each patch the characters centred in its cells of 4 × 8 pixels.

    Returns:
        uint8 (patches, 8), codes, patches in merge-block order, cells row by row; 0 where
        there is none, and the last one where there are two.
    """
    rows, columns = (side // TILE for side in made.fitted().shape[:2])
    across, down = columns / made.image.width, rows / made.image.height
    out = np.zeros((TILE // _CELL[1] * rows, TILE // _CELL[0] * columns), np.uint8)
    for glyph in made.glyphs:
        row = int(glyph.y * down * TILE / _CELL[1])
        column = int(glyph.x * across * TILE / _CELL[0])
        if 0 <= row < out.shape[0] and 0 <= column < out.shape[1]:
            out[row, column] = _code(glyph.character)
    cells = out.reshape(rows, 2, 2, columns, 2, 4)  # tile, patch and cell, down and across
    return cells.transpose(0, 3, 1, 4, 2, 5).reshape(-1, 8)


def characters_of_tiles(made: Document, most: int) -> NDArray[np.uint8]:
    """Return for each tile the characters centred in it, line by line, left to right.

    Args:
        made: a document.
        most: characters of a tile; more are left out, 0 fills up.

    Returns:
        uint8 (grid_h, grid_w, most), codes of characters.
    """
    rows, columns = (side // TILE for side in made.fitted().shape[:2])
    across, down = columns / made.image.width, rows / made.image.height
    found: dict[tuple[int, int], list[tuple[int, float, int]]] = {}
    for glyph in made.glyphs:
        place = int(glyph.y * down), int(glyph.x * across)
        found.setdefault(place, []).append((round(glyph.y), glyph.x, _code(glyph.character)))
    out = np.zeros((rows, columns, most), np.uint8)
    for (row, column), several in found.items():
        if 0 <= row < rows and 0 <= column < columns:
            codes = [code for _, _, code in sorted(several)][:most]
            out[row, column, : len(codes)] = codes
    return out
