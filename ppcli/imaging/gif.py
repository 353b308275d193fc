"""Composes the frames of a GIF as browsers do.

Pixels that no frame has drawn, or that a frame's disposal removes, are transparent. Pillow, which
decodes the data of single frames, fills them with the first colour of the palette instead.
"""

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from PIL import Image

Box = tuple[int, int, int, int]

_GREYS = bytes(level for level in range(256) for _ in range(3))
_TRANSPARENT = (0, 0, 0, 0)
_HAS_PALETTE, _INTERLACED = 0x80, 0x40
_EXTENSION, _IMAGE, _CONTROL = b"!", b",", b"\xf9"
_DISPOSE_TO_BACKGROUND, _DISPOSE_TO_PREVIOUS = 2, 3


class _Frame(NamedTuple):
    left: int
    top: int
    width: int
    height: int
    flags: int
    palette: bytes  # 256 RGB entries
    transparent_index: int  # -1 for none
    disposal: int
    data: bytes  # compressed
    end: int  # offset in the file

    @property
    def box(self) -> Box:
        return self.left, self.top, self.left + self.width, self.top + self.height


class GifScreen:
    """The logical screen of one file, on which its frames are drawn in order."""

    def __init__(self, file: BinaryIO, max_pixels: int) -> None:
        self._file = file
        self._max_pixels = max_pixels
        self._restart()

    def _restart(self) -> None:
        self._file.seek(6)
        width, height, flags, _, _ = struct.unpack("<HHBBB", _exactly(self._file, 7))
        self._palette = _read_palette(self._file, flags) if flags & _HAS_PALETTE else _GREYS
        self._offset = self._file.tell()
        self._screen = Image.new("RGBA", (width, height), _TRANSPARENT)
        self._drawn = 0
        self._next: _Frame | None = None
        self._disposal: tuple[Box, Image.Image | tuple[int, ...]] | None = None

    def seek(self, number: int) -> None:
        """Draw all frames before frame `number` (one-based), and find that frame.

        Raises:
            EOFError: the file ends before the frame.
            OSError: a frame before it cannot be decoded.
            Image.DecompressionBombError: the screen would have more pixels than allowed.
        """
        if number <= self._drawn:
            self._restart()
        while self._drawn < number - 1:
            self.draw()
        self._next = _next_frame(self._file, self._offset, self._palette)

    def draw(self) -> Image.Image:
        """Draw the next frame, and return the screen in RGBA.

        A frame that extends beyond the screen enlarges it.

        Raises:
            OSError: the frame cannot be decoded.
            Image.DecompressionBombError: the screen would have more pixels than allowed.
        """
        frame = self._next
        if frame is None:
            frame = _next_frame(self._file, self._offset, self._palette)
        self._draw(frame)
        self._offset, self._next = frame.end, None
        self._drawn += 1
        return self._screen

    def _draw(self, frame: _Frame) -> None:
        picture = _decode(frame)
        if self._disposal is not None:
            box, pixels = self._disposal
            self._screen.paste(pixels, box)
        self._grow(frame)
        self._disposal = None
        if frame.disposal == _DISPOSE_TO_BACKGROUND:
            self._disposal = frame.box, _TRANSPARENT
        elif frame.disposal == _DISPOSE_TO_PREVIOUS:
            self._disposal = frame.box, self._screen.crop(frame.box)
        self._screen.paste(picture, frame.box, picture if frame.transparent_index >= 0 else None)

    def _grow(self, frame: _Frame) -> None:
        width, height = self._screen.size
        _, _, right, bottom = frame.box
        size = max(width, right), max(height, bottom)
        if size[0] * size[1] > self._max_pixels:
            raise Image.DecompressionBombError
        if size != (width, height):
            self._screen = self._screen.crop((0, 0, *size))


def _next_frame(file: BinaryIO, offset: int, palette: bytes) -> _Frame:
    """Read the frame at or after an offset, and leave the file at its end."""
    file.seek(offset)
    transparent_index, disposal = -1, 0
    while (kind := file.read(1)) != _IMAGE:
        if kind in (b"", b";"):
            raise EOFError
        if kind != _EXTENSION:
            continue  # stray bytes between blocks, skipped as in Pillow
        label, blocks = _exactly(file, 1), list(_blocks(file))
        if label == _CONTROL and blocks and len(blocks[0]) >= 4:
            flags, index = blocks[0][0], blocks[0][3]
            disposal, transparent_index = flags >> 2 & 7, index if flags & 1 else -1
    left, top, width, height, flags = struct.unpack("<HHHHB", _exactly(file, 9))
    if flags & _HAS_PALETTE:
        palette = _read_palette(file, flags)
    start = file.tell()
    _exactly(file, 1)
    for _ in _blocks(file):
        pass
    end = file.tell()
    file.seek(start)
    data = file.read(end - start)
    return _Frame(left, top, width, height, flags, palette, transparent_index, disposal, data, end)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yield sub-blocks up to the terminator or the end of the file."""
    while size := file.read(1):
        if not size[0]:
            return
        yield file.read(size[0])


def _read_palette(file: BinaryIO, flags: int) -> bytes:
    entries = _exactly(file, 6 << (flags & 7))
    return entries + _GREYS[len(entries) :]


def _decode(frame: _Frame) -> Image.Image:
    """Decode the frame's indices as a separate GIF without palette, and colour them: RGBA."""
    size = frame.width, frame.height
    if not all(size):
        return Image.new("RGBA", size)
    screen = struct.pack("<6sHHBBB", b"GIF87a", *size, 0, 0, 0)
    descriptor = struct.pack("<cHHHHB", _IMAGE, 0, 0, *size, frame.flags & _INTERLACED)
    with Image.open(io.BytesIO(screen + descriptor + frame.data), formats=["GIF"]) as image:
        indices = Image.frombytes("P", size, image.tobytes())
    indices.putpalette(frame.palette)
    if frame.transparent_index >= 0:
        indices.info["transparency"] = frame.transparent_index
    return indices.convert("RGBA")


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return data
