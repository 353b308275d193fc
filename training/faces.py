"""Fonts: Pillow's built-in font, and those of installed Debian packages.

The variable PIXELPRUNE_FONTS names another folder than that of the system, laid out alike.
Debian's packages: fonts-dejavu, fonts-liberation, fonts-roboto, fonts-open-sans, fonts-lato,
fonts-hack, fonts-crosextra-carlito, fonts-noto-core, fonts-inter, fonts-cantarell,
fonts-crosextra-caladea. Their licences allow images of text without conditions.
"""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import ImageFont

_FOLDER = Path(os.environ.get("PIXELPRUNE_FONTS", "/usr/share/fonts"))


@dataclass(frozen=True, slots=True)
class Face:
    """A font.

    Attributes:
        name: its name.
        licence: of its files.
        file: below the system's folder of fonts; None is the one of Pillow.
    """

    name: str
    licence: str
    file: str | None


_DEJAVU, _LIBERATION = "truetype/dejavu/DejaVu", "truetype/liberation/Liberation"
PILLOW = Face("Aileron", "CC0", None)
SEEN = (
    PILLOW,
    Face("DejaVu Sans", "Bitstream Vera", f"{_DEJAVU}Sans.ttf"),
    Face("DejaVu Sans Bold", "Bitstream Vera", f"{_DEJAVU}Sans-Bold.ttf"),
    Face("DejaVu Sans Mono", "Bitstream Vera", f"{_DEJAVU}SansMono.ttf"),
    Face("DejaVu Serif", "Bitstream Vera", f"{_DEJAVU}Serif.ttf"),
    Face("Liberation Sans", "OFL-1.1", f"{_LIBERATION}Sans-Regular.ttf"),
    Face("Liberation Sans Bold", "OFL-1.1", f"{_LIBERATION}Sans-Bold.ttf"),
    Face("Liberation Serif", "OFL-1.1", f"{_LIBERATION}Serif-Regular.ttf"),
    Face("Liberation Mono", "OFL-1.1", f"{_LIBERATION}Mono-Regular.ttf"),
    Face("Roboto", "Apache-2.0", "truetype/roboto/unhinted/RobotoTTF/Roboto-Regular.ttf"),
    Face("Roboto Medium", "Apache-2.0", "truetype/roboto/unhinted/RobotoTTF/Roboto-Medium.ttf"),
    Face("Open Sans", "Apache-2.0", "truetype/open-sans/OpenSans-Regular.ttf"),
    Face("Lato", "OFL-1.1", "truetype/lato/Lato-Regular.ttf"),
    Face("Hack", "MIT", "truetype/hack/Hack-Regular.ttf"),
    Face("Carlito", "OFL-1.1", "truetype/crosextra/Carlito-Regular.ttf"),
    Face("Noto Sans", "OFL-1.1", "truetype/noto/NotoSans-Regular.ttf"),
    Face("Noto Serif", "OFL-1.1", "truetype/noto/NotoSerif-Regular.ttf"),
)
UNSEEN = (
    Face("Inter", "OFL-1.1", "opentype/inter/Inter-Regular.otf"),
    Face("Cantarell", "OFL-1.1", "opentype/cantarell/Cantarell-Regular.otf"),
    Face("Caladea", "Apache-2.0", "truetype/crosextra/Caladea-Regular.ttf"),
)


def installed(faces: tuple[Face, ...]) -> tuple[Face, ...]:
    """Return the fonts that this machine has."""
    return tuple(one for one in faces if one.file is None or (_FOLDER / one.file).exists())


@cache
def font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """Load a font at a size in pixels, with Pillow's basic layout engine."""
    basic = ImageFont.Layout.BASIC
    if face.file is None:
        return ImageFont.load_default(size).font_variant(layout_engine=basic)
    return ImageFont.truetype(str(_FOLDER / face.file), size, layout_engine=basic)


@cache
def advance(face: Face, size: int, character: str) -> float:
    """Return the pixels from one character to the next."""
    return font(face, size).getlength(character)


def width(face: Face, size: int, words: str) -> float:
    """Return the pixels of a line of text without kerning."""
    return sum(advance(face, size, character) for character in words)
