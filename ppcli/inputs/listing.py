"""From what the user named to a stream of files, in a fixed order and without holding them all."""

import glob
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import islice
from typing import BinaryIO

from ppcli.errors import UsageError
from ppcli.inputs.refs import ImageRef, identity
from ppcli.inputs.sniff import has_image_extension, has_image_signature

STDIN = "-"
_READ_BYTES = 1 << 16


@dataclass(slots=True)
class Listing:
    """The inputs of one run; iterating gives an `ImageRef` for each file, lazily.

    Attributes:
        inputs: files, folders, globs, or `-` for paths on standard input, one a line.
        files0_from: a file of NUL-separated paths, `-` for standard input.
        include: patterns of names; when given, only matching files of folders are taken.
        exclude: patterns of names of files and folders that are passed over in folders.
        limit: stop after so many files.
        stdin: where `-` reads from.
        avoid: a folder that no walk enters: the output of the run.
        skipped: files of walked folders, counted so far, that are no images by content or name.

    A pattern without `/` is matched with the name, another with the path below the folder.
    """

    inputs: tuple[str, ...]
    files0_from: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    limit: int | None = None
    stdin: BinaryIO | None = None
    avoid: str | None = None
    skipped: int = field(default=0, init=False)

    @property
    def is_one_file(self) -> bool:
        """Whether a single file is named, and nothing else."""
        return len(self.inputs) == 1 and self.files0_from is None and os.path.isfile(self.inputs[0])

    def check(self) -> None:
        """Refuse what cannot be meant, before anything runs.

        Raises:
            UsageError: for no inputs at all, a missing path, a glob without matches, or
                standard input named twice.
        """
        if not self.inputs and self.files0_from is None:
            raise UsageError("no inputs: name files, folders, globs, or - for a list")
        if [*self.inputs, self.files0_from].count(STDIN) > 1:
            raise UsageError("standard input can be read only once, and - is given twice")
        for given in self.inputs:
            if given != STDIN and not os.path.lexists(given):
                if not glob.has_magic(given):
                    raise UsageError(f"{given}: no such file or folder")
                if next(glob.iglob(given, recursive=True), None) is None:
                    raise UsageError(f"{given}: nothing matches this pattern")
        if self.files0_from not in (None, STDIN):
            if not os.path.exists(self.files0_from):
                raise UsageError(f"{self.files0_from}: no such list of files")
            if os.path.isdir(self.files0_from):
                raise UsageError(f"{self.files0_from} is a folder, not a list of files")

    @property
    def repeatable(self) -> bool:
        """Whether iterating again gives the files again: not when a pipe is read."""
        if STDIN in (*self.inputs, self.files0_from):
            return False
        return self.files0_from is None or os.path.isfile(self.files0_from)

    def __iter__(self) -> Iterator[ImageRef]:
        """The inputs.

        Raises:
            UsageError: when a list of paths cannot be read.
        """
        self.skipped = 0
        return islice(self._all(), self.limit)

    def _all(self) -> Iterator[ImageRef]:
        if len(self.inputs) == 1 and self.files0_from is None and os.path.isdir(self.inputs[0]):
            yield from self._walk(self.inputs[0], prefix="")
            return
        for given in self.inputs:
            if given == STDIN:
                for path in self._paths_on_stdin(b"\n"):
                    yield from self._named(path)
            elif os.path.lexists(given) or not glob.has_magic(given):
                yield from self._named(given)
            else:
                for match in sorted(glob.glob(given, recursive=True), key=os.fsencode):
                    yield from self._named(match)
        if self.files0_from == STDIN:
            for path in self._paths_on_stdin(b"\0"):
                yield from self._named(path)
        elif self.files0_from is not None:
            with _open_list(self.files0_from) as file:
                for path in _split(file, b"\0"):
                    yield from self._named(path)

    def _paths_on_stdin(self, separator: bytes) -> Iterator[str]:
        if self.stdin is None:
            raise UsageError("standard input is not available, and - names it")
        return _split(self.stdin, separator)

    def _named(self, path: str) -> Iterator[ImageRef]:
        if os.path.isdir(path):
            yield from self._walk(path, prefix=path)
        else:
            yield ImageRef(path, identity(path))

    def _walk(self, folder: str, prefix: str) -> Iterator[ImageRef]:
        """The images below a folder, entries in bytewise order, folder by folder."""
        pending = [_entries(folder, "")]
        while pending:
            entry = next(pending[-1], None)
            if entry is None:
                pending.pop()
                continue
            path, below, is_folder, readable = entry
            if not readable:
                yield ImageRef(path, identity(os.path.join(prefix, below) or path))
            elif self._excluded(below):
                continue
            elif is_folder:
                if not self._to_avoid(path):
                    pending.append(_entries(path, below))
            elif self.include and not _matches(below, self.include):
                continue
            elif has_image_extension(path) or has_image_signature(path):
                yield ImageRef(path, identity(os.path.join(prefix, below)))
            else:
                self.skipped += 1

    def _to_avoid(self, folder: str) -> bool:
        try:
            return self.avoid is not None and os.path.samefile(folder, self.avoid)
        except OSError:  # it is not there yet
            return False

    def _excluded(self, below: str) -> bool:
        return bool(self.exclude) and _matches(below, self.exclude)


def _matches(below: str, patterns: tuple[str, ...]) -> bool:
    name = os.path.basename(below)
    path = identity(below)
    return any(fnmatchcase(path if "/" in one else name, one) for one in patterns)


def _entries(folder: str, below: str) -> Iterator[tuple[str, str, bool, bool]]:
    """The entries of one folder that count: path, path below the root, is a folder, readable.

    Hidden entries and symbolic links to folders are left out. A folder that cannot be listed
    is its own only entry, so that it becomes an error row and does not disappear.
    """
    try:
        with os.scandir(folder) as scan:
            found = [
                (entry.name, entry.is_dir(follow_symlinks=False))
                for entry in scan
                if not entry.name.startswith(".") and not _is_linked_folder(entry)
            ]
    except OSError:
        yield folder, below, True, False
        return
    found.sort(key=lambda entry: os.fsencode(entry[0]))
    for name, is_folder in found:
        yield os.path.join(folder, name), os.path.join(below, name), is_folder, True


def _is_linked_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink() and entry.is_dir()
    except OSError:  # it leads nowhere; like any other file that cannot be opened it gets a row
        return False


def _open_list(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise UsageError(f"{path}: the list of paths cannot be read: {error.strerror}") from error


def _split(file: BinaryIO, separator: bytes) -> Iterator[str]:
    """The non-empty names in a file, without reading it whole."""
    rest = b""
    while block := _read_some(file):
        *names, rest = (rest + block).split(separator)
        yield from (os.fsdecode(name) for name in names if name)
    if rest:
        yield os.fsdecode(rest)


def _read_some(file: BinaryIO) -> bytes:
    """What is there already, without waiting for a whole block of a pipe."""
    read: Callable[[int], bytes] = getattr(file, "read1", file.read)
    try:
        return read(_READ_BYTES)
    except OSError as error:
        raise UsageError(f"the list of paths cannot be read: {error.strerror}") from error
