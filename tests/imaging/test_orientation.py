"""Orientation: EXIF is applied once, in every format that has it; XMP alone is ignored."""

import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, features

from tests.imaging.decoding import outcome_of
from tests.imaging.encoders import by_pillow, chunk

NAMES = ["JPEG", "PNG", "WEBP", "MPO"] + (["AVIF"] if features.check("avif") else [])
OPTIONS = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}, "AVIF": {"quality": 95}}
# The corners of the upright picture, by those of the stored one: a b over c d.
UPRIGHT = {
    1: "abcd",
    2: "badc",
    3: "dcba",
    4: "cdab",
    5: "acbd",
    6: "cadb",
    7: "dbca",
    8: "bdac",
}
COLOURS = {"a": (250, 10, 10), "b": (10, 250, 10), "c": (10, 10, 250), "d": (240, 240, 240)}


def stored() -> Image.Image:
    """Return an image wider than high, with a different colour in each quarter."""
    pixels = np.zeros((64, 96, 3), dtype=np.uint8)
    pixels[:32, :48], pixels[:32, 48:] = COLOURS["a"], COLOURS["b"]
    pixels[32:, :48], pixels[32:, 48:] = COLOURS["c"], COLOURS["d"]
    return Image.fromarray(pixels)


def corners(pixels: np.ndarray) -> str:
    """Return the names of the corner colours, row by row."""
    height, width, _ = pixels.shape
    names = ""
    for y, x in ((8, 8), (8, width - 9), (height - 9, 8), (height - 9, width - 9)):
        off = {name: np.abs(pixels[y, x] - np.array(rgb)).max() for name, rgb in COLOURS.items()}
        names += min(off, key=lambda name: off[name])
    return names


def exif(turn: int) -> Image.Exif:
    block = Image.Exif()
    block[ExifTags.Base.Orientation] = turn
    return block


def xmp(turn: int) -> bytes:
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description '
        b'tiff:Orientation="%d"/></rdf:RDF></x:xmpmeta>' % turn
    )


def with_xmp(data: bytes, name: str, turn: int) -> bytes:
    if name in ("JPEG", "MPO"):
        body = b"http://ns.adobe.com/xap/1.0/\0" + xmp(turn)
        return data[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + data[2:]
    text = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(turn))
    return data[:33] + text + data[33:]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("turn", UPRIGHT)
def test_exif_turns_once(tmp_path, name: str, turn: int) -> None:
    data = by_pillow(stored(), name, exif=exif(turn), **OPTIONS.get(name, {}))
    pixels = outcome_of(tmp_path / "a", data)
    assert pixels.shape == ((96, 64, 3) if turn > 4 else (64, 96, 3))
    assert corners(pixels) == UPRIGHT[turn]


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("turn", [3, 6])
def test_xmp_alone_turns_nothing(tmp_path, name: str, turn: int) -> None:
    if name not in NAMES:
        pytest.skip("this Pillow does not write AVIF")
    options = OPTIONS.get(name, {})
    if name in ("WEBP", "AVIF"):
        alone = by_pillow(stored(), name, xmp=xmp(turn), **options)
        both = by_pillow(stored(), name, xmp=xmp(turn), exif=exif(8), **options)
    else:
        alone = with_xmp(by_pillow(stored(), name, **options), name, turn)
        both = with_xmp(by_pillow(stored(), name, exif=exif(8), **options), name, turn)
    (tmp_path / "a").write_bytes(alone)
    with Image.open(tmp_path / "a") as image:  # Pillow takes the one for the other
        assert image.getexif()[ExifTags.Base.Orientation] == turn
    assert corners(outcome_of(tmp_path / "a")) == UPRIGHT[1]
    assert corners(outcome_of(tmp_path / "a", both)) == UPRIGHT[8]


@pytest.mark.parametrize("turn", [1, 3, 6])
def test_the_profile_in_text_that_imagemagick_writes(tmp_path, turn: int) -> None:
    block = exif(turn).tobytes()
    lines = "\n".join(block.hex()[at : at + 72] for at in range(0, 2 * len(block), 72))
    text = f"\nexif\n{len(block):8}\n{lines}\n".encode("latin-1")
    profile = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))
    data = by_pillow(stored(), "PNG")
    pixels = outcome_of(tmp_path / "a", data[:33] + profile + data[33:])
    assert corners(pixels) == UPRIGHT[turn]


@pytest.mark.skipif("AVIF" not in NAMES, reason="this Pillow does not write AVIF")
def test_exif_that_avif_contradicts_does_not_count(tmp_path) -> None:
    """AVIF images are rotated by their boxes only."""
    block = exif(6)
    block[ExifTags.Base.Orientation + 1] = 3
    data = by_pillow(stored(), "AVIF", exif=block, quality=95)
    other = bytes((0x01, 0x13, 0, 3, 0, 0, 0, 1, 0, 3))  # in the place of the orientation's entry
    assert (data.count(b"irot"), data.count(other)) == (1, 1)
    contradicted = data.replace(other, b"\x01\x12" + other[2:])
    assert corners(outcome_of(tmp_path / "a", contradicted)) == UPRIGHT[6]
