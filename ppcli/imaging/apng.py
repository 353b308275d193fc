"""Composes the frames of an animated PNG (APNG).

Pillow decodes the data of single frames. Composing is done here, because Pillow's versions differ
in how they dispose of frames, and none starts with a transparent canvas if there is no alpha.
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
_DISPOSE_TO_BACKGROUND, _DISPOSE_TO_PREVIOUS = 1, 2
_BLEND_OVER = 1


class _Frame(NamedTuple):
    width: int
    height: int
    left: int
    top: int
    disposal: int
    blend: int
    data: bytes  # compressed
    end: int  # offset in the file
    default: bool  # the static image, which is not part of the animation

    @property
    def area(self) -> tuple[slice, slice]:
        return (
            slice(self.top, self.top + self.height),
            slice(self.left, self.left + self.width),
        )


class ApngScreen:
    """The canvas of one file, on which its frames are drawn in order."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._restart()

    def _restart(self) -> None:
        self._offset = len(_SIGNATURE)
        self._palette_chunks: list[tuple[bytes, bytes]] = []
        kind = b""
        while kind not in (b"IDAT", b"fcTL"):
            start = self._offset
            kind, body, self._offset = _read_chunk(self._file, start)
            if kind == b"IHDR":
                width, height, self._pixel_format = struct.unpack(">II5s", body)
            elif kind in (b"PLTE", b"tRNS"):
                self._palette_chunks.append((kind, body))
        self._offset = start
        self._canvas: Pixels = np.zeros((height, width, 4), dtype=np.uint8)
        self._drawn = 0
        self._next: _Frame | None = None
        self._disposal: tuple[tuple[slice, slice], Pixels | int] | None = None

    def seek(self, number: int) -> None:
        """Draw all frames before frame `number` (one-based), and find that frame.

        Raises:
            EOFError: the file ends before the frame.
            OSError: a frame before it cannot be decoded.
        """
        if number <= self._drawn:
            self._restart()
        while self._drawn < number - 1:
            self.draw()
        self._next = self._find_frame()

    def draw(self) -> Image.Image:
        """Draw the next frame, and return the canvas in RGBA.

        Raises:
            OSError: the frame cannot be decoded.
        """
        frame = self._next or self._find_frame()
        picture = self._decode(frame)
        if self._disposal is not None:
            area, pixels = self._disposal
            self._canvas[area] = pixels
        target = self._canvas[frame.area]
        self._disposal = None
        if frame.default or frame.disposal == _DISPOSE_TO_BACKGROUND:
            self._disposal = frame.area, 0
        elif frame.disposal == _DISPOSE_TO_PREVIOUS:
            self._disposal = frame.area, target.copy()
        if frame.blend == _BLEND_OVER:
            picture = Image.alpha_composite(Image.fromarray(target), picture)
        target[:] = np.asarray(picture)
        self._offset, self._next = frame.end, None
        self._drawn += 1
        return Image.fromarray(self._canvas)

    def _find_frame(self) -> _Frame:
        height, width, _ = self._canvas.shape
        control: bytes | None = None
        parts: list[bytes] = []
        offset = self._offset
        while True:
            kind, body, end = _read_chunk(self._file, offset)
            if kind == b"IEND" or (kind == b"fcTL" and parts):
                break
            if kind == b"fcTL":
                control = body
            elif kind in (b"IDAT", b"fdAT"):
                parts.append(body[4:] if kind == b"fdAT" else body)
            offset = end
        if not parts:
            raise EOFError
        data = b"".join(parts)
        if control is None:
            return _Frame(width, height, 0, 0, 0, 0, data, offset, True)
        _, frame_w, frame_h, left, top, disposal, blend = struct.unpack(">5I4x2B", control)
        if left + frame_w > width or top + frame_h > height:
            raise OSError("a frame lies outside the canvas")
        return _Frame(frame_w, frame_h, left, top, disposal, blend, data, offset, False)

    def _decode(self, frame: _Frame) -> Image.Image:
        """Decode the frame's data as a separate PNG, to RGBA."""
        header = struct.pack(">II5s", frame.width, frame.height, self._pixel_format)
        chunks = [(b"IHDR", header), *self._palette_chunks, (b"IDAT", frame.data), (b"IEND", b"")]
        file = io.BytesIO(_SIGNATURE + b"".join(_chunk(*parts) for parts in chunks))
        with Image.open(file, formats=["PNG"]) as image:
            return to_rgba(decode_keyed(image, file) or image)


def _read_chunk(file: BinaryIO, offset: int) -> tuple[bytes, bytes, int]:
    """Return type, data and end offset of the chunk at an offset."""
    file.seek(offset)
    head = file.read(8)
    if len(head) < 8:
        raise EOFError
    size, kind = struct.unpack(">I4s", head)
    body, check = file.read(size), file.read(4)
    if len(check) < 4:
        raise EOFError
    if zlib.crc32(kind + body) != int.from_bytes(check, "big"):
        raise OSError(f"a {kind!r} chunk has a wrong checksum")
    return kind, body, offset + size + 12


def _chunk(kind: bytes, body: bytes) -> bytes:
    check = zlib.crc32(kind + body)
    return struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", check)
