"""Helpers for tests of single formats: decode bytes to pixels, or to an error code."""

from pathlib import Path

import numpy as np

from ppcli.errors import ErrorCode, ImageError
from ppcli.files import LocalFile
from ppcli.imaging.decode import ImageSource, pillow_limits

BACKGROUND = (20, 150, 240)
LIMIT = 1 << 26


def frames_of(path: Path, data: bytes) -> list[np.ndarray]:
    """Decode all frames of a file with these bytes."""
    path.write_bytes(data)
    with pillow_limits(LIMIT), ImageSource(LocalFile(str(path)).open(), LIMIT) as source:
        return [source.page(number, BACKGROUND) for number in range(1, source.frames + 1)]


def outcome_of(path: Path, data: bytes | None = None, page: int = 1) -> np.ndarray | ErrorCode:
    """Return the pixels of one page, or the code of its error."""
    if data is not None:
        path.write_bytes(data)
    try:
        with pillow_limits(LIMIT), ImageSource(LocalFile(str(path)).open(), LIMIT) as source:
            return source.page(page, BACKGROUND)
    except ImageError as error:
        return error.code
