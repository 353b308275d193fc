"""Reads the lines of a file with a limit on their length."""

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from ppcli.errors import UsageError

_MOST_BYTES = 256 << 20
TOO_LONG = f"it has more than {_MOST_BYTES >> 20} MB"


def numbered_lines(file: BinaryIO, most: int = _MOST_BYTES) -> Iterator[tuple[int, bytes | None]]:
    r"""Yield the non-blank lines, with their numbers (one-based) and including `\n`.

    Args:
        file: open for reading.
        most: maximum bytes of a line; a longer line is returned as None.

    Raises:
        UsageError: the file is UTF-16, which some shells write.
    """
    number = 0
    while line := file.readline(most):
        number += 1
        if number == 1 and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise UsageError("the JSON lines are in UTF-16; write them in UTF-8")
        too_long = False
        while not line.endswith(b"\n") and (more := file.readline(most)):
            too_long = True
            line = more
        if too_long:
            yield number, None
        elif line.strip():
            yield number, line
