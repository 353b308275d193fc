"""Files that a container names instead of holding their bytes."""

import os

from ppcli.errors import ErrorCode, ImageError, UsageError
from ppcli.files import InputFile, PathKind
from ppcli.filesystems.schemes import is_url, scheme_of
from ppcli.inputs.input_places import file_at
from ppcli.inputs.names import path_of
from ppcli.inputs.object_file import ObjectFile


def named_file(container: InputFile, path: str) -> InputFile:
    """Return the file at a path or URL in a container.

    Relative paths are relative to the folder of the container. Absolute ones are paths on this
    machine, if the container is on it.

    Raises:
        ImageError: it cannot be a path or URL.
    """
    try:
        path = path_of(path)
        if isinstance(container, ObjectFile) and os.path.isabs(path):
            raise ImageError(ErrorCode.NOT_FOUND, "its path is for the machine that wrote it")
        if is_url(path) or os.path.isabs(path):
            return file_at(path, PathKind.FILE)
        if isinstance(container, ObjectFile):
            return file_at(f"{_folder_of(container.url)}/{path}", PathKind.FILE)
        return file_at(os.path.join(os.path.dirname(container.name), path), PathKind.FILE)
    except (UsageError, ValueError) as error:
        raise ImageError(ErrorCode.NOT_FOUND, str(error)) from None


def _folder_of(url: str) -> str:
    """Return the folder of a URL. A query, which may have slashes, is for one file only."""
    path = url.partition("?")[0] if scheme_of(url) in ("http", "https") else url
    return path.rpartition("/")[0]
