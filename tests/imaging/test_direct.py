"""The fast decoders, compared with Pillow: equal pixels and equal errors."""

import io
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from ppcli.errors import ErrorCode, ImageError
from ppcli.files import LocalFile
from ppcli.imaging import decode, direct
from ppcli.imaging.decode import ImageSource, pillow_limits
from tests.conftest import blocks

BACKGROUND = (10, 200, 30)
LIMIT = 1 << 26
NOISE = np.random.default_rng(1).integers(0, 256, (40, 50, 4), dtype=np.uint8)


@pytest.fixture
def direct_pixels(monkeypatch) -> list[np.ndarray | None]:
    """Record what the fast decoders return, call by call."""
    given: list[np.ndarray | None] = []

    def watched(*args, real=direct.decode_directly):
        given.append(real(*args))
        return given[-1]

    monkeypatch.setattr(decode, "decode_directly", watched)
    return given


def outcome(path: Path) -> np.ndarray | ErrorCode:
    with pillow_limits(LIMIT):
        try:
            with ImageSource(LocalFile(str(path)).open(), LIMIT) as source:
                return source.page(1, BACKGROUND)
        except ImageError as error:
            return error.code


def by_pillow(path: Path, monkeypatch) -> np.ndarray | ErrorCode:
    with monkeypatch.context() as patched:
        patched.setattr(decode, "worth_reading", lambda *_: False)
        return outcome(path)


def assert_same(path: Path, monkeypatch) -> bool:
    """Assert that both decoders agree; return whether they give pixels."""
    ours, theirs = outcome(path), by_pillow(path, monkeypatch)
    if isinstance(theirs, ErrorCode):
        assert ours == theirs
        return False
    assert isinstance(ours, np.ndarray)
    assert ours.dtype == np.uint8
    assert ours.flags.c_contiguous
    assert np.array_equal(ours, theirs)
    return True


def encoded(pixels: np.ndarray | Image.Image, row_format: str, **options) -> bytes:
    stream = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(stream, row_format, **options)
    return stream.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


OPAQUE = np.dstack([NOISE[..., :3], np.full(NOISE.shape[:2], 255, np.uint8)])
ALMOST = OPAQUE.copy()
ALMOST[17, 23, 3] = 254


def with_palette_of(size: int, data: bytes) -> bytes:
    """Write a PNG with a shortened palette, so that some indices are beyond it."""
    start = data.index(b"PLTE")
    before = int.from_bytes(data[start - 4 : start], "big")
    chunk = data[start : start + 4 + size]
    whole = struct.pack(">I", size) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return data[: start - 4] + whole + data[start + 4 + before + 4 :]


PALETTE = Image.fromarray(NOISE[..., :3]).quantize(40)
TAKEN = {
    "png-palette": encoded(PALETTE, "PNG", bits=8),
    "png-rgb": encoded(NOISE[..., :3], "PNG"),
    "png-grey": encoded(NOISE[..., 0], "PNG"),
    "png-opaque": encoded(OPAQUE, "PNG"),
    "png-clear": encoded(NOISE, "PNG"),
    "png-almost-opaque": encoded(ALMOST, "PNG"),
    "jpeg": encoded(NOISE[..., :3], "JPEG", quality=90),
    "jpeg-subsampled": encoded(blocks(51, 33), "JPEG", quality=30, subsampling=2),
    "jpeg-progressive": encoded(NOISE[..., :3], "JPEG", progressive=True),
    "jpeg-restarts": encoded(NOISE[..., :3], "JPEG", restart_marker_blocks=2),
    "jpeg-grey": encoded(NOISE[..., 0], "JPEG"),
    "jpeg-cmyk": encoded(Image.fromarray(NOISE, "CMYK"), "JPEG"),
} | {f"jpeg-turned-{n}": encoded(NOISE[..., :3], "JPEG", exif=turned(n)) for n in range(1, 9)}
TAKEN |= {f"png-turned-{n}": encoded(NOISE, "PNG", exif=turned(n)) for n in range(1, 9)}
LEFT_TO_PILLOW = {
    "png-palette-keyed": encoded(PALETTE, "PNG", bits=8, transparency=3),
    "png-palette-short": with_palette_of(6, encoded(PALETTE, "PNG", bits=8)),
    "png-palette-odd": with_palette_of(4, encoded(PALETTE, "PNG", bits=8)),
    "png-keyed": encoded(NOISE[..., :3], "PNG", transparency=(1, 2, 3)),
    "png-16": encoded(NOISE[..., 0].astype(np.uint16) * 256, "PNG"),
    "png-1": encoded(NOISE[..., 0] > 99, "PNG"),
    "bmp": encoded(NOISE[..., :3], "BMP"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_common_files_are_taken(name: str, tmp_path, monkeypatch, direct_pixels) -> None:
    (tmp_path / name).write_bytes(TAKEN[name])
    assert assert_same(tmp_path / name, monkeypatch)
    assert [pixels is not None for pixels in direct_pixels] == [True]


@pytest.mark.parametrize("name", LEFT_TO_PILLOW)
def test_other_files_are_left_to_pillow(name: str, tmp_path, monkeypatch, direct_pixels) -> None:
    (tmp_path / name).write_bytes(LEFT_TO_PILLOW[name])
    assert assert_same(tmp_path / name, monkeypatch)
    assert not any(pixels is not None for pixels in direct_pixels)


def test_every_share_of_every_level_is_composited_as_pillow_does() -> None:
    levels, shares = np.meshgrid(np.arange(256), np.arange(256))
    rgba = np.dstack([levels, levels[::-1], levels.T, shares]).astype(np.uint8)
    for background in ((0, 0, 0), (255, 255, 255), BACKGROUND, (127, 128, 1)):
        rgb = rgba[..., :3].copy()
        direct.flatten(rgba, background, rgb)
        page = Image.new("RGBA", (256, 256), (*background, 255))
        expected = Image.alpha_composite(page, Image.fromarray(rgba)).convert("RGB")
        assert np.array_equal(rgb, expected)


def with_chunk_at_the_end(data: bytes, chunk: bytes) -> bytes:
    assert data[-12:-8] == b"\0\0\0\0"
    return data[:-12] + chunk + data[-12:]


def test_an_orientation_after_the_pixels_of_a_png_counts(tmp_path, monkeypatch) -> None:
    data = encoded(NOISE[..., :3], "PNG", exif=turned(6))
    start = data.index(b"eXIf") - 4
    size = 12 + int.from_bytes(data[start : start + 4], "big")
    moved = with_chunk_at_the_end(data[:start] + data[start + size :], data[start : start + size])
    (tmp_path / "a.png").write_bytes(moved)
    assert assert_same(tmp_path / "a.png", monkeypatch)
    assert outcome(tmp_path / "a.png").shape == (50, 40, 3)


def test_a_file_much_larger_than_its_pixels_is_not_read_whole(tmp_path, direct_pixels) -> None:
    (tmp_path / "a.png").write_bytes(TAKEN["png-rgb"] + bytes(2 << 20))
    assert isinstance(outcome(tmp_path / "a.png"), np.ndarray)
    assert direct_pixels == []


def mutations(count: int) -> Iterator[tuple[str, bytes]]:
    chance = random.Random(0)
    for _ in range(count):
        name = chance.choice(list(TAKEN))
        content = bytearray(TAKEN[name])
        place = chance.randrange(len(content))
        how = chance.randrange(4)
        if how == 0:
            del content[place:]
        elif how == 1:
            content[place] ^= 1 << chance.randrange(8)
        elif how == 2:
            content[place:place] = chance.randbytes(chance.randrange(1, 9))
        else:
            del content[place : place + chance.randrange(1, 9)]
        yield name, bytes(content)


def test_damaged_files_end_as_with_pillow(tmp_path, monkeypatch, direct_pixels) -> None:
    """For JPEG, an error is right where Pillow returns pixels that are not in the file."""
    path = tmp_path / "a"
    pictures = {}
    for name, content in TAKEN.items():
        path.write_bytes(content)
        pictures[name] = outcome(path)
    whole, refused = 0, 0
    for name, content in mutations(1500):
        path.write_bytes(content)
        ours, theirs = outcome(path), by_pillow(path, monkeypatch)
        if (
            name.startswith("jpeg")
            and isinstance(ours, ErrorCode)
            and not isinstance(theirs, ErrorCode)
        ):
            assert ours in (ErrorCode.TRUNCATED, ErrorCode.CORRUPT)
            assert not np.array_equal(theirs, pictures[name])
            refused += 1
        else:
            whole += assert_same(path, monkeypatch)
    assert 300 < whole < 1200
    assert 15 < refused < 300
    assert any(pixels is not None for pixels in direct_pixels)
    assert any(pixels is None for pixels in direct_pixels)


@pytest.mark.slow
def test_real_files(corpus: Path, monkeypatch, direct_pixels) -> None:
    names = [
        *(corpus / "images").rglob("*.png"),
        *(corpus / "images").rglob("*.jp*g"),
        *(path for path in (corpus / "hostile").iterdir() if path.is_file()),
    ]
    whole = [assert_same(path, monkeypatch) for path in sorted(names)]
    assert sum(whole) > 150
    assert sum(pixels is not None for pixels in direct_pixels) > 140
