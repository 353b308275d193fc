"""Writes PNG files to a folder, named after image ids."""

import errno
import io
import os
import re
from contextlib import suppress

import xxhash
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ppcli.errors import ErrorCode, ImageError, OutputError, bounded
from ppcli.inputs.marks import FOLDER_MARK, KEYWORD, mark, mark_of
from ppcli.store.atomic import as_output_error, atomic_file

_MAX_NAME_BYTES = 255
_MAX_ID_BYTES = 4096
_SUFFIX = ".png"
_NAME_ERRORS = (
    *(errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EEXIST),
    *(errno.EINVAL, errno.EILSEQ, errno.ELOOP),
)
_INVALID_ON_WINDOWS = re.compile(r'[\\:*?"<>|\x00-\x1f]')


class PngFolder:
    """A folder of PNG files. No id writes outside it, and no two ids share a file.

    Args of the constructor:
        folder: path of the folder, which is created with the first picture.
        overwrite: replace earlier pictures of the same ids.
        drawn: the pictures show images, but are none; a new folder gets a mark, so that walks of
            input folders skip it.
    """

    def __init__(self, folder: str, overwrite: bool, drawn: bool = False) -> None:
        self._folder = folder
        self._overwrite = overwrite
        self._drawn = drawn
        self._used: set[str] = set()

    def check(self) -> None:
        """Check that the path is a folder or does not exist.

        Raises:
            OutputError: the path is something else.
        """
        if os.path.lexists(self._folder) and not os.path.isdir(self._folder):
            raise OutputError(f"{bounded(self._folder)} is not a folder; use another name")

    def path_of(self, image_id: str) -> str:
        """Return the path for the picture of an id.

        It gets a number if the picture of another id, of this run or an earlier one, has the name.
        """
        name, number = png_name(image_id), 1
        path = os.path.join(self._folder, name)
        while path.casefold() in self._used or _is_of_another(path, image_id):
            number += 1
            path = os.path.join(self._folder, _numbered(name, number))
        self._used.add(path.casefold())
        return path

    def put(self, path: str, png: bytes) -> None:
        """Write a picture atomically to a path from `path_of`.

        Raises:
            ImageError: see `write_png`.
            OutputError: the path exists and may not be replaced, or nothing can be written.
        """
        if os.path.lexists(path) and not os.path.isdir(path) and mark_of(path) is None:
            raise OutputError(
                f"{bounded(path)} exists and was not made by pixelprune; use another folder"
            )
        with as_output_error(bounded(self._folder)):
            if self._drawn and not os.path.isdir(self._folder):
                os.makedirs(self._folder, exist_ok=True)
                open(os.path.join(self._folder, FOLDER_MARK), "wb").close()
        write_png(path, png, self._overwrite)


def _is_of_another(path: str, image_id: str) -> bool:
    """Return whether the path has the picture of another id."""
    found = mark_of(path)
    return found is not None and found.get("image_id") != _id_in_mark(image_id)


def _id_in_mark(image_id: str) -> str:
    return _shortened(image_id, _MAX_ID_BYTES)


def write_png(path: str, png: bytes, overwrite: bool) -> None:
    """Write a picture atomically.

    Raises:
        ImageError: `unreadable`: the system rejects this name, or a folder has it.
        OutputError: the file exists and may not be replaced, or nothing can be written.
    """
    if os.path.isdir(path):
        raise _name_error(path, "a folder has this name")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{bounded(path)} exists; use --overwrite or another name")
    try:
        with as_output_error(path):
            with suppress(FileExistsError):
                os.makedirs(os.path.dirname(path) or ".")
            with atomic_file(path, replace=overwrite) as file:
                file.write(png)
    except (RecursionError, ValueError):
        raise _name_error(path, "its folders are nested too deeply") from None
    except OutputError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in _NAME_ERRORS:
            raise _name_error(path, cause.strerror or str(cause)) from error
        raise


def _name_error(path: str, reason: str) -> ImageError:
    return ImageError(ErrorCode.UNREADABLE, f"{bounded(path)} cannot be written: {reason}")


def encode_png(image: Image.Image, made_by: str, image_id: str) -> bytes:
    """Encode a picture as PNG, with a text chunk that says what made it.

    Args:
        image: the picture.
        made_by: the command that made it.
        image_id: id of the image that it shows.
    """
    text = PngInfo()
    text.add_text(KEYWORD, mark(made_by, _id_in_mark(image_id)))
    file = io.BytesIO()
    image.save(file, format="PNG", pnginfo=text)
    return file.getvalue()


def png_name(image_id: str) -> str:
    """Return the file name for an id: relative, without `..`, of limited length, with `.png`.

    Ids that differ only in a final `.png` get the same name.
    """
    parts = [part for part in image_id.split("/") if part not in ("", ".")]
    *folders, last = [_safe(part) for part in parts] or ["image"]
    stem, suffix = _split(last)
    name = _shortened(stem, _MAX_NAME_BYTES - len(suffix)) + suffix
    return os.path.join(*(_shortened(part, _MAX_NAME_BYTES) for part in folders), name)


def _split(name: str) -> tuple[str, str]:
    """Split a name into stem and suffix; the suffix is `.png` if the name has none."""
    stem, suffix = os.path.splitext(name)
    return (stem, suffix) if suffix.lower() == _SUFFIX else (name, _SUFFIX)


def _numbered(name: str, number: int) -> str:
    folder, last = os.path.split(name)
    stem, suffix = _split(last)
    suffix = f"~{number}{suffix}"
    return os.path.join(folder, _shortened(stem, _MAX_NAME_BYTES - len(suffix)) + suffix)


def _safe(part: str) -> str:
    if os.name == "nt":
        part = _INVALID_ON_WINDOWS.sub("_", part)
    return "__" if part == ".." else part.replace("\0", "_")


def _shortened(part: str, limit: int) -> str:
    """Return the part; if it exceeds `limit` bytes, its beginning and a hash of it."""
    raw = part.encode()
    if len(raw) <= limit:
        return part
    suffix = "~" + xxhash.xxh3_64_hexdigest(raw)
    return raw[: limit - len(suffix)].decode("utf-8", "ignore") + suffix
