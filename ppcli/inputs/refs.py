"""References to input files, and the identities of their rows."""

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import xxhash

from ppcli.files import FileState, InputFile
from ppcli.inputs.containers.container_kinds import END_OF_CONTAINER, SEPARATOR, member_splits

_LOOKS_ESCAPED = re.compile(r"\\(\\|x[0-9a-f]{2})")
_LOOKS_LIKE_A_PAGE = re.compile(r"#[0-9]+\Z")

LONGEST_NAME = 1 << (15 if sys.platform == "win32" else 12)  # no system takes longer ones
_LEFT_OF_NAME = 100

Columns = Mapping[str, Any]
"""The kept columns of a row: a pyarrow scalar for each name."""


class Input(Protocol):
    """One of the items that a run works on; a resumed run recognizes it. It can be pickled."""

    @property
    def image_id(self) -> str:
        """The identity of its rows, or the part that they share."""

    @property
    def columns(self) -> Columns | None:
        """The columns that travel into its rows, as Arrow scalars; None if none are kept."""

    @property
    def far_files(self) -> tuple[InputFile, ...]:
        """Its files on other machines, in the order in which they are opened."""

    @property
    def name(self) -> str:
        """The identity that it keeps when its content changes, without the number of a page."""

    @property
    def images(self) -> "tuple[ImageRef, ...]":
        """Its images that are read from files."""

    def fingerprint(self, failed: bool, with_path: bool = False) -> bytes:
        """Return its identity and state; if equal, a resumed run treats it as the same input.

        Args:
            failed: it failed, so leave out what may have been repaired since.
            with_path: include the spelling of its path, as pixelprune 0.1.0 did.
        """

    def difference(self, row: Any, failed: bool) -> str | None:  # noqa: ANN401
        """Return how it differs from the input of a row; None if no difference shows."""


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One input image: its bytes and the identity of its rows.

    Attributes:
        file: handle of its bytes.
        image_id: identity of its rows: valid text, with `/` between folders.
        state: state of the file when it was opened; None until then.
        page: the only page or frame (one-based) to read; None for all that the options select.
        columns: the columns that travel into its rows, as Arrow scalars; None if none are kept.
        ends_sequence: whether no later image is worked on together with it.
    """

    file: InputFile
    image_id: str
    state: FileState | None = field(default=None, compare=False)
    page: int | None = None
    columns: Columns | None = field(default=None, compare=False, repr=False)
    ends_sequence: bool = field(default=True, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The identity of the file."""
        return self.image_id

    @property
    def images(self) -> "tuple[ImageRef, ...]":
        """Itself."""
        return (self,)

    @property
    def shown_path(self) -> str:
        """The name of the file as valid text, for the column `path`."""
        return escape_name(self.file.name)

    @property
    def shown_id(self) -> str:
        """The identity of the file, or of the only page to read."""
        return self.image_id if self.page is None else self.page_id(self.page)

    @property
    def far_files(self) -> tuple[InputFile, ...]:
        """Its file if that is on another machine."""
        return (self.file,) if self.file.is_far else ()

    def page_id(self, page: int) -> str:
        """Return the identity of one page (one-based) of a file with several rows."""
        return f"{self.image_id}#{page}"

    def with_state(self, state: FileState | None) -> "ImageRef":
        """Return the same image with the state of its file when that was opened."""
        return replace(self, state=state)

    def fingerprint(self, failed: bool, with_path: bool = False) -> bytes:
        """Return identity, size and version as JSON; without the last two if it failed."""
        path = [self.shown_path] if with_path else []
        return json.dumps([self.shown_id, *path, *self._size_and_version(failed)]).encode()

    def _size_and_version(self, failed: bool) -> tuple[int, int]:
        state = None if failed else self.state or self.file.state()
        return (-1, -1) if state is None else (state.size, state.version)

    def difference(self, row: Any, failed: bool) -> str | None:  # noqa: ANN401
        """Return how it differs from the image of a row; None if no difference shows."""
        if not (row.image_id or "").startswith(self.image_id):
            return f"expected {row.image_id}, found {self.image_id}"
        size, _ = self._size_and_version(failed)
        if size >= 0 and size != (getattr(row, "file_bytes", None) or size):
            return f"the size of {self.image_id} has changed"
        return None


def fingerprint_column(one: Input, failed: bool) -> str | None:
    """Return the column `fingerprint` of the rows of an input: a digest of what identifies it.

    It is None for an input that failed and whose state only a server knows, which may not answer.
    """
    if failed and any(_is_unknown(image) for image in one.images):
        return None
    return xxhash.xxh3_128_hexdigest(one.fingerprint(failed=False))


def _is_unknown(image: ImageRef) -> bool:
    listed = getattr(image.file, "listed", None)
    return image.state is None and listed is None and image.file.is_far


def ends_sequence(one: Input) -> bool:
    """Return whether no later input is worked on together with this one; requests are alone."""
    return getattr(one, "ends_sequence", True)


def is_readable(one: Input) -> bool:
    """Return whether the files of an input exist now, as far as can be told without opening."""
    return all(image.file.state() is not None for image in one.images)


class LongName:
    """Replaces a name that is too long for any system by its beginning, length and hash.

    The bytes of the name are added piece by piece; few of them are kept.
    """

    def __init__(self, begin: bytes = b"") -> None:
        self._begin, self._length, self._hash = b"", 0, xxhash.xxh3_128()
        self.add(begin)

    def add(self, more: bytes) -> None:
        """Add the next bytes of the name."""
        self._begin = self._begin or more[:_LEFT_OF_NAME]
        self._length += len(more)
        self._hash.update(more)

    def __str__(self) -> str:
        begin = self._begin.decode("utf-8", "ignore")
        return f"{begin}… (a name of {self._length:,} bytes, XXH3 {self._hash.hexdigest()})"


def escape_name(name: str) -> str:
    r"""Return a file name as valid text: unchanged if it is UTF-8, else with escapes like `\xNN`.

    An escaped name has each backslash doubled, so that the bytes can be recovered. A name that
    looks escaped is escaped too, so that no two names become the same text. A name that is too
    long for any system is replaced by a `LongName`.
    """
    if len(name) > LONGEST_NAME:
        return str(LongName(name.encode("utf-8", "surrogatepass")))
    try:
        name.encode()
    except UnicodeEncodeError:
        return _escaped(name)
    return _escaped(name) if looks_escaped(name) else name


def _escaped(name: str) -> str:
    raw = name.encode("utf-8", "surrogateescape")
    return raw.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def looks_escaped(name: str) -> bool:
    """Return whether a name has what `escape_name` puts into names."""
    return _LOOKS_ESCAPED.search(name) is not None


def identity(path: str) -> str:
    r"""Return the image_id of a path: valid text, with `/` between folders on every system.

    The image_id of a page ends with `#` and a number. A file name that ends like this is escaped,
    with `\x23` for the `#`, so that it does not look like a page of another file. So is a path that
    looks like the member of a container, with `\x3a` for each colon.
    """
    if len(path) > LONGEST_NAME:
        return escape_name(path)
    if os.sep != "/":
        path = path.replace(os.sep, "/")
    if SEPARATOR in path and member_splits(path):
        path = END_OF_CONTAINER.sub(_with_escaped_colons, _escaped(path))
    elif not _LOOKS_LIKE_A_PAGE.search(path):
        return escape_name(path)
    else:
        path = _escaped(path)
    if not _LOOKS_LIKE_A_PAGE.search(path):
        return path
    name, _, number = path.rpartition("#")
    return f"{name}\\x23{number}"


def _with_escaped_colons(found: "re.Match[str]") -> str:
    return found[0].removesuffix(SEPARATOR) + "\\x3a\\x3a"
