"""Strips and tiles of TIFF pages whose data are damaged: libtiff goes on, with black or grey."""

import zlib
from collections.abc import Iterator
from typing import BinaryIO

import simplejpeg
import tifffile

from ppcli.errors import ErrorCode, ImageError
from ppcli.imaging.jpeg import refuse_damage

_JPEG, _DEFLATE = 7, (8, 32946)
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
