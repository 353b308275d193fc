"""Brings the listing of an object store into the order of a local folder, as it arrives."""

import heapq
from collections.abc import Callable, Iterator
from typing import TypeVar

_Entry = TypeVar("_Entry")
_SLASH = ord("/")


def in_local_order(
    entries: Iterator[tuple[bytes, _Entry]], name: Callable[[_Entry], str]
) -> Iterator[_Entry]:
    """Yield the entries of one folder in bytewise order of their names.

    A store sorts a folder with the slash at its end: `a-b.png` comes before `a/`. A local folder
    has `a` before `a-b.png`. An entry is held only while such a folder may still come.

    Args:
        entries: in bytewise order, each with its name in bytes, a folder with a slash at its end.
        name: returns the name of an entry, without a slash.
    """
    held: list[tuple[bytes, int, _Entry]] = []
    for number, (place, entry) in enumerate(entries):
        heapq.heappush(held, (name(entry).encode(), number, entry))
        while held and not _may_come_earlier(held[0][0], place):
            yield heapq.heappop(held)[2]
    while held:
        yield heapq.heappop(held)[2]


def _may_come_earlier(name: bytes, place: bytes) -> bool:
    """Return whether a folder may still come that a local listing has before a name.

    Its name is a beginning of the other one, and what follows there sorts before a slash.

    Args:
        name: the name.
        place: how far the listing of the store has come.
    """
    return any(byte < _SLASH and name[:end] + b"/" > place for end, byte in enumerate(name) if end)
