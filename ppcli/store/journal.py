"""An append-only file of JSON lines, chained by digests.

Appending keeps the cost of a change constant; rewriting the manifest for each change would take
quadratic time. Each line contains its own digest and that of the line before it. A crash can cut
off only the last line, which is then ignored. Any other mismatch is damage.
"""

import io
import json
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import xxhash

from ppcli.errors import DamagedError
from ppcli.store.atomic import as_output_error, sync_folder
from ppcli.store.places.place import Content, ManifestT


@dataclass(slots=True)
class JournalContent:
    """The readable content of a journal.

    Attributes:
        base: digest that the first line continues; None without a complete line.
        entries: content of the complete lines.
        torn: the last line is incomplete.
    """

    base: str | None = None
    entries: list[Content] = field(default_factory=list)
    torn: bool = False


class Journal:
    """Appends lines to a file, which is created with the first line.

    Args of the constructor:
        path: path of the file, which must not exist yet.
        base: digest that the first line continues.
    """

    def __init__(self, path: str, base: str) -> None:
        self._path = path
        self._last = base
        self._file: io.FileIO | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no line was appended."""
        return self._file is None

    def append(self, content: Content) -> None:
        """Append a line and sync it to the disk.

        Raises:
            OutputError: the line cannot be written.
        """
        line, digest = chained_line(content, self._last)
        with as_output_error(self._path):
            is_new = self._file is None
            if self._file is None:
                self._file = io.FileIO(self._path, "xb")
            while line:
                line = line[self._file.write(line) :]
            os.fsync(self._file.fileno())
            if is_new:
                sync_folder(os.path.dirname(self._path))
        self._last = digest

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()


@dataclass(frozen=True, slots=True)
class JournalFile:
    """The journal of a dataset on this machine.

    Attributes:
        path: path of the file.
    """

    path: str

    def begin(self, base: str) -> Journal:
        """Return a writer of the lines that continue the manifest with the digest `base`."""
        return Journal(self.path, base)

    def read_with(
        self, read_manifest: Callable[[], tuple[ManifestT, str]]
    ) -> tuple[ManifestT, str, JournalContent]:
        """Read the lines, then the manifest; see `DatasetJournal.read_with`."""
        lines = read_journal(self.path)  # first: a running process may merge it into the manifest
        return *read_manifest(), lines

    def is_torn(self) -> bool:
        """Whether the last line is incomplete."""
        return read_journal(self.path).torn

    def exists(self) -> bool:
        """Whether there is a file."""
        return os.path.exists(self.path)

    def delete(self) -> None:
        """Delete the file, if there is one."""
        with as_output_error(self.path), suppress(FileNotFoundError):
            os.unlink(self.path)


def read_journal(path: str) -> JournalContent:
    """Read a journal; a missing file is an empty one.

    Raises:
        DamagedError: it cannot be read, or a line other than an incomplete last one was changed.
    """
    found = JournalContent()
    try:
        lines = read_own_file(path).split(b"\n")
    except FileNotFoundError:
        return found
    last = None
    for number, line in enumerate(lines, 1):
        entry = parse_line(line, last)
        if entry is None:
            if number < len(lines) - 1 or (lines[-1] == b"" and line and b"\0" not in line):
                raise DamagedError(
                    f"{path} was changed after it was written, from line {number} on"
                )
            found.torn = any(lines[number - 1 :])
            break
        found.base = entry["after"] if last is None else found.base
        last = entry.pop("digest")
        found.entries.append(entry)
    return found


def parse_line(line: bytes, last: str | None) -> Content | None:
    """Return the content of a line with its digest; None unless it is intact.

    Args:
        line: the line, without the character at its end.
        last: digest of the line before, which it must continue; None for any.
    """
    try:
        content = json.loads(line)
        digest = content.pop("digest")
        right = canonical_json(content) == line + b"\n" and last in (None, content["after"])
        return content | {"digest": digest} if right else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def read_own_file(path: str) -> bytes:
    """Read a whole file that pixelprune wrote.

    Raises:
        FileNotFoundError, NotADirectoryError: the file does not exist.
        DamagedError: it cannot be read, or is not a regular file.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise DamagedError(f"{path} is not a regular file")
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise DamagedError(f"{path} cannot be read: {error.strerror}") from error


def chained_line(content: Content, last: str) -> tuple[bytes, str]:
    """Return the line that follows the one with the digest `last`, and its digest."""
    content = content | {"after": last}
    digest = content_digest(content)
    return _with_digest(content, digest), digest


def canonical_json(content: Content, indent: int | None = None) -> bytes:
    """Serialize content in its only valid spelling, with its digest added."""
    return _with_digest(content, content_digest(content), indent)


def _with_digest(content: Content, digest: str, indent: int | None = None) -> bytes:
    whole = content | {"digest": digest}
    return json.dumps(whole, indent=indent, sort_keys=True).encode() + b"\n"


def content_digest(content: Content) -> str:
    """Return the XXH3-128 of content, hexadecimal."""
    return xxhash.xxh3_128_hexdigest(json.dumps(content, sort_keys=True).encode())
