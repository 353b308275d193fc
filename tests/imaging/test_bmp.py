"""Run-length encoded bitmaps, compared with a pixel-by-pixel twin; unsupported kinds."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcli.errors import ErrorCode
from ppcli.imaging.bmp import decode_runs
from tests.imaging.decoding import outcome_of
from tests.imaging.encoders import bmp, bmp_rows

PALETTE = np.random.default_rng(3).integers(0, 256, (16, 3), dtype=np.uint8)
RLE8, RLE4, BITFIELDS, JPEG = 1, 2, 3, 4


def nibbles(levels: list[int]) -> bytes:
    levels = levels + [0] * (len(levels) % 2)
    return bytes(a << 4 | b for a, b in zip(levels[::2], levels[1::2], strict=True))


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, int, int, bool, np.ndarray]:
    """Draw steps of a run-length encoder, and the pixels they set."""
    width, height, halves = draw(st.integers(1, 19)), draw(st.integers(1, 6)), draw(st.booleans())
    pixels = np.zeros((height, width), dtype=np.uint8)
    level = st.integers(0, 15 if halves else 255)
    x = y = 0
    data = b""
    for _ in range(draw(st.integers(0, 25))):
        step = draw(st.sampled_from(["run", "absolute", "line", "delta"]))
        if step == "line":
            data, x, y = data + b"\0\0", 0, y + 1
        elif step == "delta":
            right, up = draw(st.integers(0, 3)), draw(st.integers(0, 2))
            data, x, y = data + bytes((0, 2, right, up)), x + right, y + up
        else:
            if step == "run":
                pair = [draw(level), draw(level)] if halves else [draw(level)] * 2
                count = draw(st.integers(1, 255))
                levels = [pair[place % 2] for place in range(count)]
                data += bytes((count, pair[0] << 4 | pair[1] if halves else pair[0]))
            else:
                levels = draw(st.lists(level, min_size=3, max_size=21))
                body = nibbles(levels) if halves else bytes(levels)
                data += bytes((0, len(levels))) + body + b"\0" * (len(body) % 2)
            for value in levels:
                if x < width:
                    pixels[y, x] = value
                x += 1
        if y >= height:
            break
    return data + b"\0\1", width, height, halves, pixels


@given(streams())
def test_runs_set_the_pixels_they_say(made: tuple[bytes, int, int, bool, np.ndarray]) -> None:
    data, width, height, halves, pixels = made
    assert np.array_equal(decode_runs(data, width, height, halves), pixels)


@pytest.mark.parametrize("width", range(1, 12))
@pytest.mark.parametrize("top_down", [False, True])
def test_absolute_mode_at_every_width(tmp_path, width: int, top_down: bool) -> None:
    made = np.random.default_rng(width).integers(0, 16, (5, width))
    rows = made.tolist() if top_down else made[::-1].tolist()
    data = b""
    for row in rows:
        body = nibbles(row)
        if width < 3:
            data += bytes((width, body[0]))
        else:
            data += bytes((0, width)) + body + b"\0" * (len(body) % 2)
        data += b"\0\0"
    picture = bmp(width, 5, 4, data + b"\0\1", PALETTE, RLE4, top_down=top_down)
    assert np.array_equal(outcome_of(tmp_path / "a", picture), PALETTE[made])


@pytest.mark.parametrize("compression", [RLE8, RLE4])
def test_cut_runs_are_truncated_and_damaged_ones_corrupt(tmp_path, compression: int) -> None:
    rows = b"".join(bytes((9, row, 0, 0)) for row in range(8))
    whole = bmp(9, 8, 8 if compression == RLE8 else 4, rows + b"\0\1", PALETTE, compression)
    pixels = outcome_of(tmp_path / "a", whole)
    assert pixels.shape == (8, 9, 3)
    for size in range(5, 30):
        assert outcome_of(tmp_path / "a", whole[:-size]) is ErrorCode.TRUNCATED
    assert np.array_equal(outcome_of(tmp_path / "a", whole[:-2]), pixels)  # only its end is lost
    early = bmp(9, 8, 8 if compression == RLE8 else 4, rows[:-8], PALETTE, compression)
    assert outcome_of(tmp_path / "a", early) is ErrorCode.CORRUPT


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_cut_rows_are_truncated(tmp_path, bits: int) -> None:
    made = np.random.default_rng(0).integers(0, 1 << bits, (6, 13))
    whole = bmp(13, 6, bits, bmp_rows(made, bits), PALETTE[: 1 << bits])
    padding = -((13 * bits + 7) // 8) % 4
    assert isinstance(outcome_of(tmp_path / "a", whole[: len(whole) - padding]), np.ndarray)
    for size in (padding + 1, 12, 30):
        assert outcome_of(tmp_path / "a", whole[:-size]) is ErrorCode.TRUNCATED


@pytest.mark.parametrize("size", [1, 40, 100])
def test_cut_bit_fields_are_truncated(tmp_path, size: int) -> None:
    rows = np.random.default_rng(0).integers(0, 256, 16 * 16 * 2, dtype=np.uint8).tobytes()
    whole = bmp(16, 16, 16, rows, None, BITFIELDS, 56, (0xF800, 0x7E0, 0x1F, 0))
    assert isinstance(outcome_of(tmp_path / "a", whole), np.ndarray)
    assert outcome_of(tmp_path / "a", whole[:-size]) is ErrorCode.TRUNCATED


def test_what_is_not_read_is_named(tmp_path) -> None:
    rows = bytes(64)
    kinds = {
        "JPEG in BMP": bmp(4, 4, 24, rows, None, JPEG),
        "Huffman of OS/2": bmp(4, 4, 1, rows, PALETTE[:2], 3, 64),
        "RLE24 of OS/2": bmp(4, 4, 24, rows, None, 4, 64),
        "4-bit fields": bmp(4, 4, 16, rows, None, BITFIELDS, 56, (0xF00, 0xF0, 0xF, 0xF000)),
    }
    short = struct.pack("<2sIHHI4I", b"BM", 94, 0, 0, 30, 16, 4, 4, 1 | 24 << 16) + rows
    kinds["OS/2 header of 16 bytes"] = short
    for name, data in kinds.items():
        assert outcome_of(tmp_path / "a", data) is ErrorCode.UNSUPPORTED_MODE, name
    odd_depth = bytearray(bmp(4, 4, 24, rows))
    odd_depth[28:30] = struct.pack("<H", 7)
    assert outcome_of(tmp_path / "a", bytes(odd_depth)) is ErrorCode.CORRUPT


def test_the_given_file(corpus) -> None:
    pixels = outcome_of(corpus.parent / "cases" / "inputs" / "rle4_abs_pad.bmp")
    assert pixels.shape == (6, 11, 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) == 16
    for y, x in np.ndindex(5, 10):  # diagonal stripes
        assert np.array_equal(pixels[y, x], pixels[y + 1, x + 1])
