"""PNG files below a folder, named after identities."""

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

_LONGEST_NAME = 255
_LONGEST_IN_MARK = 4096
_SUFFIX = ".png"
_FAULTS_OF_NAMES = (
    *(errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EEXIST),
    *(errno.EINVAL, errno.EILSEQ, errno.ELOOP),
)
_NOT_ON_WINDOWS = re.compile(r'[\\:*?"<>|\x00-\x1f]')


class PngFolder:
    """Where pictures go; never outside of it, and no two identities to one file.

    Args of the constructor:
        folder: it is made when the first picture comes.
        overwrite: whether earlier pictures may be replaced by those of the same identities.
        drawn: whether they are no images themselves; a folder made for them is marked.
    """

    def __init__(self, folder: str, overwrite: bool, drawn: bool = False) -> None:
        self._folder = folder
        self._overwrite = overwrite
        self._drawn = drawn
        self._taken: set[str] = set()

    def check(self) -> None:
        """Refuse a folder that cannot be one.

        Raises:
            OutputError: when something else has its name.
        """
        if os.path.lexists(self._folder) and not os.path.isdir(self._folder):
            raise OutputError(f"{bounded(self._folder)} is no folder; name another one")

    def path_of(self, image_id: str) -> str:
        """Where the picture of an identity goes.

        It is numbered where that of another one has the name, of this run or of an earlier one.
        """
        name, number = png_name(image_id), 1
        path = os.path.join(self._folder, name)
        while path.casefold() in self._taken or _is_of_another(path, image_id):
            number += 1
            path = os.path.join(self._folder, _numbered(name, number))
        self._taken.add(path.casefold())
        return path

    def put(self, path: str, png: bytes) -> None:
        """Write a picture to a path that `path_of` gave, whole or not at all.

        Raises:
            ImageError: as `write_png`.
            OutputError: when an earlier one stands there and may not be replaced, when something
                else does, or when none can be written.
        """
        if os.path.lexists(path) and not os.path.isdir(path) and mark_of(path) is None:
            raise OutputError(
                f"{bounded(path)} is there, and not made by pixelprune; use another folder"
            )
        with as_output_error(bounded(self._folder)):
            if self._drawn and not os.path.isdir(self._folder):
                os.makedirs(self._folder, exist_ok=True)
                open(os.path.join(self._folder, FOLDER_MARK), "wb").close()
        write_png(path, png, self._overwrite)


def _is_of_another(path: str, image_id: str) -> bool:
    """Whether the picture of another identity is there."""
    said = mark_of(path)
    return said is not None and said.get("image_id") != _in_mark(image_id)


def _in_mark(image_id: str) -> str:
    return _shortened(image_id, _LONGEST_IN_MARK)


def write_png(path: str, png: bytes, overwrite: bool) -> None:
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
        with as_output_error(path):
            with suppress(FileExistsError):
                os.makedirs(os.path.dirname(path) or ".")
            with atomic_file(path, replace=overwrite) as file:
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


def encode_png(image: Image.Image, made_by: str, image_id: str) -> bytes:
    """The image as a PNG file holds it, with a mark that tells where it is from.

    Args:
        image: the picture.
        made_by: the command that makes it.
        image_id: of the image that it is of.
    """
    text = PngInfo()
    text.add_text(KEYWORD, mark(made_by, _in_mark(image_id)))
    file = io.BytesIO()
    image.save(file, format="PNG", pnginfo=text)
    return file.getvalue()


def png_name(image_id: str) -> str:
    """A file name for an identity: relative, without `..`, short enough, ending in `.png`.

    Of two identities that differ by a `.png` at their end it is the same.
    """
    parts = [part for part in image_id.split("/") if part not in ("", ".")]
    *folders, last = [_safe(part) for part in parts] or ["image"]
    stem, suffix = _split(last)
    name = _shortened(stem, _LONGEST_NAME - len(suffix)) + suffix
    return os.path.join(*(_shortened(part, _LONGEST_NAME) for part in folders), name)


def _split(name: str) -> tuple[str, str]:
    """The name without the suffix of a PNG file, and that suffix, which is added where none is."""
    stem, suffix = os.path.splitext(name)
    return (stem, suffix) if suffix.lower() == _SUFFIX else (name, _SUFFIX)


def _numbered(name: str, number: int) -> str:
    folder, last = os.path.split(name)
    stem, suffix = _split(last)
    suffix = f"~{number}{suffix}"
    return os.path.join(folder, _shortened(stem, _LONGEST_NAME - len(suffix)) + suffix)


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
