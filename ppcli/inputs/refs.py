"""An input file and the identity of its rows."""

import json
import os
import re
import sys
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import xxhash

from ppcli.files import FileState, InputFile

_LOOKS_ESCAPED = re.compile(r"\\(\\|x[0-9a-f]{2})")
_LOOKS_LIKE_A_PAGE = re.compile(r"#[0-9]+\Z")

LONGEST_NAME = 1 << (15 if sys.platform == "win32" else 12)  # no system takes longer ones
_LEFT_OF_NAME = 100


class Input(Protocol):
    """What a run goes through one by one, and knows again when it is resumed."""

    @property
    def image_id(self) -> str:
        """The identity of its rows, as far as all of them share it."""

    def fingerprint(self, failed: bool, with_path: bool = False) -> bytes:
        """What makes it the same input on resuming: identity and state.

        Of an input that failed, what may have been mended does not count. How its path is
        spelled counts only where it is asked for: pixelprune 0.1.0 did that.
        """

    def difference(self, row: Any, failed: bool) -> str | None:  # noqa: ANN401
        """How it differs from the input that gave a row, as far as that shows."""


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One input image: its bytes and the identity of its rows.

    Attributes:
        file: the handle of its bytes.
        image_id: the identity of its rows, valid text, with `/` between folders.
        state: of the file when it was opened; None until then.
        page: the only page or frame (one-based) that is wanted; None for all that the options
            select.
    """

    file: InputFile
    image_id: str
    state: FileState | None = field(default=None, compare=False)
    page: int | None = None

    @property
    def shown_path(self) -> str:
        """The name of the file as valid text, for the column `path`."""
        return escape_name(self.file.name)

    @property
    def shown_id(self) -> str:
        """The identity of the wanted rows: of the file, or of one page."""
        return self.image_id if self.page is None else self.page_id(self.page)

    def page_id(self, page: int) -> str:
        """The identity of one page (one-based) of a file that gives several rows."""
        return f"{self.image_id}#{page}"

    def with_state(self, state: FileState | None) -> "ImageRef":
        """The same image, with the state that its file had when it was opened."""
        return replace(self, state=state)

    def fingerprint(self, failed: bool, with_path: bool = False) -> bytes:
        """Identity, size and version; of an image that failed, the identity only."""
        path = [self.shown_path] if with_path else []
        return json.dumps([self.shown_id, *path, *self._size_and_version(failed)]).encode()

    def _size_and_version(self, failed: bool) -> tuple[int, int]:
        state = None if failed else self.state or self.file.state()
        return (-1, -1) if state is None else (state.size, state.version)

    def difference(self, row: Any, failed: bool) -> str | None:  # noqa: ANN401
        """How the image differs from the one that gave a row, as far as the row shows it."""
        if not (row.image_id or "").startswith(self.image_id):
            return f"{self.image_id} where {row.image_id} was"
        size, _ = self._size_and_version(failed)
        if size >= 0 and size != (getattr(row, "file_bytes", None) or size):
            return f"{self.image_id} has another size"
        return None


class LongName:
    """What stands for a name that no system allows: its beginning, length and hash.

    It is made of the bytes of the name as they come, of which few are kept.
    """

    def __init__(self, begin: bytes = b"") -> None:
        self._begin, self._length, self._hash = b"", 0, xxhash.xxh3_128()
        self.add(begin)

    def add(self, more: bytes) -> None:
        """Take the bytes that follow."""
        self._begin = self._begin or more[:_LEFT_OF_NAME]
        self._length += len(more)
        self._hash.update(more)

    def __str__(self) -> str:
        begin = self._begin.decode("utf-8", "ignore")
        return f"{begin}… (a name of {self._length:,} bytes, XXH3 {self._hash.hexdigest()})"


def escape_name(name: str) -> str:
    r"""A file name as valid text: itself when it is UTF-8, else with `\xNN` for the other bytes.

    In an escaped name a backslash stands doubled, so that the bytes can be read back. A name
    that looks like an escaped one is escaped too: no two names become the same text. What is too
    long for a name is shortened.
    """
    if len(name) > LONGEST_NAME:
        return str(LongName(name.encode("utf-8", "surrogatepass")))
    try:
        name.encode()
    except UnicodeEncodeError:
        return _escaped(name)
    return _escaped(name) if _LOOKS_ESCAPED.search(name) else name


def _escaped(name: str) -> str:
    raw = name.encode("utf-8", "surrogateescape")
    return raw.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def identity(path: str) -> str:
    r"""The image_id of a path: valid text with `/` between folders on every system.

    Pages have `#` and a number at the end of theirs. A file whose name ends so is escaped, with
    `\x23` for that `#`: it is no page of another file.
    """
    if len(path) > LONGEST_NAME:
        return escape_name(path)
    if os.sep != "/":
        path = path.replace(os.sep, "/")
    if not _LOOKS_LIKE_A_PAGE.search(path):
        return escape_name(path)
    name, _, number = _escaped(path).rpartition("#")
    return f"{name}\\x23{number}"
