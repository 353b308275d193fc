"""Walks folders, or only the parts that match a pattern with `**`."""

import os
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from typing import NamedTuple

from ppcli.files import PathKind, list_folder

DEEP = "**"


class Search:
    """A pattern, and how much of it the path of the current folder has matched.

    Args of the constructor:
        parts: the parts of the pattern between slashes; `**` matches any number of folders.
        places: indices of the parts that may match next.

    Attributes:
        names_folder: the pattern matches the current folder, and therefore all its content.
        names_hidden: the pattern may match hidden entries.
    """

    def __init__(self, parts: tuple[str, ...], places: frozenset[int] = frozenset({0})) -> None:
        self._parts = parts
        self._places = set(places)
        for place in range(len(parts)):
            if place in self._places and parts[place] == DEEP:
                self._places.add(place + 1)
        self.names_folder = len(parts) in self._places
        self.names_hidden = any(part.startswith(".") for part in parts)

    def takes(self, name: str) -> bool:
        """Return whether the pattern matches a file with this name in the current folder."""
        if self.names_folder:
            return not name.startswith(".")
        return len(self._parts) in self._after(name)

    def into(self, name: str) -> "Search | None":
        """Return the search for a subfolder; None if nothing in it can match."""
        if self.names_folder:
            return None if name.startswith(".") else self
        after = self._after(name)
        return Search(self._parts, frozenset(after)) if after else None

    def _after(self, name: str) -> set[int]:
        hidden = name.startswith(".")
        after = set()
        for place in self._places - {len(self._parts)}:
            part = self._parts[place]
            if part == DEEP:
                after |= set() if hidden else {place}
            elif (part.startswith(".") or not hidden) and fnmatch(name, part):
                after.add(place + 1)
        return after


EVERYTHING = Search((DEEP,))


class Entry(NamedTuple):
    """A file or folder that the walk found.

    Attributes:
        path: path of the entry.
        below: its path relative to the folder where the walk started.
        kind: its kind; MISSING for a folder that cannot be listed, which is its own only entry.
        search: the search within the folder; None for a file.
    """

    path: str
    below: str
    kind: PathKind
    search: Search | None


def walk(folder: str, search: Search, enter: Callable[[Entry], bool]) -> Iterator[Entry]:
    """Yield the files that match, and folders that may contain some, each before its content.

    Symbolic links to folders are left out. Hidden entries are too, unless the pattern names them.
    Names are sorted bytewise within each folder that matches; elsewhere whole paths are.

    Args:
        folder: where the walk starts; the empty path is the current folder.
        search: the pattern; `EVERYTHING` matches all files.
        enter: returns whether to walk a subfolder.
    """
    pending = [_entries(folder, "", search)]
    while pending:
        entry = next(pending[-1], None)
        if entry is None:
            pending.pop()
            continue
        yield entry
        if entry.search is not None and entry.kind is PathKind.FOLDER and enter(entry):
            pending.append(_entries(entry.path, entry.below, entry.search))


def _entries(folder: str, below: str, search: Search) -> Iterator[Entry]:
    """Yield the entries of one folder.

    A folder that cannot be listed is its own only entry, so that it becomes an error row instead
    of being lost.
    """
    found: list[tuple[bytes, str, PathKind, Search | None]] = []
    try:
        for name, kind in list_folder(folder):
            if name.startswith(".") and not search.names_hidden:
                continue
            if kind is PathKind.FOLDER:
                inner = search.into(name)
                if inner is not None:
                    end = b"" if inner.names_folder else b"/"
                    found.append((os.fsencode(name) + end, name, kind, inner))
            elif search.takes(name):
                found.append((os.fsencode(name), name, kind, None))
    except OSError:
        yield Entry(folder, below, PathKind.MISSING, search)
        return
    found.sort(key=lambda one: one[0])
    for _, name, kind, inner in found:
        yield Entry(os.path.join(folder, name), os.path.join(below, name), kind, inner)
