"""Walks folders, or the parts of them that a pattern with `**` matches."""

import os
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from typing import NamedTuple

from ppcli.files import PathKind, list_folder

DEEP = "**"


class Search:
    """A pattern below a folder, and how far the way from there has come in it.

    Args of the constructor:
        parts: the pattern, part by part; `**` stands for any number of folders.
        places: the parts that may come next.

    Attributes:
        names_folder: whether it names the folder that has been reached, and so all that is in it.
        names_hidden: whether it may name hidden entries.
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
        """Whether the search matches a file of this name in the folder."""
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
    """An entry that the walk found.

    Attributes:
        path: of the entry.
        below: its path from the folder where the walk started.
        kind: what it is; MISSING for a folder that cannot be listed, which is its own only entry.
        search: continues in the folder; None for a file.
    """

    path: str
    below: str
    kind: PathKind
    search: Search | None


def walk(folder: str, search: Search, enter: Callable[[Entry], bool]) -> Iterator[Entry]:
    """Files that a search takes, and folders that may hold some, each before what is in it.

    Hidden entries that the search does not name are left out, and so are symbolic links to
    folders. Folder by folder, names come in bytewise order; where a search is on, paths do.

    Args:
        folder: to begin with; the empty name is the current folder.
        search: what is wanted of it.
        enter: asked of each folder.
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
    """The entries of one folder.

    A folder that cannot be listed is its own only entry, so that it becomes an error row and
    does not disappear.
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
