"""The lines of a file, without reading one that no memory holds."""

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from ppcli.errors import UsageError

_MOST_BYTES = 256 << 20
TOO_LONG = f"it has more than {_MOST_BYTES >> 20} MB"


def numbered_lines(file: BinaryIO, most: int = _MOST_BYTES) -> Iterator[tuple[int, bytes | None]]:
    r"""The lines that are not blank, each with its number (one-based), up to its `\n`.

    Args:
        file: open for reading.
        most: bytes of a line; a longer one is None.

    Raises:
        UsageError: when the file is in UTF-16, as some shells write them.
    """
    number = 0
    while line := file.readline(most):
        number += 1
        if number == 1 and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise UsageError("the lines of JSON are UTF-16; write them as UTF-8")
        too_long = False
        while not line.endswith(b"\n") and (more := file.readline(most)):
            too_long = True
            line = more
        if too_long:
            yield number, None
        elif line.strip():
            yield number, line
