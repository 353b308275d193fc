"""PNG files below a folder, named after identities."""

import errno
import io
import os
import re
from contextlib import suppress

import xxhash
from PIL import Image

from ppcli.errors import ErrorCode, ImageError, OutputError, bounded
from ppcli.store.atomic import atomic_file, writing

_LONGEST_NAME = 255
_FAULTS_OF_NAMES = (
    *(errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EEXIST),
    *(errno.EINVAL, errno.EILSEQ, errno.ELOOP),
)
_NOT_ON_WINDOWS = re.compile(r'[\\:*?"<>|\x00-\x1f]')


class PictureFolder:
    """Where pictures go; never outside of it, and no two of a run to one file.

    Args of the constructor:
        folder: it is made when the first picture comes.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._taken: set[str] = set()

    def check(self) -> None:
        """Refuse a folder that cannot be one.

        Raises:
            OutputError: when something else has its name.
        """
        if os.path.lexists(self._folder) and not os.path.isdir(self._folder):
            raise OutputError(f"{bounded(self._folder)} is no folder; name another one")

    def path_of(self, image_id: str) -> str:
        """Where the picture of an identity goes; numbered where an earlier one took its name."""
        path = os.path.join(self._folder, relative_name(image_id))
        candidate, number = path, 2
        while candidate.casefold() in self._taken:
            candidate = f"{path.removesuffix('.png')}~{number}.png"
            number += 1
        self._taken.add(candidate.casefold())
        return candidate


def put_picture(path: str, png: bytes, overwrite: bool) -> None:
    """Write a picture, whole or not at all.

    Raises:
        ImageError: `unreadable`, when only this one cannot be: its name does not suit the others,
            or the system.
        OutputError: when the file stands there already, or none can be written.
    """
    if os.path.isdir(path):
        raise _no_such_name(path, "a folder has this name")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{bounded(path)} exists; use --overwrite or another name")
    try:
        with writing(path):
            with suppress(FileExistsError):
                os.makedirs(os.path.dirname(path) or ".")
            with atomic_file(path) as file:
                file.write(png)
    except (RecursionError, ValueError):
        raise _no_such_name(path, "its folders lie too deep") from None
    except OutputError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in _FAULTS_OF_NAMES:
            raise _no_such_name(path, cause.strerror or str(cause)) from error
        raise


def _no_such_name(path: str, reason: str) -> ImageError:
    return ImageError(ErrorCode.UNREADABLE, f"{bounded(path)} cannot be written: {reason}")


def png_of(image: Image.Image) -> bytes:
    """The image as a PNG file holds it."""
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def relative_name(image_id: str) -> str:
    """A file name for an identity: relative, without `..`, short enough, ending in `.png`."""
    parts = [part for part in image_id.split("/") if part not in ("", ".")]
    safe = [_safe(part) for part in parts] or ["image"]
    safe[-1] = _shortened(safe[-1], _LONGEST_NAME - len(".png")) + ".png"
    return os.path.join(*(_shortened(part, _LONGEST_NAME) for part in safe))


def _safe(part: str) -> str:
    if os.name == "nt":
        part = _NOT_ON_WINDOWS.sub("_", part)
    return "__" if part == ".." else part.replace("\0", "_")


def _shortened(part: str, limit: int) -> str:
    """The part, or where it is too long for a file name its start and a hash of the whole."""
    raw = part.encode()
    if len(raw) <= limit:
        return part
    suffix = "~" + xxhash.xxh3_64_hexdigest(raw)
    return raw[: limit - len(suffix)].decode("utf-8", "ignore") + suffix
