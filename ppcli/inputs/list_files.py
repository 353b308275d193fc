"""Files that list inputs: on this machine or at a URL."""

from typing import BinaryIO

from ppcli.errors import ImageError, UsageError
from ppcli.files import PathKind, open_stream
from ppcli.filesystems.schemes import shown_url
from ppcli.inputs.input_places import file_at, is_far, kind_at
from ppcli.inputs.sniff import has_image_signature


def check_list(path: str) -> None:
    """Refuse what cannot be a list.

    Raises:
        UsageError: it is missing, a folder or an image.
        StoreError: a store does not tell.
    """
    kind, shown = kind_at(path), _shown(path)
    if kind in (PathKind.MISSING, PathKind.BROKEN_LINK):
        raise UsageError(f"{shown}: no such list of files")
    if kind is PathKind.FOLDER:
        raise UsageError(f"{shown} is a folder, not a list of files")
    if kind is PathKind.FILE and _starts_like_an_image(path):
        raise UsageError(f"{shown} is an image, not a list of files")


def open_list(path: str) -> BinaryIO:
    """Open a list for reading.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return file_at(path, PathKind.FILE).open() if is_far(path) else open_stream(path)
    except (OSError, ImageError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"{_shown(path)}: the list of paths cannot be read: {reason}"
        raise UsageError(message) from error


def _shown(path: str) -> str:
    return shown_url(path) if is_far(path) else path


def _starts_like_an_image(path: str) -> bool:
    try:
        with file_at(path, PathKind.FILE).open() as file:
            return has_image_signature(file)
    except ImageError:
        return False
