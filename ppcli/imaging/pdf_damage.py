"""Checks that everything a PDF page draws can be read; PDFium silently draws the rest as blank."""

import re
import warnings
from collections import Counter
from collections.abc import Iterator

import pikepdf

from ppcli.errors import ErrorCode, ImageError
from ppcli.imaging.pdf_codecs import check_image
from ppcli.imaging.pdf_font_files import font_file, font_problem, used_fonts
from ppcli.imaging.pdf_forms import MAX_FORM_DEPTH, FormCount
from ppcli.imaging.pdf_streams import GENERAL, UnreadableError, decoded_data, filtered_data
from ppcli.imaging.pdf_structure import Value, entry, name_text

_DRAWS = re.compile(rb"/([^\s/<>\[\](){}%]+)\s+Do\b")
_NOT_ASCII = re.compile(rb"[^!-~]")
_MAX_TREE_DEPTH = 12  # of the page tree
_MAX_CONTENT_BYTES = 256 << 20  # of one stream
_HIDDEN = 2 | 32  # annotation flags


class DamageCheck:
    """Checks the pages of a document; objects that several pages share are checked once."""

    def __init__(self) -> None:
        self._intact: set[tuple[int, int]] = set()
        self._warnings: list[str] = []
        self._forms_on_page: set[tuple[int, int]] = set()
        self._count = FormCount()

    def check_page(self, page: Value) -> list[str]:
        """Check all that a page draws.

        Args:
            page: the page dictionary.

        Returns:
            Warnings about objects that can be read but may be damaged.

        Raises:
            ImageError: `corrupt`, if an object is missing, damaged or truncated; `too_large`, if
                forms draw one another too often.
        """
        self._warnings, self._forms_on_page = [], set()
        resources = _inherited(page, "/Resources")
        try:
            content = b"\n".join(self._content(one, "its content") for one in _contents(page))
            drawn = self._check_drawing(content, resources, 0)
            for appearance in _appearances(page):
                self._check_form(appearance, "/AP", resources, 0)
                drawn[appearance.objgen] = drawn.get(appearance.objgen, 0) + 1
        except UnreadableError as error:
            raise ImageError(ErrorCode.CORRUPT, f"the page cannot be drawn: {error}") from error
        self._count.check(drawn.items())
        return self._warnings

    def _check_drawing(
        self, content: bytes, resources: Value, depth: int
    ) -> dict[tuple[int, int], int]:
        """Check all that a content uses; return how often it draws each object."""
        for font in used_fonts(content, resources):
            self._check_font(font)
        objects = entry(resources, "/XObject")
        drawn: dict[tuple[int, int], int] = {}
        for literal, times in sorted(Counter(_DRAWS.findall(content)).items()):
            name = "/" + literal.decode("ascii", "backslashreplace")
            key = _parse_name(literal)
            if key is None:
                continue
            try:
                target = entry(objects, key)
                self._check_object(target, name, resources, depth)
                drawn[target.objgen] = drawn.get(target.objgen, 0) + times
            except UnreadableError:
                if _is_drawn(content, key):
                    raise
        return drawn

    def _check_font(self, font: Value) -> None:
        file = font_file(font)
        if file is None or file.objgen in self._intact:
            return
        problem = font_problem(font, file)
        if problem is None:
            self._intact.add(file.objgen)
        elif problem not in self._warnings:
            self._warnings.append(problem)

    def _check_object(self, target: Value, name: str, resources: Value, depth: int) -> None:
        if not isinstance(target, pikepdf.Stream):
            raise UnreadableError(f"the object {name} is missing")
        if target.objgen in self._intact or target.objgen in self._forms_on_page:
            return
        warnings_before = len(self._warnings)
        if name_text(entry(target, "/Subtype")) == "Form":
            self._check_form(target, name, resources, depth)
        elif name_text(entry(target, "/Subtype")) == "Image":
            self._check_image(target, name)
        if len(self._warnings) == warnings_before:
            self._intact.add(target.objgen)

    def _check_form(self, form: Value, name: str, resources: Value, depth: int) -> None:
        if depth >= MAX_FORM_DEPTH:
            raise UnreadableError(f"{name} is nested in more than {depth} forms")
        self._forms_on_page.add(form.objgen)  # before its content, where it may be drawn again
        try:
            content = self._content(form, f"the content of {name}")
            own = entry(form, "/Resources")
            drawn = self._check_drawing(content, resources if own is None else own, depth + 1)
        except UnreadableError:
            self._forms_on_page.discard(form.objgen)
            raise
        self._count.add(form.objgen, len(content), drawn)

    def _check_image(self, image: Value, name: str) -> None:
        for part, label in ((image, "the image"), (entry(image, "/SMask"), "the mask of")):
            if not isinstance(part, pikepdf.Stream):
                continue
            try:
                is_checksum_right = check_image(part)
            except UnreadableError as error:
                raise UnreadableError(f"{label} {name} {error}") from error
            if not is_checksum_right:
                self._warn_of_checksum(f"{label} {name}")

    def _content(self, stream: Value, label: str) -> bytes:
        if not isinstance(stream, pikepdf.Stream):
            raise UnreadableError(f"{label} is missing")
        try:
            source = filtered_data(stream)
            if source.by is not None and source.by not in GENERAL:
                raise UnreadableError(f"is encoded with {source.by}")
            content, is_checksum_right = decoded_data(source, _MAX_CONTENT_BYTES)
        except UnreadableError as error:
            raise UnreadableError(f"{label} {error}") from error
        if not is_checksum_right:
            self._warn_of_checksum(label)
        return content

    def _warn_of_checksum(self, label: str) -> None:
        self._warnings.append(f"the checksum of {label} is wrong; it may be damaged")


def _contents(page: Value) -> list[Value]:
    content = entry(page, "/Contents")
    if content is None and not _has_key(page, "/Contents"):
        return []
    return list(content) if isinstance(content, pikepdf.Array) else [content]


def _has_key(of: Value, key: str) -> bool:
    """Return whether a dictionary has a key, even if its value is missing from the file."""
    try:
        return any(one == key for one, _ in of.items())
    except UnicodeDecodeError:  # in another key
        return False


def _appearances(page: Value) -> Iterator[Value]:
    """Yield the appearance streams of the visible annotations of a page."""
    annotations = entry(page, "/Annots")
    for annotation in annotations if isinstance(annotations, pikepdf.Array) else ():
        flags, state = entry(annotation, "/F"), entry(annotation, "/AS")
        appearance = entry(entry(annotation, "/AP"), "/N")
        if isinstance(appearance, pikepdf.Dictionary) and isinstance(state, pikepdf.Name):
            appearance = entry(appearance, state)
        is_hidden = isinstance(flags, int) and flags & _HIDDEN
        if isinstance(appearance, pikepdf.Stream) and not is_hidden:
            yield appearance


def _inherited(page: Value, key: str) -> Value:
    for _ in range(_MAX_TREE_DEPTH):
        if (found := entry(page, key)) is not None:
            return found
        page = entry(page, "/Parent")
    return None


def _parse_name(literal: bytes) -> Value:
    """Parse a name of a content stream; return None if its escapes are invalid."""
    escaped = _NOT_ASCII.sub(lambda found: b"#%02x" % found[0][0], literal)
    try:
        return pikepdf.Object.parse(b"/" + escaped)
    except pikepdf.PikepdfError:
        return None


def _is_drawn(content: bytes, name: Value) -> bool:
    """Return whether a name occurs as an operand of `Do`, and not inside a string."""
    document = pikepdf.new()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid content
            drawing = pikepdf.parse_content_stream(pikepdf.Stream(document, content), "Do")
    except pikepdf.PikepdfError:
        return True
    return any(operand == name for step in drawing for operand in step.operands)
