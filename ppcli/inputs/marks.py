"""The mark in PNG files of pixelprune: which command wrote them, from which image.

The mark is a text chunk with the keyword `pixelprune`. When a folder is searched for images,
pictures that `view` drew are skipped, but images that `reconstruct` rebuilt are not.
"""

import json
import os
from contextlib import suppress
from typing import Any, BinaryIO

from ppcli.errors import ImageError
from ppcli.files import LocalFile, PathKind, kind_of

KEYWORD = "pixelprune"
DRAWN, REBUILT = "view", "reconstruct"
PICTURE_EXTENSION = ".png"
FOLDER_MARK = ".pixelprune-view"  # an empty file in folders that view made
_PNG = b"\x89PNG\r\n\x1a\n"
_HEAD_BYTES = 4096
_MARK_BYTES = 64 << 10
_CHUNK = b"tEXt" + KEYWORD.encode() + b"\0"


def mark(made_by: str, image_id: str) -> str:
    """Return the text of the mark, in ASCII.

    Args:
        made_by: the command that makes the picture.
        image_id: identity of the image that it shows.
    """
    return json.dumps({"made_by": made_by, "image_id": image_id})


def mark_of(path: str) -> dict[str, Any] | None:
    """Return the mark of a file; None if it has none or cannot be read."""
    with suppress(ImageError), LocalFile(path).open() as file:
        return _read_mark(file)
    return None


def is_drawn(file: BinaryIO) -> bool:
    """Return whether a file, open at its start, is a picture that `view` drew."""
    found = _read_mark(file)
    return found is not None and found.get("made_by") == DRAWN


def _read_mark(file: BinaryIO) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        head = file.read(_HEAD_BYTES)
        place = head.find(_CHUNK) if head.startswith(_PNG) else -1
        if place < 4:
            return None
        file.seek(place + len(_CHUNK))
        length = int.from_bytes(head[place - 4 : place], "big") - len(_CHUNK) + 4
        found = json.loads(file.read(max(0, min(length, _MARK_BYTES))))
        return found if isinstance(found, dict) else None
    return None


def has_folder_mark(folder: str) -> bool:
    """Whether `view` made the folder for its pictures; one `stat`."""
    return kind_of(os.path.join(folder, FOLDER_MARK)) is PathKind.FILE


def is_folder_of_drawn(folder: str) -> bool:
    """Return whether `view` created this folder or a parent of it for its pictures."""
    path = os.path.abspath(folder)
    while not has_folder_mark(path):
        path, before = os.path.dirname(path), path
        if path == before:
            return False
    return True
