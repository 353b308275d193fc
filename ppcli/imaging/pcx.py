"""Checks that a PCX file has its palette, which is at the end; Pillow ignores its absence."""

import os
from typing import BinaryIO

from PIL import Image

_WITH_PALETTE = (5, 8, 1)  # version, bits and planes
_PALETTE = 769
_MARK = b"\x0c"


def require_palette(image: Image.Image, file: BinaryIO) -> None:
    """Check that a file of 256 colours has its palette.

    Args:
        image: not used.
        file: the file.

    Raises:
        EOFError: the palette is missing.
    """
    file.seek(0)
    head = file.read(66)
    if (head[1], head[3], head[65]) == _WITH_PALETTE:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _PALETTE))
        if file.read(1) != _MARK:
            raise EOFError
