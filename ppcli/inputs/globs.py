"""Expands glob patterns; existing files and folders whose names look like patterns win."""

import glob
import os
from collections.abc import Iterator

from ppcli.files import PathKind, exists, is_folder
from ppcli.inputs.input_places import InputPlace, input_place
from ppcli.inputs.store_globs import expanded, folder_before_magic
from ppcli.inputs.walk import DEEP, Search, walk


def is_pattern(path: str) -> bool:
    """Return whether a path contains `*`, `?` or `[` and does not exist.

    In the URL of a web server, `?` begins a query.

    Raises:
        StoreError: the store does not tell whether it exists.
        UsageError: it is a URL that cannot be opened.
    """
    if not glob.has_magic(path) or exists(path):
        return False
    place = input_place(path)
    return not place.is_far or place.kind_of(path) is PathKind.MISSING


def matches(pattern: str) -> Iterator[tuple[str, Search | None]]:
    """Yield the paths that match a pattern, in bytewise order.

    For a pattern with `**` these are the folders that match the part before it, each with the
    search for the rest. The longest leading part that is an existing folder is taken literally.
    If nothing matches, brackets are taken literally too.
    """
    place = input_place(pattern)
    name = folder_before_magic(place, pattern) if place.is_far else _leading_folder(pattern)
    rest = pattern[len(name) :]
    for meant in dict.fromkeys((rest, rest.replace("[", "[[]"))):
        head, search = _split(glob.escape(name) + meant)
        found = _found(place, head, name) if head else [""]
        if search is not None and not place.is_far:
            found = [path for path in found if not path or is_folder(path)]
        if any(_has_any(place, path, search) for path in found):
            yield from ((path, search) for path in found)
            return


def _found(place: InputPlace, pattern: str, start: str) -> list[str]:
    """Return what matches a pattern without `**`; `start` is its beginning without wildcards."""
    if not place.is_far:
        return sorted(glob.glob(pattern), key=os.fsencode)
    rest = pattern[len(glob.escape(start)) :]
    return sorted(expanded(place, start, rest.split("/")[1:]), key=os.fsencode)


def _leading_folder(pattern: str) -> str:
    """Return the longest leading part of a pattern that is an existing folder."""
    parts = pattern.split("/")
    names = ("/".join(parts[:number]) for number in range(len(parts) - 1, 0, -1))
    return next(filter(is_folder, names), "")


def _split(pattern: str) -> tuple[str, Search | None]:
    """Return the part before the first `**`, and the search for the rest."""
    parts = pattern.split("/")
    if DEEP not in parts:
        return pattern, None
    first = parts.index(DEEP)
    head = "/".join(parts[:first])
    if first and not head.rstrip("/"):
        head = "/"
    below = [part for part in parts[first:] if part]
    if not parts[-1]:  # a pattern that ends in / matches folders, hence all they contain
        below.append(DEEP)
    return head, Search(tuple(below))


def _has_any(place: InputPlace, path: str, search: Search | None) -> bool:
    """Return whether anything matches, or may match in a folder that cannot be listed."""
    if search is None:
        return True
    if search.names_folder:
        return not place.is_far or place.kind_of(path) is PathKind.FOLDER
    found = walk(path, search, enter=lambda _: True)
    return any(
        one.search is None or one.search.names_folder or one.kind is PathKind.MISSING
        for one in found
    )
