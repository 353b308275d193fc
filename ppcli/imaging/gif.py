"""Frames of a GIF on its screen, as browsers show them.

What no frame has drawn is clear, and what a frame's disposal removes is clear again. Pillow, which
decodes what the frames hold, shows the first colour of the palette there instead.
"""

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from PIL import Image

Box = tuple[int, int, int, int]

_GREYS = bytes(level for level in range(256) for _ in range(3))
_CLEAR = (0, 0, 0, 0)
_HAS_PALETTE, _INTERLACED = 0x80, 0x40
_EXTENSION, _IMAGE, _CONTROL = b"!", b",", b"\xf9"
_TO_CLEAR, _TO_PREVIOUS = 2, 3


class _Frame(NamedTuple):
    left: int
    top: int
    width: int
    height: int
    flags: int
    colours: bytes  # 256 times RGB
    clear_index: int  # -1 for none
    disposal: int
    data: bytes  # compressed
    end: int  # in the file

    @property
    def place(self) -> Box:
        return self.left, self.top, self.left + self.width, self.top + self.height


class GifScreen:
    """The screen of one file, on which its frames are drawn one after another."""

    def __init__(self, file: BinaryIO, max_pixels: int) -> None:
        self._file = file
        self._max_pixels = max_pixels
        self._restart()

    def _restart(self) -> None:
        self._file.seek(6)
        width, height, flags, _, _ = struct.unpack("<HHBBB", _exactly(self._file, 7))
        self._colours = _palette(self._file, flags) if flags & _HAS_PALETTE else _GREYS
        self._place = self._file.tell()
        self._screen = Image.new("RGBA", (width, height), _CLEAR)
        self._drawn = 0
        self._next: _Frame | None = None
        self._remains: tuple[Box, Image.Image | tuple[int, ...]] | None = None

    def seek(self, number: int) -> None:
        """Draw all that come before a frame (one-based), and find where it begins.

        Raises:
            EOFError: when the file ends before it.
            OSError: when one before it cannot be decoded.
            Image.DecompressionBombError: when the screen would have more pixels than allowed.
        """
        if number <= self._drawn:
            self._restart()
        while self._drawn < number - 1:
            self.draw()
        self._next = _next_frame(self._file, self._place, self._colours)

    def draw(self) -> Image.Image:
        """The screen with the frame that was sought drawn on it, in RGBA.

        A frame that reaches beyond the screen makes it larger.

        Raises:
            OSError: when it cannot be decoded.
            Image.DecompressionBombError: when the screen would have more pixels than allowed.
        """
        frame = self._next
        if frame is None:
            frame = _next_frame(self._file, self._place, self._colours)
        self._draw(frame)
        self._place, self._next = frame.end, None
        self._drawn += 1
        return self._screen

    def _draw(self, frame: _Frame) -> None:
        picture = _picture(frame)
        if self._remains is not None:
            place, pixels = self._remains
            self._screen.paste(pixels, place)
        self._grow(frame)
        self._remains = None
        if frame.disposal == _TO_CLEAR:
            self._remains = frame.place, _CLEAR
        elif frame.disposal == _TO_PREVIOUS:
            self._remains = frame.place, self._screen.crop(frame.place)
        self._screen.paste(picture, frame.place, picture if frame.clear_index >= 0 else None)

    def _grow(self, frame: _Frame) -> None:
        width, height = self._screen.size
        _, _, right, bottom = frame.place
        size = max(width, right), max(height, bottom)
        if size[0] * size[1] > self._max_pixels:
            raise Image.DecompressionBombError
        if size != (width, height):
            self._screen = self._screen.crop((0, 0, *size))


def _next_frame(file: BinaryIO, place: int, colours: bytes) -> _Frame:
    """The frame that starts at or after a place; the file is left where it ends."""
    file.seek(place)
    clear_index, disposal = -1, 0
    while (kind := file.read(1)) != _IMAGE:
        if kind in (b"", b";"):
            raise EOFError
        if kind != _EXTENSION:
            continue  # stray bytes between blocks, which Pillow passes over too
        label, blocks = _exactly(file, 1), list(_blocks(file))
        if label == _CONTROL and blocks and len(blocks[0]) >= 4:
            flags, clear = blocks[0][0], blocks[0][3]
            disposal, clear_index = flags >> 2 & 7, clear if flags & 1 else -1
    left, top, width, height, flags = struct.unpack("<HHHHB", _exactly(file, 9))
    if flags & _HAS_PALETTE:
        colours = _palette(file, flags)
    start = file.tell()
    _exactly(file, 1)
    for _ in _blocks(file):
        pass
    end = file.tell()
    file.seek(start)
    data = file.read(end - start)
    return _Frame(left, top, width, height, flags, colours, clear_index, disposal, data, end)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """Sub-blocks up to their end or that of the file."""
    while size := file.read(1):
        if not size[0]:
            return
        yield file.read(size[0])


def _palette(file: BinaryIO, flags: int) -> bytes:
    listed = _exactly(file, 6 << (flags & 7))
    return listed + _GREYS[len(listed) :]


def _picture(frame: _Frame) -> Image.Image:
    """What a frame holds, in RGBA: decoded as a file of its own, without colours."""
    size = frame.width, frame.height
    if not all(size):
        return Image.new("RGBA", size)
    screen = struct.pack("<6sHHBBB", b"GIF87a", *size, 0, 0, 0)
    place = struct.pack("<cHHHHB", _IMAGE, 0, 0, *size, frame.flags & _INTERLACED)
    with Image.open(io.BytesIO(screen + place + frame.data), formats=["GIF"]) as image:
        indices = Image.frombytes("P", size, image.tobytes())
    indices.putpalette(frame.colours)
    if frame.clear_index >= 0:
        indices.info["transparency"] = frame.clear_index
    return indices.convert("RGBA")


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return data
