"""Truncated files of every format: `truncated`, or all pixels are decoded."""

import io
import itertools
import random
import struct

import numpy as np
import pytest
from PIL import Image, features

from ppcli.errors import ErrorCode
from tests.imaging.decoding import frames_of, outcome_of
from tests.imaging.encoders import by_pillow

NOISE = np.random.default_rng(0).integers(0, 256, (32, 40, 4), dtype=np.uint8)
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")
# Up to here a file is not known by its first bytes; that of some formats has none to be known by.
HEADERS = {"IM": 1280, "PCX": 128, "XBM": 100}
FORMATS = [
    *("AVIF", "BMP", "DDS", "DIB", "GIF", "ICNS", "ICO", "IM", "JPEG", "JPEG2000", "MSP", "PCX"),
    *("PNG", "PPM", "QOI", "SGI", "TGA", "WEBP", "XBM"),
]
# What follows the pixels of a format, or is there twice: its loss costs nothing.
TAILS = {"ICNS": 400_000, "ICO": 24, "TGA": 26, "PNG": 24, "BMP": 3, "DIB": 3, "QOI": 8, "GIF": 2}
TAILS |= {"XBM": 4, "JPEG2000": 2, "PCX": 0, "DDS": 0}
COPIES = {"ICNS"}  # the picture is there in several sizes


def files(name: str) -> list[tuple[str, bytes]]:
    made = []
    for mode in MODES if name != "ICNS" else ("1", "P"):  # they are large
        image = Image.fromarray(NOISE, "RGBA").convert("RGB").convert(mode)
        if mode == "RGBA":
            image = Image.fromarray(NOISE, "RGBA")
        try:
            made.append((mode, by_pillow(image, name)))
        except (OSError, KeyError, ValueError):  # a mode that this format does not have
            continue
    return made


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of formats that Pillow will drop
@pytest.mark.parametrize("name", FORMATS)
def test_cut_anywhere(tmp_path, name: str) -> None:
    if name == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow does not write AVIF")
    made = files(name)
    assert made
    for mode, data in made:
        whole = outcome_of(tmp_path / "a", data)
        assert isinstance(whole, np.ndarray), mode
        size = len(data)
        header = HEADERS.get(name, 40)
        places = {*range(header, size, size // 23), *range(size - 30, size), size * 9 // 10}
        for place in sorted(place for place in places if place >= header):
            cut = outcome_of(tmp_path / "a", data[:place])
            if isinstance(cut, ErrorCode):
                assert cut is ErrorCode.TRUNCATED, (mode, place - size)
            else:
                assert np.array_equal(cut, whole), (mode, place - size)
                assert name in COPIES or size - place <= TAILS.get(name, 0), (mode, place - size)


@pytest.mark.parametrize("name", ["PNG", "GIF", "WEBP", "BMP", "ICO", "JPEG2000", "AVIF"])
def test_damage_within_a_whole_file_is_corrupt(tmp_path, name: str) -> None:
    if name == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow does not write AVIF")
    chance = random.Random(1)
    codes = set()
    for mode, data in files(name):
        for _ in range(60):
            damaged = bytearray(data)
            place = chance.randrange(len(data) // 3, len(data) - 20)
            damaged[place] ^= chance.randrange(1, 256)
            end = outcome_of(tmp_path / "a", bytes(damaged))
            codes.add(end if isinstance(end, ErrorCode) else None)
            assert end is not ErrorCode.TRUNCATED, (mode, place)
    assert codes <= {None, ErrorCode.CORRUPT}


@pytest.mark.parametrize("name", ["WEBP", "GIF", "PNG", "AVIF"])
def test_cut_animations(tmp_path, name: str) -> None:
    if name == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow does not write AVIF")
    pictures = [Image.fromarray(np.roll(NOISE[..., :3], k)) for k in range(3)]
    data = by_pillow(pictures[0], name, save_all=True, append_images=pictures[1:])
    whole = frames_of(tmp_path / "a", data)
    assert len(whole) == 3
    for share, page in itertools.product((0.2, 0.5, 0.8, 0.95), (1, 2, 3)):
        end = outcome_of(tmp_path / "a", data[: int(len(data) * share)], page)
        if isinstance(end, ErrorCode):
            assert end is ErrorCode.TRUNCATED
        else:
            assert np.array_equal(end, whole[page - 1])
    assert outcome_of(tmp_path / "a", data[: len(data) * 9 // 10], 3) is ErrorCode.TRUNCATED


@pytest.mark.parametrize("missing", [1, 2, 100, 1000])
def test_webp_with_a_length_beyond_its_end(tmp_path, missing: int) -> None:
    data = by_pillow(Image.fromarray(NOISE[..., :3]), "WEBP", lossless=True)
    assert isinstance(outcome_of(tmp_path / "a", data + b"junk"), np.ndarray)
    assert outcome_of(tmp_path / "a", data[:-missing]) is ErrorCode.TRUNCATED
    short = data[:4] + struct.pack("<I", len(data) - missing - 8) + data[8:-missing]
    assert outcome_of(tmp_path / "a", short) is ErrorCode.CORRUPT


def test_the_colours_of_a_pcx_that_are_cut_off(tmp_path) -> None:
    data = by_pillow(Image.fromarray(NOISE[..., :3]).quantize(200), "PCX")
    image = Image.open(io.BytesIO(data)).convert("RGB")
    assert np.array_equal(outcome_of(tmp_path / "a", data), image)
    assert outcome_of(tmp_path / "a", data[:-1]) is ErrorCode.TRUNCATED


def test_the_given_file(corpus) -> None:
    path = corpus.parent / "cases" / "inputs" / "truncated.webp"
    assert outcome_of(path) is ErrorCode.TRUNCATED
