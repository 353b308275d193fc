"""What a PDF page draws and cannot be read: without this check it would be white, and sound."""

import re
import warnings
from collections import Counter
from collections.abc import Iterator

import pikepdf

from ppcli.errors import ErrorCode, ImageError
from ppcli.imaging.pdf_codecs import check_image
from ppcli.imaging.pdf_font_files import chosen_fonts, doubt_about, font_file
from ppcli.imaging.pdf_forms import DEEPEST, FormCount
from ppcli.imaging.pdf_streams import GENERAL, UnreadableError, packed, unpacked
from ppcli.imaging.pdf_structure import Value, entry, spelled

_DRAWS = re.compile(rb"/([^\s/<>\[\](){}%]+)\s+Do\b")
_NOT_ASCII = re.compile(rb"[^!-~]")
_DEEPEST = 12  # branches of the page tree
_MOST_BYTES = 256 << 20  # of what one stream draws
_HIDDEN = 2 | 32  # flags of annotations


class DamageCheck:
    """Looks at what the pages of a document draw, and only once at what several of them draw."""

    def __init__(self) -> None:
        self._sound: set[tuple[int, int]] = set()
        self._doubts: list[str] = []
        self._on_page: set[tuple[int, int]] = set()
        self._count = FormCount()

    def doubts_about(self, page: Value) -> list[str]:
        """What may be wrong with what a page draws, although it can be read.

        Raises:
            ImageError: `corrupt`, when something that it draws is missing, damaged or cut off;
                `too_large`, when its forms draw one another too often.
        """
        self._doubts, self._on_page = [], set()
        resources = _inherited(page, "/Resources")
        try:
            content = b"\n".join(self._content(one, "its content") for one in _contents(page))
            drawn = self._check_drawing(content, resources, 0)
            for look in _looks(page):
                self._check_form(look, "/AP", resources, 0)
                drawn[look.objgen] = drawn.get(look.objgen, 0) + 1
        except UnreadableError as error:
            raise ImageError(ErrorCode.CORRUPT, f"the page cannot be drawn: {error}") from error
        self._count.check(drawn.items())
        return self._doubts

    def _check_drawing(
        self, content: bytes, resources: Value, deep: int
    ) -> dict[tuple[int, int], int]:
        """Gives back what is drawn, and how often."""
        for font in chosen_fonts(content, resources):
            self._check_font(font)
        things = entry(resources, "/XObject")
        drawn: dict[tuple[int, int], int] = {}
        for written, times in sorted(Counter(_DRAWS.findall(content)).items()):
            name = "/" + written.decode("ascii", "backslashreplace")
            key = _as_key(written)
            if key is None:
                continue
            try:
                thing = entry(things, key)
                self._check_thing(thing, name, resources, deep)
                drawn[thing.objgen] = drawn.get(thing.objgen, 0) + times
            except UnreadableError:
                if _really_draws(content, key):
                    raise
        return drawn

    def _check_font(self, font: Value) -> None:
        file = font_file(font)
        if file is None or file.objgen in self._sound:
            return
        doubt = doubt_about(font, file)
        if doubt is None:
            self._sound.add(file.objgen)
        elif doubt not in self._doubts:
            self._doubts.append(doubt)

    def _check_thing(self, thing: Value, name: str, resources: Value, deep: int) -> None:
        if not isinstance(thing, pikepdf.Stream):
            raise UnreadableError(f"{name}, which it draws, is missing")
        if thing.objgen in self._sound or thing.objgen in self._on_page:
            return
        doubts = len(self._doubts)
        if spelled(entry(thing, "/Subtype")) == "Form":
            self._check_form(thing, name, resources, deep)
        elif spelled(entry(thing, "/Subtype")) == "Image":
            self._check_image(thing, name)
        if len(self._doubts) == doubts:
            self._sound.add(thing.objgen)

    def _check_form(self, form: Value, name: str, resources: Value, deep: int) -> None:
        if deep >= DEEPEST:
            raise UnreadableError(f"{name} lies within more forms than are drawn ({deep})")
        self._on_page.add(form.objgen)  # also while it may be found within itself
        try:
            content = self._content(form, f"the content of {name}")
            own = entry(form, "/Resources")
            drawn = self._check_drawing(content, resources if own is None else own, deep + 1)
        except UnreadableError:
            self._on_page.discard(form.objgen)
            raise
        self._count.add(form.objgen, len(content), drawn)

    def _check_image(self, image: Value, name: str) -> None:
        for part, said in ((image, "the image"), (entry(image, "/SMask"), "the mask of")):
            if not isinstance(part, pikepdf.Stream):
                continue
            try:
                right = check_image(part)
            except UnreadableError as error:
                raise UnreadableError(f"{said} {name} {error}") from error
            if not right:
                self._doubt(f"{said} {name}")

    def _content(self, stream: Value, said: str) -> bytes:
        if not isinstance(stream, pikepdf.Stream):
            raise UnreadableError(f"{said} is missing")
        try:
            source = packed(stream)
            if source.by is not None and source.by not in GENERAL:
                raise UnreadableError(f"is packed by {source.by}")
            content, right = unpacked(source, _MOST_BYTES)
        except UnreadableError as error:
            raise UnreadableError(f"{said} {error}") from error
        if not right:
            self._doubt(said)
        return content

    def _doubt(self, said: str) -> None:
        self._doubts.append(f"the checksum of {said} is wrong; it may be damaged")


def _contents(page: Value) -> list[Value]:
    content = entry(page, "/Contents")
    if content is None and not _has_key(page, "/Contents"):
        return []
    return list(content) if isinstance(content, pikepdf.Array) else [content]


def _has_key(of: Value, key: str) -> bool:
    """Whether there is such a key, although what it leads to is missing."""
    try:
        return any(one == key for one, _ in of.items())
    except UnicodeDecodeError:  # of another key
        return False


def _looks(page: Value) -> Iterator[Value]:
    """How the annotations of a page look, those that show."""
    annotations = entry(page, "/Annots")
    for one in annotations if isinstance(annotations, pikepdf.Array) else ():
        flags, state = entry(one, "/F"), entry(one, "/AS")
        look = entry(entry(one, "/AP"), "/N")
        if isinstance(look, pikepdf.Dictionary) and isinstance(state, pikepdf.Name):
            look = entry(look, state)
        if isinstance(look, pikepdf.Stream) and not (isinstance(flags, int) and flags & _HIDDEN):
            yield look


def _inherited(page: Value, key: str) -> Value:
    for _ in range(_DEEPEST):
        if (found := entry(page, key)) is not None:
            return found
        page = entry(page, "/Parent")
    return None


def _as_key(written: bytes) -> Value:
    """A name as it is written in a content; None where it has escapes that are none."""
    escaped = _NOT_ASCII.sub(lambda found: b"#%02x" % found[0][0], written)
    try:
        return pikepdf.Object.parse(b"/" + escaped)
    except pikepdf.PikepdfError:
        return None


def _really_draws(content: bytes, name: Value) -> bool:
    """Whether a name stands there as an operand, and not within a text."""
    document = pikepdf.new()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a content that is not as it should be
            drawing = pikepdf.parse_content_stream(pikepdf.Stream(document, content), "Do")
    except pikepdf.PikepdfError:
        return True
    return any(operand == name for step in drawing for operand in step.operands)
