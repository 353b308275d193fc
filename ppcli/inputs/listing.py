"""From what the user named to a stream of files, in a fixed order and without holding them all."""

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import islice
from typing import BinaryIO

from ppcli.errors import UsageError
from ppcli.inputs.names import is_walk, matches, names_in, path_of
from ppcli.inputs.refs import ImageRef, escape_name, identity
from ppcli.inputs.sniff import has_image_extension, has_image_signature

STDIN = "-"


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
        one = len(self.inputs) == 1 and self.files0_from is None
        return one and os.path.isfile(path_of(self.inputs[0]))

    def check(self) -> None:
        """Refuse what cannot be meant, before anything runs.

        Raises:
            UsageError: for no inputs at all, a missing path, a glob without matches, a URL of
                another machine, or standard input named twice.
        """
        if not self.inputs and self.files0_from is None:
            raise UsageError("no inputs: name files, folders, globs, or - for a list")
        if [*self.inputs, self.files0_from].count(STDIN) > 1:
            raise UsageError("standard input can be read only once, and - is given twice")
        for given in self.inputs:
            path = path_of(given)
            if path != STDIN and not os.path.lexists(path):
                if not glob.has_magic(path):
                    raise UsageError(f"{given}: no such file or folder")
                if next(matches(path), None) is None:
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
        if len(self.inputs) == 1 and self.files0_from is None:
            only = path_of(self.inputs[0])
            if os.path.isdir(only):
                yield from self._walk(only, prefix="")
                return
        for given in self.inputs:
            if given == STDIN:
                yield from self._listed(self.stdin, b"\n")
            else:
                yield from self._given(path_of(given))
        if self.files0_from == STDIN:
            yield from self._listed(self.stdin, b"\0")
        elif self.files0_from is not None:
            with _open_list(self.files0_from) as file:
                yield from self._listed(file, b"\0")

    def _listed(self, file: BinaryIO | None, separator: bytes) -> Iterator[ImageRef]:
        if file is None:
            raise UsageError("standard input is not available, and - names it")
        for name in names_in(file, separator):
            try:
                path = path_of(name)
            except UsageError:  # its row tells that it is not there
                path = name
            yield from self._named(path)

    def _given(self, path: str) -> Iterator[ImageRef]:
        """A path or a pattern."""
        if os.path.lexists(path) or not glob.has_magic(path):
            yield from self._named(path)
        elif is_walk(path):
            yield from self._walked(list(matches(path)), path.partition("**")[0])
        else:
            for match in matches(path):
                yield from self._named(match)

    def _walked(self, paths: list[str], start: str) -> Iterator[ImageRef]:
        """What `**` matches, each file once: folders are walked, and hold what is below them.

        Args:
            paths: in order.
            start: with which all of them begin, before what `**` stands for.
        """
        folders = {os.path.join(path, "") for path in paths if os.path.isdir(path)}
        for path in paths:
            inside = os.path.join(path, "")
            above = (inside[: end + 1] for end in range(len(inside) - 1) if inside[end] == os.sep)
            if any(folder in folders for folder in above) or self._is_shut_out(path, start):
                continue
            below = path.removeprefix(start)
            if inside in folders:
                yield from self._walk(path, start, below)
            elif (not self.include or _matches(below, self.include)) and self._is_image(path):
                yield ImageRef(path, identity(path))

    def _is_shut_out(self, path: str, start: str) -> bool:
        """Whether a walk would not come to a path, for what it or a folder on the way is."""
        parts = path.removeprefix(start).rstrip("/").split("/")
        ways = ["/".join(parts[: end + 1]) for end in range(len(parts))]
        return any(self._excluded(way) or self._to_avoid(start + way) for way in ways if way)

    def _is_image(self, path: str) -> bool:
        """Whether a file of a folder is taken; counted where not."""
        taken = has_image_extension(path) or has_image_signature(path)
        self.skipped += not taken
        return taken

    def _named(self, path: str) -> Iterator[ImageRef]:
        if os.path.isdir(path):
            yield from self._walk(path, prefix=path)
        else:
            yield ImageRef(path, identity(path))

    def _walk(self, folder: str, prefix: str, below: str = "") -> Iterator[ImageRef]:
        """The images below a folder, entries in bytewise order, folder by folder.

        Args:
            folder: that is walked.
            prefix: what identities begin with.
            below: what they go on with; patterns are matched with it and what follows.
        """
        pending = [_entries(folder, below)]
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
            elif self._is_image(path):
                yield ImageRef(path, identity(os.path.join(prefix, below)))

    def _to_avoid(self, folder: str) -> bool:
        try:
            return self.avoid is not None and os.path.samefile(folder, self.avoid)
        except OSError:  # it is not there yet
            return False

    def _excluded(self, below: str) -> bool:
        return bool(self.exclude) and _matches(below, self.exclude)


def _matches(below: str, patterns: tuple[str, ...]) -> bool:
    """Whether a pattern matches a path below a folder, or is that very path."""
    name = os.path.basename(below)
    path = escape_name(below.replace(os.sep, "/"))
    return any(
        part == one or fnmatchcase(part, one)
        for one in patterns
        for part in (path if "/" in one else name,)
    )


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
