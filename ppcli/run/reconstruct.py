"""`reconstruct`: patch sets back to PNG files."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import xxhash
from PIL import Image

from ppcli.errors import DamagedError, OutputError
from ppcli.inputs.refs import printable
from ppcli.store.atomic import atomic_file
from ppcli.store.codec import unpack
from ppcli.store.reader import patch_files, read_patch_rows

_LONGEST_NAME = 255
_NOT_ON_WINDOWS = re.compile(r'[\\:*?"<>|\x00-\x1f]')


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """One patch set: the file it went to, or why it could not."""

    image_id: str
    path: str
    error: str | None = None


def reconstruct(dataset: str, folder: str, overwrite: bool = False) -> Iterator[Rebuilt]:
    """Write every patch set of a dataset as a PNG below a folder, padding cropped.

    Args:
        dataset: a dataset folder or one of its patch files.
        folder: where the PNG files go; they never go outside it.
        overwrite: whether files that stand there may be replaced.

    Yields:
        One entry for each patch set, in the dataset's order.

    Raises:
        UsageError: when there is no dataset, or one without patch sets.
        OutputError: when a file exists or cannot be written.
        DamagedError: when a file of the dataset is unreadable.
    """
    written: set[str] = set()
    for file in patch_files(dataset):
        for row in read_patch_rows(file):
            path = _unused(os.path.join(folder, relative_name(row.image_id)), written)
            try:
                image = unpack(row).image()
            except DamagedError as error:
                yield Rebuilt(row.image_id, path, printable(str(error)))
                continue
            if os.path.lexists(path) and not overwrite:
                raise OutputError(f"{printable(path)} exists; use --overwrite or another folder")
            _write_png(Image.fromarray(image), path)
            yield Rebuilt(row.image_id, path)


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


def _unused(path: str, written: set[str]) -> str:
    """The path, numbered when an earlier identity of this run has taken it."""
    candidate, number = path, 2
    while candidate.casefold() in written:
        candidate = f"{path.removesuffix('.png')}~{number}.png"
        number += 1
    written.add(candidate.casefold())
    return candidate


def _write_png(image: Image.Image, path: str) -> None:
    try:
        with suppress(FileExistsError):
            os.makedirs(os.path.dirname(path))
        with atomic_file(path) as file:
            image.save(file, format="PNG")
    except OSError as error:
        raise OutputError(f"{printable(path)} cannot be written: {error.strerror}") from error
