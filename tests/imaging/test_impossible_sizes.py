"""Impossible sizes in a header are damage, so the error must not advise a higher limit."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ppcli.errors import ErrorCode
from tests.imaging.decoding import outcome_of

PIXELS = np.arange(30 * 20 * 3, dtype=np.uint8).reshape(20, 30, 3)
LARGE = 1 << 20  # on each side: a size that can be meant


def encoded(path: Path, kind: str, mode: str = "RGB") -> bytes:
    Image.fromarray(PIXELS).convert(mode).save(path, kind)
    return path.read_bytes()


def with_sizes(data: bytes, at: int, form: str, width: int, height: int) -> bytes:
    return data[:at] + struct.pack(form, width, height) + data[at + struct.calcsize(form) :]


def png(path: Path, width: int, height: int) -> bytes:
    data = with_sizes(encoded(path, "PNG"), 16, ">II", width, height)
    return data[:29] + struct.pack(">I", zlib.crc32(data[12:29])) + data[33:]


@pytest.mark.parametrize(("kind", "mode"), [("BMP", "RGB"), ("BMP", "P"), ("DIB", "RGB")])
def test_bitmaps(kind: str, mode: str, tmp_path: Path) -> None:
    data, at = encoded(tmp_path / "a", kind, mode), 18 if kind == "BMP" else 4
    outcomes = [
        outcome_of(tmp_path / "b", with_sizes(data, at, "<ii", *size))
        for size in ((-30, 20), (-30, -20), (-(1 << 31), 20), (LARGE, LARGE), (LARGE, -LARGE))
    ]
    assert outcomes == [ErrorCode.CORRUPT] * 3 + [ErrorCode.TOO_LARGE] * 2
    upside_down = outcome_of(tmp_path / "b", with_sizes(data, at, "<ii", 30, -20))
    assert np.array_equal(upside_down, outcome_of(tmp_path / "a")[::-1])


def test_short_headers_of_bitmaps_have_no_sign(tmp_path: Path) -> None:
    pixels = bytes(60_000 * 3) * 2
    header = b"BM" + struct.pack("<IIIIHHHH", 26 + len(pixels), 0, 26, 12, 60_000, 2, 1, 24)
    assert outcome_of(tmp_path / "a", header + pixels).shape == (2, 60_000, 3)


@pytest.mark.parametrize("size", [(1 << 31, 1), (1, 1 << 31), ((1 << 32) - 30, 20)])
def test_png(size: tuple[int, int], tmp_path: Path) -> None:
    assert outcome_of(tmp_path / "b", png(tmp_path / "a", *size)) is ErrorCode.CORRUPT
    assert outcome_of(tmp_path / "b", png(tmp_path / "a", LARGE, LARGE)) is ErrorCode.TOO_LARGE


@pytest.mark.parametrize("size", [(0, 20), (30, 0), (0, 0)])
def test_nothing_is_no_size(size: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "a"
    for data in (
        png(path, *size),
        with_sizes(encoded(path, "BMP"), 18, "<ii", *size),
        with_sizes(encoded(path, "SGI"), 6, ">HH", *size),
        with_sizes(encoded(path, "DDS"), 12, "<II", *size[::-1]),
    ):
        assert outcome_of(tmp_path / "b", data) is ErrorCode.CORRUPT
