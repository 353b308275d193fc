"""A place on the disk for images that are in no file of their own."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

from ppcli.inputs.refs import ImageRef


@cache
def spare_folder() -> str:
    """A folder of this run, made when it is first asked for, and removed when the program ends."""
    folder = tempfile.mkdtemp(prefix="pixelprune-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextmanager
def on_disk(ref: ImageRef, folder: str) -> Iterator[ImageRef]:
    """The image as a file that can be opened, for as long as it is wanted.

    Args:
        ref: an image; one with content is written to a file.
        folder: where.
    """
    if ref.content is None:
        yield ref
        return
    file, path = tempfile.mkstemp(dir=folder)
    try:
        with open(file, "wb") as spare:
            spare.write(ref.content)
        yield replace(ref, path=path, content=None)
    finally:
        os.unlink(path)
