"""PCX, whose palette stands at the end, where Pillow does not miss it."""

import os
from typing import BinaryIO

from PIL import Image

_WITH_PALETTE = (5, 8, 1)  # version, bits and planes
_PALETTE = 769
_MARK = b"\x0c"


def require_palette(image: Image.Image, file: BinaryIO) -> None:
    """See that the 256 colours are there that such a file has.

    Args:
        image: not used.
        file: the file.

    Raises:
        EOFError: when it has lost them.
    """
    file.seek(0)
    head = file.read(66)
    if (head[1], head[3], head[65]) == _WITH_PALETTE:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _PALETTE))
        if file.read(1) != _MARK:
            raise EOFError
