"""The on-disk cache of machine code. A digest detects damage before the code is run."""

import hashlib
import logging
import os
import secrets
import sys
from contextlib import suppress

logger = logging.getLogger("pixelprune")

_SUFFIX = ".code"
_DIGEST_BYTES = 32


def folders() -> list[str]:
    """Return the cache folders, in order of preference.

    `NUMBA_CACHE_DIR` replaces the defaults: the package's own `__pycache__`, which all users
    share, and the user's cache folder for where that is not writable.
    """
    if configured := os.environ.get("NUMBA_CACHE_DIR"):
        return [configured]
    shared = os.path.join(os.path.dirname(os.path.dirname(__file__)), "__pycache__")
    return [shared, user_folder()]


def user_folder() -> str:
    """Return the folder for pixelprune in the user's cache folder."""
    return os.path.join(_user_cache(), "pixelprune")


def _user_cache() -> str:
    if sys.platform == "win32":
        return os.environ.get("LOCALAPPDATA") or os.path.expanduser("~")
    if sys.platform == "darwin":
        return os.path.expanduser("~/Library/Caches")
    return os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")


def read(name: str) -> bytes | None:
    """Return the code stored under a name, or None if no folder has it intact.

    A damaged or unreadable file is renamed, with a warning.
    """
    for folder in folders():
        path = os.path.join(folder, name + _SUFFIX)
        try:
            with open(path, "rb") as file:
                data = file.read()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            _set_aside(path, error.strerror or str(error))
            continue
        digest, code = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        if digest == _digest(name, code):
            return code
        _set_aside(path, "the file is damaged")
    return None


def write(name: str, code: bytes) -> bool:
    """Store code atomically in the first writable folder; return whether there was one."""
    for folder in folders():
        path = os.path.join(folder, name + _SUFFIX)
        temporary = f"{path}.{secrets.token_hex(4)}.tmp"
        try:
            os.makedirs(folder, exist_ok=True)
            with open(temporary, "wb") as file:
                file.write(_digest(name, code) + code)
            os.replace(temporary, path)
        except OSError:  # a full disk, or no permission
            with suppress(OSError):
                os.unlink(temporary)
            continue
        return True
    return False


def _digest(name: str, code: bytes) -> bytes:
    return hashlib.blake2b(name.encode() + b"\0" + code, digest_size=_DIGEST_BYTES).digest()


def _set_aside(path: str, reason: str) -> None:
    try:
        os.replace(path, f"{path}.{secrets.token_hex(4)}.damaged")
    except FileNotFoundError:  # another process was faster, and has warned
        return
    except OSError:
        pass
    logger.warning("%s: the cached kernel is unusable and is compiled again: %s", path, reason)
