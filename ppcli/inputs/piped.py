"""Standard input: a list of paths, or one image."""

import os
import re
from typing import BinaryIO

import xxhash

from ppcli.inputs.names import reader
from ppcli.inputs.refs import ImageRef
from ppcli.inputs.sniff import may_become_image, sniff
from ppcli.inputs.spare import spare_folder

_SEPARATOR = re.compile(rb"[\n\0]")


def begin_of(file: BinaryIO) -> bytes:
    """As much of a stream as tells an image from a list.

    Raises:
        UsageError: when it cannot be read.
    """
    read = reader(file)
    begin = read()
    while may_become_image(begin) and not _names_a_file(begin) and (more := read()):
        begin += more
    return begin


def is_image(begin: bytes) -> bool:
    """Whether a stream that begins so is an image, and not a list whose first name is like one."""
    return sniff(begin) is not None and not _names_a_file(begin)


def _names_a_file(begin: bytes) -> bool:
    name = _SEPARATOR.split(begin, 1)[0].rstrip(b"\r")
    return bool(name) and os.path.lexists(os.fsdecode(name))


def image_from(file: BinaryIO, begin: bytes, image_id: str) -> ImageRef:
    """The image that a stream holds, as a file that is removed when the program ends.

    Args:
        file: the stream.
        begin: what was read of it already.
        image_id: the identity of its rows.

    Raises:
        UsageError: when it cannot be read.
    """
    read, path = reader(file), os.path.join(spare_folder(), "standard-input")
    digest, size, block = xxhash.xxh3_64(), 0, begin
    with open(path, "wb") as copy:
        while block:
            copy.write(block)
            digest.update(block)
            size += len(block)
            block = read()
    return ImageRef(path, image_id, (size, digest.intdigest()), is_copy=True)
