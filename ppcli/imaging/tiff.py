"""Reads TIFF files, one page at a time: each page is opened as if it were the only one.

No page is affected by what another one left behind in a decoder, and an invalid page fails alone.
"""

import logging
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

import numpy as np
import tifffile
from numpy.typing import NDArray

from ppcli.errors import ErrorCode, ImageError
from ppcli.imaging.image_choices import Colour
from ppcli.imaging.limits import check_pixels, system_error
from ppcli.imaging.page_formats import TIFF
from ppcli.imaging.tiff_damage import check_data, fax_damage
from ppcli.imaging.tiff_pixels import check_kind, pixels_of

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it reports becomes a row

# Orientation and XMP are hidden from Pillow, which applies both; we apply the first, as viewers do.
_HIDDEN, _NO_TAG = (274, 700), b"\xff\xff"
# Tags that pixels depend on: sizes, bits, offsets, palette, tables.
_NEEDED = frozenset({258, 273, 279, 320, 324, 325, 338, 339, 347, 530})
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 16: 8}
_YCBCR = 6
_BIG = 43  # the version of BigTIFF; 42 otherwise
_SPARSE_ADVICE = "rewrite it with all its data, for example with gdal_translate -co SPARSE_OK=FALSE"


class TiffSource:
    """An open TIFF file.

    Attributes:
        format: TIFF.
        frames: number of pages, including one whose directory is truncated.
        failed: always False, because a page that fails does not affect the others.
        warning: damage in the last page that was read, if viewers show such pages; else None.
    """

    format, failed = TIFF, False
    warning: str | None = None

    def __init__(self, file: BinaryIO, max_image_pixels: int) -> None:
        """Find the pages without decoding any.

        Raises:
            ImageError: `truncated`, `corrupt`, or any error of reading the file.
        """
        self._file = file
        self._max_image_pixels = max_image_pixels
        with self._explained():
            self._size = file.seek(0, os.SEEK_END)
            self._chain = _Chain(file, self._size)
            self._offsets = self._chain.offsets()
        self.frames = len(self._offsets)

    def original(self) -> None:
        """Return None: programs differ in what they show of such a file."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def page(self, number: int, background: Colour) -> NDArray[np.uint8]:
        """Decode one page (one-based) to upright RGB, uint8 (height, width, 3).

        Raises:
            ImageError: `truncated`, `corrupt`, `too_large`, `unsupported_mode`,
                `out_of_memory` or `unreadable`.
        """
        self.warning = None
        offset = self._offsets[number - 1]
        with self._explained():
            self._check_directory(offset)
            file = _PageFile(self._file, self._chain.header_to(offset))
            with tifffile.TiffFile(cast(BinaryIO, file), name="page") as structure:
                page = structure.pages.first
                self._check_size(page)
                check_kind(page)
                self._check_data(page)
                check_data(page, self._file)
                for tag in _HIDDEN:
                    if tag in page.tags:
                        file.hide(page.tags[tag])
                with fax_damage(page, self._file) as said:
                    pixels = pixels_of(page, cast(BinaryIO, file), background)
        if said:
            self.warning = f"its fax data is damaged or truncated ({len(said):,}: {said[0]})"
        return pixels

    def _check_directory(self, offset: int) -> None:
        if not self._chain.is_whole(offset):
            raise ImageError(ErrorCode.TRUNCATED, "the directory of this page is truncated")

    def _check_size(self, page: tifffile.TiffPage) -> None:
        width, height = page.imagewidth, page.imagelength
        if width < 1 or height < 1:
            raise ImageError(ErrorCode.CORRUPT, f"the page has {width}×{height} pixels")
        check_pixels(width, height, self._max_image_pixels)

    def _check_data(self, page: tifffile.TiffPage) -> None:
        """Check that no strip or tile is missing, since decoders leave those black."""
        wanted = int(np.prod(page.chunked))
        offsets, counts = page.dataoffsets[:wanted], page.databytecounts[:wanted]
        if len(offsets) < wanted:
            message = f"the page has only {len(offsets):,} of its {wanted:,} strips or tiles"
            raise ImageError(ErrorCode.CORRUPT, message)
        if not all(offsets) or (counts and not all(counts)):
            message = f"the page has strips or tiles without data; {_SPARSE_ADVICE}"
            raise ImageError(ErrorCode.CORRUPT, message)
        rows = _bytes_of_strips(page)
        for place, (offset, count) in enumerate(zip(offsets, counts, strict=False)):
            needed = min(count, rows[place]) if rows else count
            if rows and count < rows[place]:
                message = f"a strip has {count:,} bytes, but its rows need {rows[place]:,}"
                raise ImageError(ErrorCode.CORRUPT, message)
            if offset + needed > self._size:
                raise ImageError(
                    ErrorCode.TRUNCATED,
                    f"the file has {self._size:,} bytes, but the data of this page extends to "
                    f"byte {offset + needed:,}",
                )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Convert any exception of a decoder to an `ImageError`."""
        try:
            yield
        except (Exception, SystemExit) as error:
            if isinstance(error, ImageError):
                raise
            raise self._explain(error) from error

    def _explain(self, error: BaseException) -> ImageError:
        if fault := system_error(error, self._max_image_pixels):
            return fault
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return ImageError(ErrorCode.CORRUPT, f"the page cannot be decoded: {reason:.200}")


def _bytes_of_strips(page: tifffile.TiffPage) -> list[int]:
    """Return the bytes that each strip needs if strips are uncompressed, else an empty list.

    The sizes in the file may be larger: some writers declare a full strip for the shorter last one.
    """
    subsampled = page.photometric == _YCBCR
    if (
        page.compression != 1
        or page.is_tiled
        or subsampled
        or not isinstance(page.bitspersample, int)
    ):
        return []
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    row = -(-page.imagewidth * page.bitspersample * page.samplesperpixel // planes // 8)
    starts = range(0, page.imagelength, page.rowsperstrip)
    return [min(page.rowsperstrip, page.imagelength - y) * row for y in starts] * planes


class _Chain:
    """The directories of a file; each has the offset of the next."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        file.seek(0)
        self._file, self._size, self._header = file, size, file.read(16)
        self._order = "<" if self._header[:2] == b"II" else ">"
        version = self._unpack("H", self._header[2:4])
        self._big = version == _BIG
        self._count, self._entry_bytes, self._place = (
            ("Q", 20, "Q") if self._big else ("H", 12, "I")
        )
        self._width = struct.calcsize(self._place)  # of an offset, and of values within an entry

    def _unpack(self, kind: str, raw: bytes) -> int:
        if len(raw) < struct.calcsize(kind):
            raise ImageError(ErrorCode.TRUNCATED, "the file ends within its header")
        return int(struct.unpack(self._order + kind, raw)[0])

    def _read(self, kind: str, place: int) -> int | None:
        """Return the number at an offset; None beyond the end of the file."""
        size = struct.calcsize(kind)
        if place + size > self._size:
            return None
        self._file.seek(place)
        return self._unpack(kind, self._file.read(size))

    def _end(self, offset: int) -> int | None:
        """Return where the entries of a directory end; None beyond the end of the file."""
        entries = self._read(self._count, offset)
        if entries is None:
            return None
        end = offset + struct.calcsize(self._count) + entries * self._entry_bytes
        return end if end <= self._size else None

    def is_whole(self, offset: int) -> bool:
        """Return whether the file has all entries of a directory, and their values."""
        end = self._end(offset)
        if end is None:
            return False
        start = offset + struct.calcsize(self._count)
        return all(self._leads_into(place) for place in range(start, end, self._entry_bytes))

    def _leads_into(self, entry: int) -> bool:
        """Return whether the file has the values of an entry, or does not need them."""
        tag, kind = self._read("H", entry), self._read("H", entry + 2)
        count, place = self._read(self._place, entry + 4), self._entry_bytes - self._width
        size = (count or 0) * _TYPE_BYTES.get(kind or 0, 0)
        if tag not in _NEEDED or size <= self._width:
            return True
        return (self._read(self._place, entry + place) or 0) + size <= self._size

    def offsets(self) -> list[int]:
        """Return the offsets of all directories; the last directory may be truncated or missing.

        A chain that leads back to an earlier directory ends there.

        Raises:
            ImageError: `corrupt`, if there is none.
        """
        offset = self._unpack(self._place, self._header[8:] if self._big else self._header[4:8])
        found: dict[int, None] = {}
        while offset and offset not in found:
            found[offset] = None
            end = self._end(offset)
            offset = (end is not None and self._read(self._place, end)) or 0
        if not found:
            raise ImageError(ErrorCode.CORRUPT, "the file has no pages")
        return list(found)

    def header_to(self, offset: int) -> bytes:
        """Return the header of the file, changed to make this directory its first."""
        place = struct.pack(self._order + self._place, offset)
        return self._header[:8] + place if self._big else self._header[:4] + place


class _PageFile:
    """A TIFF file whose header leads to one of its pages.

    Args of the constructor:
        file: the file, which stays open for its other pages.
        header: replaces the header of the file.
    """

    closed = False

    def __init__(self, file: BinaryIO, header: bytes) -> None:
        self._file = file
        self._changes = [(0, header)]
        file.seek(0)
        self.seek, self.tell, self.fileno = file.seek, file.tell, file.fileno

    def hide(self, tag: tifffile.TiffTag) -> None:
        """Make a tag unknown to decoders, by changing its number."""
        self._changes.append((tag.offset, _NO_TAG))

    def read(self, size: int = -1) -> bytes:
        """Read as from a file, with the changes."""
        start = self._file.tell()
        data = bytearray(self._file.read(size))
        for place, change in self._changes:
            first, end = max(place, start), min(place + len(change), start + len(data))
            if first < end:
                data[first - start : end - start] = change[first - place : end - place]
        return bytes(data)

    def readinto(self, buffer: bytearray) -> int:
        """Read into a buffer as from a file, with the changes."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Do nothing: the file stays open."""
