"""Decides which files of a folder are inputs, where the extension does not tell."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TypeAlias

from ppcli.errors import ImageError
from ppcli.files import OpenFile, PathKind
from ppcli.filesystems.background import in_background
from ppcli.inputs.containers.container_kinds import container_kind
from ppcli.inputs.input_places import InputPlace, input_place
from ppcli.inputs.marks import FOLDER_MARK, PICTURE_EXTENSION, is_drawn, is_folder_of_drawn
from ppcli.inputs.object_file import open_in_parts
from ppcli.inputs.sniff import has_image_extension, has_image_signature
from ppcli.inputs.walk import Entry

Head: TypeAlias = Future[OpenFile]
_AT_A_TIME = 16


def is_folder_for_pictures(place: InputPlace, folder: str) -> bool:
    """Return whether `view` made a folder, so that its pictures are inputs when it is named."""
    if not place.is_far:
        return is_folder_of_drawn(folder)
    return place.kind_of(place.join(folder, FOLDER_MARK)) is PathKind.FILE


def may_be_drawn(entry: Entry) -> bool:
    """Return whether `view` may have drawn a file in a folder that it did not create.

    It writes no pictures to stores, where looking into each file would take a request.
    """
    if entry.state is not None:
        return False
    path = entry.path
    return path.lower().endswith(PICTURE_EXTENSION) or not has_image_extension(path)


def with_heads(
    entries: Iterator[Entry], chooses: Callable[[str], bool]
) -> Iterator[tuple[Entry, Head | None]]:
    """Yield entries, with the first bytes of those in stores whose names do not tell what they are.

    The heads of a few entries are read at a time, ahead of their turn.

    Args:
        entries: files and folders.
        chooses: whether the patterns choose a path below the folder.
    """
    held: deque[tuple[Entry, Head | None]] = deque()
    for entry in entries:
        is_unclear = entry.state is not None and not has_image_extension(entry.path)
        asks = is_unclear and container_kind(entry.path) is None and chooses(entry.below)
        held.append((entry, in_background(_head_of, entry) if asks else None))
        while held and (held[0][1] is None or len(held) > _AT_A_TIME):
            yield held.popleft()
    yield from held


def _head_of(entry: Entry) -> OpenFile:
    file = _opened(entry)
    file.peek(1)
    return file


def has_image(entry: Entry, unless_drawn: bool, head: Head | None = None) -> bool:
    """Return whether a file in a folder is an input by its content. It is opened once.

    Args:
        entry: the file. With the extension of an image it is an input, unless `view` drew it.
        unless_drawn: refuse pictures that `view` drew.
        head: the file, open at its start, once its first bytes are there.
    """
    named = has_image_extension(entry.path)
    try:
        with _opened(entry) if head is None else head.result() as file:
            if not named and not has_image_signature(file, entry.path):
                return False
            return not (unless_drawn and is_drawn(file))
    except (ImageError, OSError):
        return named


def _opened(entry: Entry) -> OpenFile:
    if entry.state is not None:
        return open_in_parts(entry.path, entry.state)
    return input_place(entry.path).file(entry.path, entry.kind).open()
