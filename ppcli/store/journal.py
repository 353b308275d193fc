"""Lines that are added to a file one by one, each with a digest that also covers those before it.

To write a file anew for each line takes time that grows with the square of their number. A line
that was being written when the machine stopped is cut short; all others are as they were.
"""

import io
import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import xxhash

from ppcli.errors import DamagedError
from ppcli.store.atomic import as_output_error, sync_folder

Content = dict[str, Any]


@dataclass(slots=True)
class JournalContent:
    """What a journal holds.

    Attributes:
        base: the digest that it begins with; None without a whole line.
        entries: of its lines.
        torn: whether its last line was not written to its end.
    """

    base: str | None = None
    entries: list[Content] = field(default_factory=list)
    torn: bool = False


class Journal:
    """Adds lines to a file, which begins with the first of them.

    Args of the constructor:
        path: of the file; there must be none yet.
        base: what the digest of the first line covers beside it.
    """

    def __init__(self, path: str, base: str) -> None:
        self._path = path
        self._last = base
        self._file: io.FileIO | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no line was added."""
        return self._file is None

    def append(self, content: Content) -> None:
        """Bring a line to the disk.

        Raises:
            OutputError: when it cannot be written.
        """
        content = content | {"after": self._last}
        line = canonical_json(content)
        with as_output_error(self._path):
            is_new = self._file is None
            if self._file is None:
                self._file = io.FileIO(self._path, "xb")
            while line:
                line = line[self._file.write(line) :]
            os.fsync(self._file.fileno())
            if is_new:
                sync_folder(os.path.dirname(self._path))
        self._last = content_digest(content)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()


def read_journal(path: str) -> JournalContent:
    """What a journal holds; nothing when there is none.

    Raises:
        DamagedError: when it cannot be read, or a line is not as it was written.
    """
    found = JournalContent()
    try:
        lines = read_own_file(path).split(b"\n")
    except FileNotFoundError:
        return found
    last = None
    for number, line in enumerate(lines, 1):
        entry = _entry(line, last)
        if entry is None:
            if number < len(lines) - 1 or (lines[-1] == b"" and line and b"\0" not in line):
                raise DamagedError(f"{path} is not as it was written, from line {number} on")
            found.torn = any(lines[number - 1 :])
            break
        found.base = entry["after"] if last is None else found.base
        last = entry.pop("digest")
        found.entries.append(entry)
    return found


def _entry(line: bytes, last: str | None) -> Content | None:
    """The content of a line; None when it is not as it was written after the one before."""
    try:
        content = json.loads(line)
        digest = content.pop("digest")
        right = canonical_json(content) == line + b"\n" and last in (None, content["after"])
        return content | {"digest": digest} if right else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def read_own_file(path: str) -> bytes:
    """A file of the dataset's own, whole.

    Raises:
        FileNotFoundError, NotADirectoryError: when there is none.
        DamagedError: when it cannot be read.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise DamagedError(f"{path} is no file")
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise DamagedError(f"{path} cannot be read: {error.strerror}") from error


def canonical_json(content: Content, indent: int | None = None) -> bytes:
    """The one spelling of some content, with the digest of all the rest in it."""
    whole = content | {"digest": content_digest(content)}
    return json.dumps(whole, indent=indent, sort_keys=True).encode() + b"\n"


def content_digest(content: Content) -> str:
    """XXH3-128 of some content."""
    return xxhash.xxh3_128_hexdigest(json.dumps(content, sort_keys=True).encode())
