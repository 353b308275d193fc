"""The inputs that a command line names. Imports little: a worker starts on them before the rest."""

import sys
from typing import BinaryIO

from ppcli.inputs.listing import Listing


def stdin_bytes() -> BinaryIO | None:
    """Standard input without a buffer, whose lock a waiting thread would keep; None if closed."""
    buffer = getattr(sys.stdin, "buffer", None)
    return getattr(buffer, "raw", buffer)


def listing_of(
    inputs: list[str] | None,
    files0_from: str | None,
    include: list[str] | None,
    exclude: list[str] | None,
    limit: int | None,
    output: str,
) -> Listing:
    """The inputs that a command line names; its output is not among them."""
    patterns = tuple(include or ()), tuple(exclude or ())
    return Listing(tuple(inputs or ()), files0_from, *patterns, limit, stdin_bytes(), output)
