"""Encoders for kinds of PNG, BMP, PSD, GIF and APNG that Pillow cannot write."""

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2))
ADAM7 += ((1, 0, 2, 1),)  # first row and column, steps of both


def packed(samples: np.ndarray, bits: int) -> np.ndarray:
    """Pack rows of samples, (height, samples), into bytes, first sample in the high bits."""
    if bits == 16:
        return np.ascontiguousarray(samples, dtype=">u2").view(np.uint8)
    if bits == 8:
        return samples.astype(np.uint8)
    places = np.arange(bits - 1, -1, -1)
    spread = (samples[..., None] >> places & 1).astype(np.uint8)
    return np.packbits(spread.reshape(len(samples), -1), axis=1)


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    check = zlib.crc32(kind + body)
    return struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", check)


def deflated(samples: np.ndarray, bits: int, interlaced: bool = False) -> bytes:
    """Encode pixels, (height, width, channels), as a PNG without filters."""
    rows = b""
    for row, column, down, across in ADAM7 if interlaced else ((0, 0, 1, 1),):
        part = samples[row::down, column::across]
        if part.size:
            lines = packed(part.reshape(len(part), -1), bits)
            rows += b"".join(b"\0" + line.tobytes() for line in lines)
    return zlib.compress(rows)


def png_header(width: int, height: int, bits: int, colour_type: int, interlaced: bool) -> bytes:
    fields = (width, height, bits, colour_type, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">II5B", *fields))


def png(
    samples: np.ndarray,
    bits: int,
    colour_type: int,
    interlaced: bool = False,
    palette: bytes = b"",
    transparency: bytes = b"",
) -> bytes:
    height, width, _ = samples.shape
    data = png_header(width, height, bits, colour_type, interlaced)
    data += chunk(b"PLTE", palette) if palette else b""
    data += chunk(b"tRNS", transparency) if transparency else b""
    return data + chunk(b"IDAT", deflated(samples, bits, interlaced)) + chunk(b"IEND")


def apng(size: tuple[int, int], colour_type: int, frames: Sequence[dict]) -> bytes:
    """Write an animated PNG; its first frame is the still image.

    Frames have `samples`, `place` (left, top), `disposal` and `blend`.

    A first frame with `disposal` None is shown only by programs that do not animate.
    """
    data = png_header(*size, 8, colour_type, False)
    shown = sum(frame["disposal"] is not None for frame in frames)
    data += chunk(b"acTL", struct.pack(">II", shown, 0))
    number = 0
    for place, frame in enumerate(frames):
        height, width, _ = frame["samples"].shape
        if frame["disposal"] is not None:
            numbers = (number, width, height, *frame["place"], 1, 10)
            kinds = frame["disposal"], frame["blend"]
            data += chunk(b"fcTL", struct.pack(">5I2H2B", *numbers, *kinds))
            number += 1
        pixels = deflated(frame["samples"], 8)
        if place == 0:
            data += chunk(b"IDAT", pixels)
        else:
            data += chunk(b"fdAT", struct.pack(">I", number) + pixels)
            number += 1
    return data + chunk(b"IEND")


def bmp(
    width: int,
    height: int,
    bits: int,
    pixels: bytes,
    palette: np.ndarray | None = None,
    compression: int = 0,
    header: int = 40,
    masks: Sequence[int] = (),
    top_down: bool = False,
) -> bytes:
    """Write a bitmap with encoded pixels; `palette` is RGB uint8 (entries, 3)."""
    entry = b"" if header == 12 else b"\0"
    colours = b"" if palette is None else b"".join(bytes(rgb[::-1]) + entry for rgb in palette)
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        used = 0 if palette is None else len(palette)
        rows = -height if top_down else height
        info = struct.pack(
            "<IiiHHIIiiII",
            header,
            width,
            rows,
            1,
            bits,
            compression,
            len(pixels),
            2835,
            2835,
            used,
            0,
        )
        info += struct.pack(f"<{len(masks)}I", *masks)
        if header > 40:
            info = info.ljust(header, b"\0")
    start = 14 + len(info) + len(colours)
    head = struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start)
    return head + info + colours + pixels


def bmp_rows(samples: np.ndarray, bits: int, top_down: bool = False) -> bytes:
    """Pack samples, (height, samples), into rows padded to four bytes, from bottom to top."""
    rows = packed(samples, bits) if bits <= 8 else samples.view(np.uint8).reshape(len(samples), -1)
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    return (rows if top_down else rows[::-1]).tobytes()


def psd(
    planes: Sequence[np.ndarray],
    mode: int,
    bits: int = 8,
    layers: int | None = None,
    packed_bits: bool = False,
    palette: bytes = b"",
) -> bytes:
    """Write a Photoshop file with stored channels; `layers` is the number in its header."""
    rows, row_bytes = planes[0].shape
    width = row_bytes * 8 // bits
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, len(planes), rows, width, bits, mode)
    info = b"" if layers is None else struct.pack(">Ih2x", 4, layers)
    data = head + struct.pack(">I", len(palette)) + palette + struct.pack(">I", 0)
    data += struct.pack(">I", len(info)) + info
    if not packed_bits:
        return data + b"\0\0" + b"".join(plane.tobytes() for plane in planes)
    runs = [pack_bits(row.tobytes()) for plane in planes for row in plane]
    return data + b"\0\1" + struct.pack(f">{len(runs)}H", *map(len, runs)) + b"".join(runs)


def pack_bits(row: bytes) -> bytes:
    """Encode with PackBits: runs of equal bytes, and literals between them."""
    out, at = b"", 0
    while at < len(row):
        size = 1
        while at + size < len(row) and size < 128 and row[at + size] == row[at]:
            size += 1
        if size > 1:
            out += bytes((257 - size, row[at]))
        else:
            out += bytes((0, row[at]))
        at += size
    return out


def gif(
    size: tuple[int, int],
    frames: Sequence[dict],
    palette: np.ndarray | None = None,
    background: int = 0,
) -> bytes:
    """Write a GIF.

    Frames have `indices`, `place` (left, top), and optionally `palette`, `clear`, `disposal`.
    Palettes are RGB uint8 of 2, 4, 8, … entries.
    """
    flags = 0 if palette is None else 0x80 | (len(palette).bit_length() - 2)
    data = struct.pack("<6sHHBBB", b"GIF89a", *size, flags, background, 0)
    data += b"" if palette is None else palette.tobytes()
    for frame in frames:
        clear = frame.get("clear")
        kinds = frame.get("disposal", 0) << 2 | (clear is not None)
        data += struct.pack("<4BHBB", 0x21, 0xF9, 4, kinds, 10, clear or 0, 0)
        own = frame.get("palette")
        flags = 0 if own is None else 0x80 | (len(own).bit_length() - 2)
        height, width = frame["indices"].shape
        flags |= 0x40 * frame.get("interlaced", False)
        data += struct.pack("<cHHHHB", b",", *frame["place"], width, height, flags)
        data += b"" if own is None else own.tobytes()
        data += _lzw(frame["indices"], frame.get("interlaced", False))
    return data + b";"


def _lzw(indices: np.ndarray, interlaced: bool) -> bytes:
    """Encode as 9-bit LZW codes, clearing the table before it needs more bits."""
    if interlaced:
        indices = np.concatenate([indices[a::b] for a, b in ((0, 8), (4, 8), (2, 4), (1, 2))])
    flat = indices.ravel().tolist()
    codes = []
    for at in range(0, len(flat), 200):
        codes += [256, *flat[at : at + 200]]
    codes.append(257)
    total = sum(code << 9 * place for place, code in enumerate(codes))
    stream = total.to_bytes((9 * len(codes) + 7) // 8, "little")
    blocks = (stream[at : at + 255] for at in range(0, len(stream), 255))
    return b"\x08" + b"".join(bytes((len(block),)) + block for block in blocks) + b"\0"


def by_pillow(image: Image.Image, name: str, **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, name, **options)
    return data.getvalue()
