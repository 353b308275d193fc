"""Detects damaged strips and tiles of TIFF pages, which libtiff fills with black or grey."""

import os
import re
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
import simplejpeg
import tifffile

from ppcli.errors import ErrorCode, ImageError
from ppcli.imaging.jpeg import refuse_damage

_JPEG, _DEFLATE = 7, (8, 32946)
_FAX = (2, 3, 4)
_FAX_MESSAGE = re.compile(rb"^Fax\w*: .*", re.MULTILINE)
_GROUP4, _LOW_FIRST, _MARK_BYTES = 4, 2, 8
_END_OF_BLOCK = bytes([*[0] * 11, 1] * 2)
_STDERR = 2
_MAX_MESSAGE_LENGTH = 100
_BLOCK = 1 << 20
_BEFORE_EOI, _AFTER_SOI = -2, 2


def check_data(page: tifffile.TiffPage, file: BinaryIO) -> None:
    """Check the compressed data of a page, for compressions that allow it.

    Args:
        page: a page whose strips or tiles are all within the file.
        file: its file.

    Raises:
        ImageError: `truncated` or `corrupt`.
    """
    if page.compression == _JPEG and page.bitspersample == 8:
        for data in _pieces(page, file):
            _check_jpeg(page, data)
    elif page.compression in _DEFLATE:
        most = 4 * page.imagewidth * page.imagelength * page.samplesperpixel + _BLOCK
        for data in _pieces(page, file):
            _check_deflate(data, most)


def _pieces(page: tifffile.TiffPage, file: BinaryIO) -> Iterator[bytes]:
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        file.seek(offset)
        yield file.read(count)


def _check_jpeg(page: tifffile.TiffPage, data: bytes) -> None:
    if page.jpegtables is not None:
        data = page.jpegtables[:_BEFORE_EOI] + data[_AFTER_SOI:]
    try:
        _, width, space, _ = simplejpeg.decode_jpeg_header(data)
        expected = page.tilewidth if page.is_tiled else page.imagewidth
        if width != expected:
            message = f"a strip or tile is {width:,} pixels wide instead of {expected:,}"
            raise ImageError(ErrorCode.CORRUPT, message)
        colours = "CMYK" if space in ("CMYK", "YCCK") else "GRAY"
        simplejpeg.decode_jpeg(data, colours, min_factor=8, min_height=1, min_width=1, strict=True)
    except ValueError as error:
        refuse_damage(str(error), data)


def _check_deflate(data: bytes, most: int) -> None:
    """Inflate in blocks, up to `most` bytes, which is more than the page can need."""
    stream, size = zlib.decompressobj(), 0
    try:
        while data and size <= most:
            size += len(stream.decompress(data, _BLOCK))
            data = stream.unconsumed_tail
    except zlib.error as error:
        raise ImageError(ErrorCode.CORRUPT, f"the compressed data is damaged: {error}") from error
    if not stream.eof and size <= most:
        raise ImageError(ErrorCode.TRUNCATED, "the compressed data is truncated")


def _ends(data: bytes, fill_order: int) -> bool:
    """Return whether group 4 fax data end with the end-of-block code (ITU-T T.6)."""
    last = np.frombuffer(data[-_MARK_BYTES:], dtype=np.uint8)
    bits = np.unpackbits(last, bitorder="little" if fill_order == _LOW_FIRST else "big")
    return _END_OF_BLOCK in bits.tobytes()


@contextmanager
def fax_damage(page: tifffile.TiffPage, file: BinaryIO) -> Iterator[list[str]]:
    """Collect libtiff's messages about damaged fax lines while a page is decoded.

    Fax machines produce such lines and viewers show them, so they are not an error. libtiff in
    Pillow reports them on standard error only, which is therefore redirected.

    Yields:
        A list of messages, complete when the context ends.
    """
    messages: list[str] = []
    if page.compression == _GROUP4:  # libtiff does not report a missing end
        ends = (_ends(data, page.fillorder) for data in _pieces(page, file))
        messages += ["a strip without its end mark" for is_complete in ends if not is_complete]
    if page.compression not in _FAX:
        yield messages
        return
    with tempfile.TemporaryFile() as captured:
        stderr = os.dup(_STDERR)
        os.dup2(captured.fileno(), _STDERR)
        try:
            yield messages
        finally:
            os.dup2(stderr, _STDERR)
            os.close(stderr)
            captured.seek(0)
            lines = _FAX_MESSAGE.findall(captured.read(_BLOCK))
            messages += [line.decode("ascii", "replace")[:_MAX_MESSAGE_LENGTH] for line in lines]
