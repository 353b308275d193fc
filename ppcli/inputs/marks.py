"""The mark that pictures of ours carry: which image one is of, and whether it is an image itself.

It is a text in the PNG file, of the keyword `pixelprune`. What `view` draws is no input where a
folder above it is walked; what `reconstruct` gives back is.
"""

import json
import os
from contextlib import suppress
from typing import Any

KEYWORD = "pixelprune"
DRAWN, REBUILT = "view", "reconstruct"
FOLDER_MARK = ".pixelprune-view"  # in a folder that view has made
_PNG = b"\x89PNG\r\n\x1a\n"
_HEAD_BYTES = 4096
_MARK_BYTES = 64 << 10
_CHUNK = b"tEXt" + KEYWORD.encode() + b"\0"


def mark(made_by: str, image_id: str) -> str:
    """The text of the mark, plain ASCII.

    Args:
        made_by: the command.
        image_id: of the picture.
    """
    return json.dumps({"made_by": made_by, "image_id": image_id})


def mark_of(path: str) -> dict[str, Any] | None:
    """What the mark of a file says; None without one, or where the file cannot be read."""
    with suppress(OSError, ValueError):
        if not os.path.isfile(path):  # to open a pipe would be to wait for its writer
            return None
        with open(path, "rb", buffering=0) as file:
            head = file.read(_HEAD_BYTES)
            place = head.find(_CHUNK) if head.startswith(_PNG) else -1
            if place < 4:
                return None
            file.seek(place + len(_CHUNK))
            length = int.from_bytes(head[place - 4 : place], "big") - len(_CHUNK) + 4
            said = json.loads(file.read(max(0, min(length, _MARK_BYTES))))
        return said if isinstance(said, dict) else None
    return None


def is_drawn(path: str) -> bool:
    """Whether a file is a picture that `view` has drawn."""
    said = mark_of(path)
    return said is not None and said.get("made_by") == DRAWN


def is_folder_of_drawn(folder: str) -> bool:
    """Whether `view` has made the folder, or one that it is in, for its pictures."""
    path = os.path.abspath(folder)
    while not os.path.isfile(os.path.join(path, FOLDER_MARK)):
        path, before = os.path.dirname(path), path
        if path == before:
            return False
    return True
