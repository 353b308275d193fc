"""An input file and the identity of its rows."""

import os
import re
from dataclasses import dataclass

_LOOKS_ESCAPED = re.compile(r"\\(\\|x[0-9a-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One input file.

    Attributes:
        path: as it is opened; bytes that are not UTF-8 are surrogates, as `os.fsdecode` has it.
        image_id: the identity of its rows, valid text, with `/` between folders.
    """

    path: str
    image_id: str

    @property
    def shown_path(self) -> str:
        """The path as valid text, for the column `path`."""
        return escape_name(self.path)

    def page_id(self, page: int) -> str:
        """The identity of one page (one-based) of a file that gives several rows."""
        return f"{self.image_id}#{page}"


def escape_name(name: str) -> str:
    r"""A file name as valid text: itself when it is UTF-8, else with `\xNN` for the other bytes.

    In an escaped name a backslash stands doubled, so that the bytes can be read back. A name
    that looks like an escaped one is escaped too: no two names become the same text.
    """
    raw = name.encode("utf-8", "surrogateescape")
    try:
        raw.decode()
        if not _LOOKS_ESCAPED.search(name):
            return name
    except UnicodeDecodeError:
        pass
    return raw.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def identity(path: str) -> str:
    """The image_id of a path: valid text with `/` between folders on every system."""
    if os.sep != "/":
        path = path.replace(os.sep, "/")
    return escape_name(path)


def printable(text: str) -> str:
    r"""The text on one line, with escapes for control characters and for bytes that are no text.

    Names come from strangers.
    """
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
