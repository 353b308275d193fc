"""Writes TIFF files by hand, with tifffile and with Pillow, and says which pixels are right."""

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import tifffile
from PIL import Image

HEIGHT, WIDTH = 37, 45  # no multiples of tiles, strips or bytes
SHORT, LONG, BYTE = 3, 4, 1
Tags = dict[int, tuple[int, Sequence[int]]]


@dataclass(frozen=True)
class Case:
    """A file of one page, and what its reader must give.

    Attributes:
        kind: the line of the table that counts it.
        name: what it is made with.
        data: the bytes of the file.
        right: RGB uint8 (height, width, 3); None where only a refusal is right.
        off: levels by which a pixel may differ, where the way to 8 bits or the codec rounds.
    """

    kind: str
    name: str
    data: bytes = field(repr=False)
    right: np.ndarray | None = field(repr=False)
    off: float = 0


def ramp(bits: int, channels: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return a gradient, (height, width, channels), in another direction for each channel."""
    base = np.linspace(0, (1 << bits) - 1, height * width).reshape(height, width)
    turned = [base, base[::-1], base[:, ::-1], base[::-1, ::-1], np.roll(base, 9)]
    levels = np.rint(np.stack(turned[:channels], axis=-1))
    return levels.astype(np.uint8 if bits <= 8 else np.uint16)


def eight(levels: np.ndarray, bits: int) -> np.ndarray:
    """Convert to 8 bits: drop low bits, or scale evenly."""
    if bits > 8:
        return (levels // (1 << (bits - 8))).astype(np.uint8)
    return np.rint(levels * (255 / ((1 << bits) - 1))).astype(np.uint8)


def grey(levels: np.ndarray) -> np.ndarray:
    return np.repeat(levels.reshape(*levels.shape[:2], 1), 3, axis=2)


def over_white(colours: np.ndarray, alpha: np.ndarray, multiplied: bool = False) -> np.ndarray:
    """Composite in floating point; `multiplied` colours are premultiplied by alpha."""
    share = alpha.reshape(*alpha.shape[:2], 1) / 255
    shown = colours if multiplied else colours * share
    return np.rint(np.clip(shown + 255 * (1 - share), 0, 255)).astype(np.uint8)


def cmyk(levels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(levels, "CMYK").convert("RGB"))


def written(array: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **options)
    return stream.getvalue()


def by_pillow(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "TIFF", **options)
    return stream.getvalue()


def by_hand(
    tags: Tags,
    strips: Sequence[bytes],
    order: str = "<",
) -> bytes:
    """Write a file with these tags (number → type and values) and strips, valid or not.

    Width and height are added unless given; strip offsets and counts always are.
    """
    tags = {256: (SHORT, [WIDTH]), 257: (SHORT, [HEIGHT]), 278: (SHORT, [HEIGHT])} | tags
    place = 8
    offsets = []
    for strip in strips:
        offsets.append(place)
        place += len(strip)
    tags |= {273: (LONG, offsets), 279: (LONG, [len(strip) for strip in strips])}
    after = b""
    entries = b""
    end = place + 2 + 12 * len(tags) + 4
    for tag, (kind, values) in sorted(tags.items()):
        raw = struct.pack(order + {SHORT: "H", LONG: "I", BYTE: "B"}[kind] * len(values), *values)
        inline = (
            raw.ljust(4, b"\0") if len(raw) <= 4 else struct.pack(order + "I", end + len(after))
        )
        after += raw if len(raw) > 4 else b""
        entries += struct.pack(order + "HHI", tag, kind, len(values)) + inline
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, place)
    directory = struct.pack(order + "H", len(tags)) + entries + b"\0\0\0\0"
    return head + b"".join(strips) + directory + after
