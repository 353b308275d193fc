"""Machine code on the disk, each piece with a digest: damage is noticed before the code is run."""

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
    """Where code may be, the best place first: the folder of NUMBA_CACHE_DIR if one is named.

    Beside the package it is there for every user, in the cache of the user where that cannot be.
    """
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        return [named]
    beside = os.path.join(os.path.dirname(os.path.dirname(__file__)), "__pycache__")
    return [beside, os.path.join(_user_cache(), "pixelprune")]


def _user_cache() -> str:
    if sys.platform == "win32":
        return os.environ.get("LOCALAPPDATA") or os.path.expanduser("~")
    if sys.platform == "darwin":
        return os.path.expanduser("~/Library/Caches")
    return os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")


def read(name: str) -> bytes | None:
    """The code of that name; None where there is none, or none that is whole.

    What is damaged or cannot be read is set aside, with a warning.
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
        _set_aside(path, "it is damaged")
    return None


def write(name: str, code: bytes) -> bool:
    """Keep code for later runs, whole or not at all; whether some folder took it."""
    for folder in folders():
        path = os.path.join(folder, name + _SUFFIX)
        temporary = f"{path}.{secrets.token_hex(4)}.tmp"
        try:
            os.makedirs(folder, exist_ok=True)
            with open(temporary, "wb") as file:
                file.write(_digest(name, code) + code)
            os.replace(temporary, path)
        except OSError:  # a full disk, a folder of others
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
    except FileNotFoundError:  # another process has done so, and said it
        return
    except OSError:
        pass
    logger.warning("%s is set aside, and compiled anew: %s", path, reason)
