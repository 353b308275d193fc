"""Frames of an animated PNG on its canvas, by the specification.

Pillow decodes what the frames hold. Its versions differ in what a frame leaves behind, and none
has a clear canvas where the pixels have no alpha channel.
"""

import io
import struct
import zlib
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ppcli.imaging.colour import to_rgba
from ppcli.imaging.png import decode_keyed

Pixels = NDArray[np.uint8]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TO_CLEAR, _TO_PREVIOUS = 1, 2
_OVER = 1


class _Frame(NamedTuple):
    width: int
    height: int
    left: int
    top: int
    disposal: int
    blend: int
    data: bytes  # compressed
    end: int  # in the file
    default: bool  # the picture for those who do not animate, which is no part of the animation

    @property
    def place(self) -> tuple[slice, slice]:
        return (
            slice(self.top, self.top + self.height),
            slice(self.left, self.left + self.width),
        )


class ApngScreen:
    """The canvas of one file, on which its frames are drawn one after another."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._restart()

    def _restart(self) -> None:
        self._place = len(_SIGNATURE)
        self._colours: list[tuple[bytes, bytes]] = []  # chunks
        kind = b""
        while kind not in (b"IDAT", b"fcTL"):
            start = self._place
            kind, body, self._place = _chunk(self._file, start)
            if kind == b"IHDR":
                width, height, self._kind = struct.unpack(">II5s", body)
            elif kind in (b"PLTE", b"tRNS"):
                self._colours.append((kind, body))
        self._place = start
        self._screen: Pixels = np.zeros((height, width, 4), dtype=np.uint8)
        self._drawn = 0
        self._next: _Frame | None = None
        self._remains: tuple[tuple[slice, slice], Pixels | int] | None = None

    def seek(self, number: int) -> None:
        """Draw all that come before a frame (one-based), and find where it begins.

        Raises:
            EOFError: when the file ends before it.
            OSError: when one before it cannot be decoded.
        """
        if number <= self._drawn:
            self._restart()
        while self._drawn < number - 1:
            self.draw()
        self._next = self._find()

    def draw(self) -> Image.Image:
        """The canvas with the frame that was sought drawn on it, in RGBA.

        Raises:
            OSError: when it cannot be decoded.
        """
        frame = self._next or self._find()
        picture = self._picture(frame)
        if self._remains is not None:
            place, pixels = self._remains
            self._screen[place] = pixels
        target = self._screen[frame.place]
        self._remains = None
        if frame.default or frame.disposal == _TO_CLEAR:
            self._remains = frame.place, 0
        elif frame.disposal == _TO_PREVIOUS:
            self._remains = frame.place, target.copy()
        if frame.blend == _OVER:
            picture = Image.alpha_composite(Image.fromarray(target), picture)
        target[:] = np.asarray(picture)
        self._place, self._next = frame.end, None
        self._drawn += 1
        return Image.fromarray(self._screen)

    def _find(self) -> _Frame:
        height, width, _ = self._screen.shape
        control: bytes | None = None
        parts: list[bytes] = []
        place = self._place
        while True:
            kind, body, end = _chunk(self._file, place)
            if kind == b"IEND" or (kind == b"fcTL" and parts):
                break
            if kind == b"fcTL":
                control = body
            elif kind in (b"IDAT", b"fdAT"):
                parts.append(body[4:] if kind == b"fdAT" else body)
            place = end
        if not parts:
            raise EOFError
        data = b"".join(parts)
        if control is None:
            return _Frame(width, height, 0, 0, 0, 0, data, place, True)
        _, across, down, left, top, disposal, blend = struct.unpack(">5I4x2B", control)
        if left + across > width or top + down > height:
            raise OSError("a frame lies outside of the picture")
        return _Frame(across, down, left, top, disposal, blend, data, place, False)

    def _picture(self, frame: _Frame) -> Image.Image:
        """What a frame holds, in RGBA: decoded as a file of its own."""
        header = struct.pack(">II5s", frame.width, frame.height, self._kind)
        chunks = [(b"IHDR", header), *self._colours, (b"IDAT", frame.data), (b"IEND", b"")]
        file = io.BytesIO(_SIGNATURE + b"".join(_written(*chunk) for chunk in chunks))
        with Image.open(file, formats=["PNG"]) as image:
            return to_rgba(decode_keyed(image, file) or image)


def _chunk(file: BinaryIO, place: int) -> tuple[bytes, bytes, int]:
    """Kind, content and end of the chunk at a place."""
    file.seek(place)
    head = file.read(8)
    if len(head) < 8:
        raise EOFError
    size, kind = struct.unpack(">I4s", head)
    body, check = file.read(size), file.read(4)
    if len(check) < 4:
        raise EOFError
    if zlib.crc32(kind + body) != int.from_bytes(check, "big"):
        raise OSError(f"the check sum of a chunk {kind!r} is wrong")
    return kind, body, place + size + 12


def _written(kind: bytes, body: bytes) -> bytes:
    check = zlib.crc32(kind + body)
    return struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", check)
