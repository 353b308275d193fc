"""Expands glob patterns in object stores, with the rules of `glob.glob` for local folders."""

import glob
from collections.abc import Iterator
from fnmatch import fnmatch

from ppcli.files import PathKind
from ppcli.filesystems.store_faults import StoreError
from ppcli.inputs.input_places import InputPlace


def folder_before_magic(place: InputPlace, pattern: str) -> str:
    """Return the longest leading part of a URL that needs no wildcard, without a slash at its end.

    A folder whose name looks like a pattern is taken literally.

    Raises:
        StoreError: the store does not tell whether it exists.
    """
    parts = pattern.split("/")
    first = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    names = ("/".join(parts[:number]) for number in range(len(parts) - 1, max(first, 3), -1))
    literal = (name for name in names if place.kind_of(name) is PathKind.FOLDER)
    return next(literal, "/".join(parts[:first]))


def expanded(place: InputPlace, folder: str, parts: list[str]) -> Iterator[str]:
    """Yield the paths below a folder that match the parts of a pattern, in any order.

    `*` does not match hidden names. An empty last part matches folders only.

    Raises:
        StoreError: a folder cannot be listed.
    """
    if not parts:
        yield folder
        return
    part, *others = parts
    if not part:
        yield from expanded(place, folder, others)
        return
    if not glob.has_magic(part):
        path = place.join(folder, part)
        if others:
            yield from expanded(place, path, others)
        elif place.kind_of(path) is not PathKind.MISSING:
            yield path
        return
    try:
        found = list(place.list_folder(folder))
    except StoreError as error:
        if error.is_passing:
            raise
        return  # like a local folder that is missing or cannot be listed
    for name, kind, _ in found:
        hidden = name.startswith(".") and not part.startswith(".")
        if hidden or not fnmatch(name, part) or (others and kind is not PathKind.FOLDER):
            continue
        yield from expanded(place, place.join(folder, name), others)
