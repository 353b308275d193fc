"""Files of checkpoints and model directories, which may come from strangers.

Only regular files are opened, since a pipe would be waited for without end, and JSON is read up
to a size only.
"""

import json
import os
import stat
from collections.abc import Iterable
from typing import Any

from ppcli.errors import ModelError

MOST_JSON_BYTES = 16 << 20
MOST_SETTINGS_BYTES = 128 << 20


def check_regular(path: str, most: int | None = None) -> bool:
    """Whether there is something at a path; if so, it is a regular file of a fair size.

    Args:
        path: of the file; a link is followed.
        most: bytes that it may have; None for any number.

    Raises:
        ModelError: for a folder, a pipe, a device, or a file that is larger.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"{path} is not a regular file")
    if most is not None and status.st_size > most:
        raise ModelError(
            f"{path} has {status.st_size:,} bytes, more than the {most:,} that such a file may have"
        )
    return True


def check_settings(folder: str, names: Iterable[str]) -> None:
    """See that files of settings, where they are there, can be opened without harm.

    Raises:
        ModelError: naming the first that cannot.
    """
    for name in names:
        check_regular(os.path.join(folder, name), MOST_SETTINGS_BYTES)


def check_plain(name: str, source: str) -> None:
    """See that a name that a file gives is that of a file in the same folder.

    Raises:
        ModelError: when it leads elsewhere.
    """
    if name in ("", ".", "..") or any(mark in name for mark in "/\\\0"):
        raise ModelError(f"{source} names {name!r}, which is no file beside it")


def read_json(path: str) -> dict[str, Any] | None:
    """A JSON object from a file, None when there is no file.

    Raises:
        ModelError: when there is something else, or it holds more than `MOST_JSON_BYTES`.
    """
    if not check_regular(path, MOST_JSON_BYTES):
        return None
    try:
        with open(path, encoding="utf-8") as file:
            text = json.loads(file.read(MOST_JSON_BYTES))
    except RecursionError:
        raise ModelError(f"{path} cannot be read: it is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    if not isinstance(text, dict):
        raise ModelError(f"{path} does not hold a JSON object")
    return text
