"""Prints a digest of the pixels of every file, or its error code, as JSON on one line.

Usage: `python -m tests.imaging.digests FOLDER…`."""

import json
import sys
from contextlib import closing
from pathlib import Path

import PIL
import xxhash

from ppcli.errors import ImageError
from ppcli.files import LocalFile
from ppcli.imaging.decode import pillow_limits
from ppcli.imaging.page_source import open_source
from ppcli.imaging.reading_options import ReadingOptions

PAGES = 4  # of each file, at most
NO_PICTURES = frozenset({".csv", ".txt", ".md"})


def digests(folders: list[Path]) -> dict[str, list[str]]:
    """Return the sizes and digests of the pages, or their error codes, by file."""
    reading = ReadingOptions()
    paths = sorted(path for folder in folders for path in folder.rglob("*"))
    with pillow_limits(reading.max_image_pixels):
        return {
            str(path): _pages(path, reading)
            for path in paths
            if path.is_file() and path.suffix not in NO_PICTURES
        }


def _pages(path: Path, reading: ReadingOptions) -> list[str]:
    try:
        source = open_source(LocalFile(str(path)), reading)
    except ImageError as error:
        return [error.code]
    with closing(source):
        return [
            _page(source, number, reading) for number in range(1, min(source.frames, PAGES) + 1)
        ]


def _page(source, number: int, reading: ReadingOptions) -> str:
    try:
        pixels = source.page(number, reading.background)
    except ImageError as error:
        return error.code
    return f"{pixels.shape} {xxhash.xxh3_64_hexdigest(pixels.tobytes())}"


if __name__ == "__main__":
    found = digests([Path(name) for name in sys.argv[1:]])
    sys.stdout.write(json.dumps({"pillow": PIL.__version__, "files": found}) + "\n")
