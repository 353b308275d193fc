"""Files that exist whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import BinaryIO

from ppcli.errors import OutputError

TEMPORARY_SUFFIX = ".pixelprune-tmp"
_counter = count()


@contextmanager
def atomic_file(path: str) -> Iterator[BinaryIO]:
    """Write a file under a temporary name in its folder; put it in place when all went well.

    The bytes are on disk before the name is (fsync, then rename). When the block raises, the
    temporary file is removed and what stood under the name before stays.

    Raises:
        OutputError: when the file cannot be written, with the cause.
    """
    folder = os.path.dirname(path)
    temporary = os.path.join(folder, f".{os.getpid()}-{next(_counter)}{TEMPORARY_SUFFIX}")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(folder)
    except BrokenPipeError:  # of a terminal or a pipe beside this file
        raise
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            os.unlink(temporary)


def sync_folder(folder: str) -> None:
    """Make renames in a folder durable, where the system knows how."""
    if os.name != "posix":
        return
    handle = os.open(folder or ".", os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
