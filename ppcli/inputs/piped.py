"""Reads standard input: a list of paths, or one image."""

import atexit
import os
import re
import shutil
import tempfile
from functools import cache
from typing import BinaryIO

import xxhash

from ppcli.files import CopiedFile, FileState, LocalFile, exists
from ppcli.inputs.names import reader
from ppcli.inputs.refs import ImageRef
from ppcli.inputs.sniff import may_become_image, sniff

_SEPARATOR = re.compile(rb"[\n\0]")


def read_start(file: BinaryIO) -> bytes:
    """Read enough of a stream to tell an image from a list.

    Raises:
        UsageError: the stream cannot be read.
    """
    read = reader(file)
    start = read()
    while may_become_image(start) and not _names_a_file(start) and (more := read()):
        start += more
    return start


def is_image(start: bytes) -> bool:
    """Return whether a stream with this start is an image, not a list of paths."""
    return sniff(start) is not None and not _names_a_file(start)


def _names_a_file(start: bytes) -> bool:
    name = _SEPARATOR.split(start, 1)[0].rstrip(b"\r")
    return bool(name) and exists(os.fsdecode(name))


def image_from(file: BinaryIO, start: bytes, image_id: str) -> ImageRef:
    """Copy an image from a stream to a temporary file, which is removed when the program ends.

    It is copied to the disk because it may be of any size, and worker processes read it.

    Args:
        file: the stream.
        start: the part of the stream that was read already.
        image_id: identity of its rows.

    Raises:
        UsageError: the stream cannot be read.
    """
    read, path = reader(file), os.path.join(_temporary_folder(), "standard-input")
    digest, size, block = xxhash.xxh3_64(), 0, start
    with open(path, "wb") as copy:
        while block:
            copy.write(block)
            digest.update(block)
            size += len(block)
            block = read()
    state = FileState(size, digest.intdigest())
    return ImageRef(CopiedFile(image_id, LocalFile(path), state), image_id)


@cache
def _temporary_folder() -> str:
    folder = tempfile.mkdtemp(prefix="pixelprune-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
