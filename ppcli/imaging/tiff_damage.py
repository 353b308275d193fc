"""Strips and tiles of TIFF pages whose data are damaged: libtiff goes on, with black or grey."""

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
_OF_FAX = re.compile(rb"^Fax\w*: .*", re.MULTILINE)
_GROUP4, _LOW_FIRST, _MARK_BYTES = 4, 2, 8
_END_OF_BLOCK = bytes([*[0] * 11, 1] * 2)
_STDERR = 2
_LONGEST = 100
_BLOCK = 1 << 20
_BEFORE_EOI, _AFTER_SOI = -2, 2


def check_data(page: tifffile.TiffPage, file: BinaryIO) -> None:
    """Read the data of a page, where that tells whether they are whole.

    Args:
        page: whose strips or tiles are all in the file.
        file: that it is in.

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
        wanted = page.tilewidth if page.is_tiled else page.imagewidth
        if width != wanted:
            message = f"a piece of the page is {width:,} pixels wide, and should be {wanted:,}"
            raise ImageError(ErrorCode.CORRUPT, message)
        colours = "CMYK" if space in ("CMYK", "YCCK") else "GRAY"
        simplejpeg.decode_jpeg(data, colours, min_factor=8, min_height=1, min_width=1, strict=True)
    except ValueError as error:
        refuse_damage(str(error), data)


def _check_deflate(data: bytes, most: int) -> None:
    """Inflate to the end, a little at a time; `most` bytes are more than the page can need."""
    stream, made = zlib.decompressobj(), 0
    try:
        while data and made <= most:
            made += len(stream.decompress(data, _BLOCK))
            data = stream.unconsumed_tail
    except zlib.error as error:
        raise ImageError(ErrorCode.CORRUPT, f"its data are damaged: {error}") from error
    if not stream.eof and made <= most:
        raise ImageError(ErrorCode.TRUNCATED, "its data end before the page does")


def _ends(data: bytes, fill_order: int) -> bool:
    """Whether fax data of group 4 end with the mark that ends a block (ITU-T T.6)."""
    last = np.frombuffer(data[-_MARK_BYTES:], dtype=np.uint8)
    bits = np.unpackbits(last, bitorder="little" if fill_order == _LOW_FIRST else "big")
    return _END_OF_BLOCK in bits.tobytes()


@contextmanager
def fax_damage(page: tifffile.TiffPage, file: BinaryIO) -> Iterator[list[str]]:
    """While a page is decoded, listen to libtiff: what it says of damaged lines of a fax.

    Fax machines made such lines, and readers show them, so they are no error. libtiff, within
    Pillow, has no way to tell but standard error.
    """
    said: list[str] = []
    if page.compression == _GROUP4:  # of which libtiff says nothing
        ends = (_ends(data, page.fillorder) for data in _pieces(page, file))
        said += ["a strip without its end mark" for ends_well in ends if not ends_well]
    if page.compression not in _FAX:
        yield said
        return
    with tempfile.TemporaryFile() as heard:
        before = os.dup(_STDERR)
        os.dup2(heard.fileno(), _STDERR)
        try:
            yield said
        finally:
            os.dup2(before, _STDERR)
            os.close(before)
            heard.seek(0)
            lines = _OF_FAX.findall(heard.read(_BLOCK))
            said += [line.decode("ascii", "replace")[:_LONGEST] for line in lines]
