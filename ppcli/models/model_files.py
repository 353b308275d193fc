"""Opens files of checkpoints and model directories, which may come from strangers.

Only regular files are opened, because reading from a pipe could block forever. The size of JSON
files is limited.
"""

import json
import os
import stat
from collections.abc import Iterable
from typing import Any

from ppcli.errors import ModelError

CONFIG = "config.json"
MAX_JSON_BYTES = 16 << 20
MAX_SETTINGS_BYTES = 128 << 20


def check_regular(path: str, max_bytes: int | None = None) -> bool:
    """Check that a path, if it exists, is a regular file of an acceptable size.

    Args:
        path: of the file; links are followed.
        max_bytes: largest size; None for no limit.

    Returns:
        Whether the file exists.

    Raises:
        ModelError: for a folder, a pipe, a device, or a larger file.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"{path} is not a regular file")
    if max_bytes is not None and status.st_size > max_bytes:
        raise ModelError(
            f"{path} has {status.st_size:,} bytes; the limit for such a file is {max_bytes:,}"
        )
    return True


def check_settings(folder: str, names: Iterable[str]) -> None:
    """Check those settings files of a folder that exist.

    Raises:
        ModelError: for the first that is not a regular file, or too large.
    """
    for name in names:
        check_regular(os.path.join(folder, name), MAX_SETTINGS_BYTES)


def check_plain_name(name: str, source: str) -> None:
    """Check that a file name, read from another file, stays within the same folder.

    Args:
        name: the file name.
        source: the file that it was read from, for the message.

    Raises:
        ModelError: if it has a separator, or is not a name.
    """
    is_path = any(mark in name for mark in "/\\\0") or os.path.splitdrive(name)[0]
    if name in ("", ".", "..") or is_path:
        raise ModelError(f"{source} names {name!r}, which is not a file in the same folder")


def read_json(path: str) -> dict[str, Any] | None:
    """Read a JSON object from a file.

    Returns:
        The object; None if there is no such file.

    Raises:
        ModelError: if the file has other content, or more than `MAX_JSON_BYTES`.
    """
    if not check_regular(path, MAX_JSON_BYTES):
        return None
    try:
        with open(path, "rb") as file:
            return parse_json(file.read(MAX_JSON_BYTES), path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error}") from error


def parse_json(content: bytes, source: str) -> dict[str, Any]:
    """Parse a JSON object.

    Args:
        content: UTF-8.
        source: the file that it was read from, for the message.

    Raises:
        ModelError: it is something else.
    """
    try:
        parsed = json.loads(content.decode("utf-8"))
    except RecursionError:
        raise ModelError(f"{source} cannot be read: it is nested too deeply") from None
    except ValueError as error:
        raise ModelError(f"{source} cannot be read: {error}") from error
    if not isinstance(parsed, dict):
        raise ModelError(f"{source} is not a JSON object")
    return parsed
