"""Photoshop files of every mode, compared with the original channels."""

import itertools

import numpy as np
import pytest
from PIL import Image

from ppcli.errors import ErrorCode
from tests.imaging.decoding import BACKGROUND, outcome_of
from tests.imaging.encoders import packed, psd

BITMAP, GREY, INDEXED, RGB, CMYK, MULTICHANNEL, DUOTONE, LAB = 0, 1, 2, 3, 4, 7, 8, 9
CHANNELS = {GREY: 1, DUOTONE: 1, RGB: 3, CMYK: 4}
CHANCE = np.random.default_rng(7)
PLANES = list(CHANCE.integers(0, 256, (7, 11, 17), dtype=np.uint8))
# What the layers' part says of the first channel beyond those of the mode.
LAYERS = {None: False, 0: False, 2: False, -1: True, -3: True}


def expected(mode: int, planes: list[np.ndarray], transparent: bool) -> np.ndarray:
    count = CHANNELS[mode]
    if mode == CMYK:
        inks = np.dstack([255 - plane for plane in planes[:4]])
        colours = np.asarray(Image.fromarray(inks, "CMYK").convert("RGB"))
    else:
        colours = np.dstack(planes[:count] if count == 3 else planes[:1] * 3)
    if not transparent:
        return colours
    alpha = planes[count][..., None].astype(int)
    return np.rint((colours * alpha + np.array(BACKGROUND) * (255 - alpha)) / 255)


@pytest.mark.parametrize("packed_bits", [False, True])
@pytest.mark.parametrize("mode", CHANNELS)
def test_an_extra_channel_is_transparency_only_where_layers_say_so(
    tmp_path, mode: int, packed_bits: bool
) -> None:
    for extra, layers in itertools.product((0, 1, 2), LAYERS):
        planes = PLANES[: CHANNELS[mode] + extra]
        pixels = outcome_of(tmp_path / "a", psd(planes, mode, 8, layers, packed_bits))
        clear = LAYERS[layers] and extra > 0
        off = np.abs(pixels - expected(mode, planes, clear)).max()
        assert off <= (1 if clear else 0), (extra, layers)


@pytest.mark.parametrize("packed_bits", [False, True])
@pytest.mark.parametrize("width", [8, 17, 31])
def test_a_set_bit_is_black(tmp_path, width: int, packed_bits: bool) -> None:
    bits = CHANCE.integers(0, 2, (9, width))
    padded = np.pad(bits, ((0, 0), (0, -width % 8)))
    data = bytearray(psd([packed(padded, 1)], BITMAP, 1, None, packed_bits))
    data[18:22] = width.to_bytes(4, "big")
    pixels = outcome_of(tmp_path / "a", bytes(data))
    assert np.array_equal(pixels, np.where(bits[..., None] == 1, 0, [255, 255, 255]))


def test_a_palette_is_stored_by_channels(tmp_path) -> None:
    palette = CHANCE.integers(0, 256, (256, 3), dtype=np.uint8)
    data = psd(PLANES[:1], INDEXED, palette=palette.T.tobytes())
    assert np.array_equal(outcome_of(tmp_path / "a", data), palette[PLANES[0]])


def test_what_is_not_read_is_named(tmp_path) -> None:
    deep = [np.zeros((4, 8), dtype=np.uint8)] * 4
    for data in (
        psd(deep[:3], RGB, 16),
        psd(deep[:1], GREY, 16),
        psd(deep[:3], RGB, 32),
        psd(deep[:3], LAB),
        psd(deep[:3], LAB, 16),
        psd(deep, MULTICHANNEL),
    ):
        assert outcome_of(tmp_path / "a", data) is ErrorCode.UNSUPPORTED_MODE
    large = bytearray(psd(deep[:3], RGB))
    large[5] = 2
    assert outcome_of(tmp_path / "a", bytes(large)) is ErrorCode.UNSUPPORTED_FORMAT


@pytest.mark.parametrize("packed_bits", [False, True])
def test_cut_and_damaged_files(tmp_path, packed_bits: bool) -> None:
    whole = psd(PLANES[:3], RGB, 8, None, packed_bits)
    for size in (1, 40, 300):
        assert outcome_of(tmp_path / "a", whole[:-size]) is ErrorCode.TRUNCATED
    assert outcome_of(tmp_path / "a", psd(PLANES[:2], RGB)) is ErrorCode.CORRUPT


def test_the_given_file(corpus) -> None:
    pixels = outcome_of(corpus.parent / "cases" / "inputs" / "bitmap.psd")
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[20, 12].tolist() == [0, 0, 0]
    assert 0.1 < (pixels == 0).mean() < 0.5
