"""Walks folders, or only the parts that match a pattern with `**`."""

import os
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from typing import NamedTuple

from ppcli.errors import ImageError
from ppcli.files import FileState, FolderEntry, PathKind
from ppcli.filesystems.store_faults import StoreError
from ppcli.inputs.input_places import InputPlace, input_place
from ppcli.inputs.marks import FOLDER_MARK

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
        kind: its kind; MISSING for a folder that cannot be listed, which is its own last entry.
        search: the search within the folder; None for a file.
        is_marked: whether it is in a folder that `view` made for its pictures.
        state: of a file on another machine, when it was listed.
        fault: why a folder on another machine cannot be listed.
    """

    path: str
    below: str
    kind: PathKind
    search: Search | None
    is_marked: bool = False
    state: FileState | None = None
    fault: ImageError | None = None


def walk(folder: str, search: Search, enter: Callable[[Entry], bool]) -> Iterator[Entry]:
    """Yield the files that match, and folders that may contain some, each before its content.

    Symbolic links to folders are left out. Hidden entries are too, unless the pattern names them.
    Names are sorted bytewise within each folder that matches; elsewhere whole paths are.

    Args:
        folder: where the walk starts; the empty path is the current folder.
        search: the pattern; `EVERYTHING` matches all files.
        enter: returns whether to walk a subfolder.
    """
    place = input_place(folder)
    top = Entry(folder, "", PathKind.FOLDER, search)
    pending = [_entries(place, top)]
    while pending:
        entry = next(pending[-1], None)
        if entry is None:
            pending.pop()
            continue
        yield entry
        if entry.search is not None and entry.kind is PathKind.FOLDER and enter(entry):
            pending.append(_entries(place, entry))


def _entries(place: InputPlace, folder: Entry) -> Iterator[Entry]:
    """Yield the entries of one folder.

    A folder that cannot be listed is its own last entry, so that it becomes an error row instead
    of being lost.
    """
    search, is_marked = folder.search, folder.is_marked
    assert search is not None
    found: list[tuple[bytes, FolderEntry, Search | None]] = []
    fault = None
    try:
        for one in place.list_folder(folder.path):
            is_marked = is_marked or (one.name == FOLDER_MARK and one.kind is PathKind.FILE)
            if one.name.startswith(".") and not search.names_hidden:
                continue
            inner, end = None, b""
            if one.kind is PathKind.FOLDER:
                if (inner := search.into(one.name)) is None:
                    continue
                end = b"" if inner.names_folder else b"/"
            elif not search.takes(one.name):
                continue
            if place.is_sorted and search.names_folder:
                yield _entry(place, folder, one, inner, is_marked)
            else:
                found.append((os.fsencode(one.name) + end, one, inner))
    except OSError:
        yield folder._replace(kind=PathKind.MISSING)
        return
    except StoreError as error:
        fault = error.as_image_error()
    found.sort(key=lambda one: one[0])
    for _, one, inner in found:
        yield _entry(place, folder, one, inner, is_marked)
    if fault is not None:
        yield folder._replace(kind=PathKind.MISSING, fault=fault)


def _entry(
    place: InputPlace, folder: Entry, one: FolderEntry, search: Search | None, is_marked: bool
) -> Entry:
    path = place.join(folder.path, one.name)
    below = place.join(folder.below, one.name)
    return Entry(path, below, one.kind, search, is_marked, one.state)
