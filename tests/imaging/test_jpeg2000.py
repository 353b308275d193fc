"""Channel declarations of JPEG 2000 are followed or refused. test_formats covers depths."""

import struct
import sys

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from ppcli.errors import ErrorCode
from tests.imaging.decoding import BACKGROUND, outcome_of
from tests.imaging.encoders import by_pillow
from tests.imaging.formats import samples

SRGB, GREY, SYCC, LAB, CMYK = 16, 17, 18, 14, 12
COLOUR, OPACITY, PREMULTIPLIED, OTHER = 0, 1, 2, 65535


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def wrapped(made: np.ndarray, bits: int, space: int, *more: bytes) -> bytes:
    """Encode samples losslessly, with custom boxes."""
    deep = bits > 8
    array = made.astype(np.uint16 if deep else np.uint8)
    height, width, channels = made.shape
    stream = imagecodecs.jpeg2k_encode(
        array if channels > 1 else array[..., 0],
        level=0,
        reversible=True,
        codecformat="j2k",
        bitspersample=bits,
        mct=False,
    )
    header = box(b"ihdr", struct.pack(">IIHBBBB", height, width, channels, bits - 1, 7, 0, 0))
    header += box(b"colr", struct.pack(">BBBI", 1, 0, 0, space)) + b"".join(more)
    start = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return start + box(b"jp2h", header) + box(b"jp2c", stream)


def channels(*entries: tuple[int, int, int]) -> bytes:
    body = b"".join(struct.pack(">3H", *entry) for entry in entries)
    return box(b"cdef", struct.pack(">H", len(entries)) + body)


RGB_ORDER = ((0, COLOUR, 1), (1, COLOUR, 2), (2, COLOUR, 3))


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_channels_in_their_order(tmp_path, bits: int) -> None:
    made = samples(4, bits)
    plain = wrapped(made[..., :3], bits, SRGB, channels(*RGB_ORDER))
    assert np.array_equal(outcome_of(tmp_path / "a", plain), made[..., :3] >> bits - 8)
    clear = wrapped(made, bits, SRGB, channels((3, OPACITY, 0), *RGB_ORDER))
    alpha = made[..., 3:] >> bits - 8
    mixed = (made[..., :3] >> bits - 8) * alpha + np.array(BACKGROUND) * (255 - alpha)
    assert np.abs(outcome_of(tmp_path / "a", clear) - mixed / 255).max() <= 1


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize(
    "order",
    [
        ((0, COLOUR, 3), (1, COLOUR, 2), (2, COLOUR, 1)),
        (*RGB_ORDER, (3, PREMULTIPLIED, 0)),
        (*RGB_ORDER, (3, OTHER, 65535)),
    ],
)
def test_channels_of_other_kinds_are_refused(tmp_path, bits: int, order) -> None:
    data = wrapped(samples(len(order), bits), bits, SRGB, channels(*order))
    assert outcome_of(tmp_path / "a", data) is ErrorCode.UNSUPPORTED_MODE


@pytest.mark.parametrize(
    ("space", "bits", "code"),
    [
        (LAB, 8, ErrorCode.UNSUPPORTED_MODE),
        (24, 8, ErrorCode.UNSUPPORTED_MODE),
        (LAB, 16, ErrorCode.UNSUPPORTED_MODE),
        (SYCC, 16, ErrorCode.UNSUPPORTED_MODE),
        (SYCC, 4, ErrorCode.UNSUPPORTED_MODE),
    ],
)
def test_other_colour_spaces_are_refused(tmp_path, space: int, bits: int, code) -> None:
    assert outcome_of(tmp_path / "a", wrapped(samples(3, bits), bits, space)) is code


def test_luma_and_chroma_become_rgb(tmp_path) -> None:
    made = samples(3, 8)
    y, blue, red = (made[..., k].astype(float) - (0, 128, 128)[k] for k in range(3))
    rgb = np.dstack([y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue])
    pixels = outcome_of(tmp_path / "a", wrapped(made, 8, SYCC))
    assert np.abs(pixels - rgb.clip(0, 255)).max() <= 2


def test_inks(tmp_path) -> None:
    made = samples(4, 8).astype(np.uint8)
    pixels = outcome_of(tmp_path / "a", wrapped(made, 8, CMYK))
    assert np.array_equal(pixels, Image.fromarray(made, "CMYK").convert("RGB"))
    deep = wrapped(samples(4, 12), 12, CMYK)
    assert outcome_of(tmp_path / "a", deep) is ErrorCode.UNSUPPORTED_MODE


def palette(entries: np.ndarray, depth: int = 8) -> bytes:
    count, columns = entries.shape
    body = struct.pack(">HB", count, columns) + bytes([depth - 1]) * columns
    body += entries.astype(">u2" if depth > 8 else np.uint8).tobytes()
    mapping = b"".join(struct.pack(">HBB", 0, 1, column) for column in range(columns))
    return box(b"pclr", body) + box(b"cmap", mapping)


def test_palettes(tmp_path) -> None:
    colours = samples(3, 8, 1, 256)[0]
    made = samples(1, 8)
    pixels = outcome_of(tmp_path / "a", wrapped(made, 8, SRGB, palette(colours)))
    assert np.array_equal(pixels, colours[made[..., 0]])
    for refused in (
        wrapped(samples(1, 4), 4, SRGB, palette(colours[:16])),
        wrapped(made, 8, SRGB, palette(samples(3, 12, 1, 256)[0], 12)),
        wrapped(made, 8, GREY, palette(colours[:, :1])),
    ):
        assert outcome_of(tmp_path / "a", refused) is ErrorCode.UNSUPPORTED_MODE


@pytest.mark.parametrize("bits", [9, 16])
def test_without_a_decoder_deep_colours_are_refused(tmp_path, monkeypatch, bits: int) -> None:
    data = wrapped(samples(3, bits), bits, SRGB)
    grey = wrapped(samples(1, bits), bits, GREY)
    assert isinstance(outcome_of(tmp_path / "a", data), np.ndarray)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    assert outcome_of(tmp_path / "a", data) is ErrorCode.UNSUPPORTED_MODE
    assert isinstance(outcome_of(tmp_path / "a", grey), np.ndarray)


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("boxes", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_cut_files(tmp_path, bits: int, boxes: bool, count: int) -> None:
    whole = wrapped(samples(count, bits, 20, 25), bits, SRGB if count == 3 else GREY)
    start = whole.index(b"\xff\x4f\xff\x51")
    tile = whole.index(b"\xff\x90")
    if not boxes:
        whole, tile = whole[start:], tile - start
    for size in (*range(40, tile + 40), *range(tile + 40, len(whole) - 2, 29), len(whole) - 3):
        assert outcome_of(tmp_path / "a", whole[:size]) is ErrorCode.TRUNCATED


def test_tiles_that_are_missing_are_truncated(tmp_path) -> None:
    picture = Image.fromarray(samples(3, 8, 40, 50).astype(np.uint8))
    whole = by_pillow(picture, "JPEG2000", no_jp2=True, tile_size=(20, 20))
    assert np.array_equal(outcome_of(tmp_path / "a", whole), picture)
    tiles = [at for at in range(len(whole)) if whole[at : at + 4] == b"\xff\x90\0\x0a"]
    assert len(tiles) == 6
    for start in tiles[1:]:
        assert outcome_of(tmp_path / "a", whole[:start]) is ErrorCode.TRUNCATED


def test_the_given_file(corpus) -> None:
    pixels = outcome_of(corpus.parent / "cases" / "inputs" / "white_rgb16.jp2")
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert (pixels == 255).mean() > 0.9
