"""JPEG: damage that libjpeg only warns about, broken segments, unsupported kinds."""

import io

import imagecodecs
import numpy as np
import pytest
from PIL import ExifTags, Image

from ppcli.errors import ErrorCode, ImageError
from ppcli.files import LocalFile
from ppcli.imaging.decode import ImageSource, pillow_limits
from tests.imaging.decoding import LIMIT, frames_of, outcome_of
from tests.imaging.encoders import by_pillow
from tests.imaging.formats import smooth

EOI = b"\xff\xd9"
NOISE = np.random.default_rng(5).integers(0, 256, (48, 64, 4), dtype=np.uint8)
PICTURES = {
    "RGB": Image.fromarray(NOISE[..., :3]),
    "L": Image.fromarray(NOISE[..., 0]),
    "CMYK": Image.fromarray(NOISE, "CMYK"),
}
WAYS = [{}, {"progressive": True}, {"restart_marker_blocks": 2}]


def first_scan(data: bytes) -> int:
    start = data.index(b"\xff\xda")
    return start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")


def same_by_pillow(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("mode", PICTURES)
def test_an_early_end_with_a_mark_behind_it_is_truncated(tmp_path, mode: str, way: dict) -> None:
    data = by_pillow(PICTURES[mode], "JPEG", quality=90, **way)
    assert np.array_equal(outcome_of(tmp_path / "a", data), same_by_pillow(data))
    start = first_scan(data)
    for place in (start + 40, len(data) // 2, len(data) - 40):
        cut = data[:place]
        assert outcome_of(tmp_path / "a", cut + EOI) is ErrorCode.TRUNCATED
        assert outcome_of(tmp_path / "a", cut) is ErrorCode.TRUNCATED
        same_by_pillow(cut + EOI)  # which does not mind


def test_an_early_end_in_ycck(tmp_path) -> None:
    data = imagecodecs.jpeg8_encode(smooth(4), level=99, colorspace="CMYK", outcolorspace="YCCK")
    assert outcome_of(tmp_path / "a", data).shape == (48, 64, 3)
    assert outcome_of(tmp_path / "a", data[:-200] + EOI) is ErrorCode.TRUNCATED


def test_scans_that_are_missing_are_truncated(tmp_path) -> None:
    data = by_pillow(PICTURES["RGB"], "JPEG", quality=90, progressive=True)
    scans = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]
    assert len(scans) > 5
    for start in scans[1:]:
        tables = data.rfind(b"\xff\xc4", 0, start)  # a scan may bring its own
        end = tables if data.rfind(b"\xff\xda", 0, start) < tables else start
        assert outcome_of(tmp_path / "a", data[:end] + EOI) is ErrorCode.TRUNCATED


@pytest.mark.parametrize("mode", PICTURES)
def test_a_restart_marker_that_is_lost_or_wrong_is_corrupt(tmp_path, mode: str) -> None:
    data = by_pillow(PICTURES[mode], "JPEG", quality=90, restart_marker_blocks=2)
    third = data.index(b"\xff\xd2")
    assert outcome_of(tmp_path / "a", data[:third] + data[third + 2 :]) is ErrorCode.CORRUPT
    wrong = data[:third] + b"\xff\xd6" + data[third + 2 :]
    assert outcome_of(tmp_path / "a", wrong) is ErrorCode.CORRUPT


def test_stray_bytes_before_a_marker_cost_nothing(tmp_path) -> None:
    data = by_pillow(PICTURES["RGB"], "JPEG", quality=90, restart_marker_blocks=2)
    third = data.index(b"\xff\xd2")
    for stray in (data[:third] + b"abc" + data[third:], data[:-2] + b"\0abc" + EOI, data + b"abc"):
        assert np.array_equal(outcome_of(tmp_path / "a", stray), same_by_pillow(data))


def test_every_frame_of_an_mpo_is_looked_at(tmp_path) -> None:
    pictures = [PICTURES["RGB"], PICTURES["RGB"].transpose(Image.Transpose.ROTATE_180)]
    data = by_pillow(pictures[0], "MPO", save_all=True, append_images=pictures[1:], quality=90)
    shown = frames_of(tmp_path / "a", data)
    image = Image.open(io.BytesIO(data))
    for number, ours in enumerate(shown):
        image.seek(number)
        assert np.array_equal(ours, image.convert("RGB"))
    assert not np.array_equal(*shown)
    (tmp_path / "a").write_bytes(data[:-300] + EOI)
    assert np.array_equal(outcome_of(tmp_path / "a", page=1), shown[0])
    assert outcome_of(tmp_path / "a", page=2) is ErrorCode.TRUNCATED


BROKEN = {
    "JFIF": b"\xff\xe0\x00\x07JFIF\0",
    "JFIF without end": b"\xff\xe0\x00\x06JFIF",
    "Adobe": b"\xff\xee\x00\x07Adobe",
    "ICC": b"\xff\xe2\x00\x0eICC_PROFILE\0",
    "Photoshop": b"\xff\xed\x00\x17Photoshop 3.0\x008BIM\x03\xed\0",
    "empty": b"\xff\xe5\x00\x02",
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("mode", PICTURES)
def test_a_broken_segment_costs_only_itself(tmp_path, mode: str, name: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    data = by_pillow(PICTURES[mode], "JPEG", quality=90, exif=exif)
    broken = data[:2] + BROKEN[name] + data[2:]
    pixels = outcome_of(tmp_path / "a", data)
    assert pixels.shape == (64, 48, 3)
    assert np.array_equal(outcome_of(tmp_path / "a", broken), pixels)


def test_the_damage_is_told_beside_a_broken_segment(tmp_path) -> None:
    data = by_pillow(PICTURES["RGB"], "JPEG", quality=90)
    broken = data[:2] + BROKEN["JFIF"] + data[2:]
    assert outcome_of(tmp_path / "a", broken[:-300]) is ErrorCode.TRUNCATED
    assert outcome_of(tmp_path / "a", broken[:-300] + EOI) is ErrorCode.TRUNCATED


def reason(path, data: bytes) -> tuple[ErrorCode, str]:
    path.write_bytes(data)
    with (
        pytest.raises(ImageError) as caught,
        pillow_limits(LIMIT),
        ImageSource(LocalFile(str(path)).open(), LIMIT) as source,
    ):
        source.page(1, (0, 0, 0))
    return caught.value.code, caught.value.message


def test_what_is_not_read_is_named(tmp_path) -> None:
    deep = NOISE[..., 0].astype(np.uint16) << 4
    twelve = imagecodecs.jpeg_encode(deep, level=90, bitspersample=12)
    code, text = reason(tmp_path / "a", twelve)
    assert code is ErrorCode.UNSUPPORTED_MODE
    assert "12 bits" in text
    code, text = reason(tmp_path / "a", imagecodecs.jpegls_encode(smooth(3)))
    assert code is ErrorCode.UNSUPPORTED_FORMAT
    assert "JPEG-LS" in text
    five = bytearray(by_pillow(PICTURES["RGB"], "JPEG"))
    frame = five.index(b"\xff\xc0")
    five[frame + 9] = 5
    code, text = reason(tmp_path / "a", bytes(five))
    assert code is ErrorCode.UNSUPPORTED_MODE
    assert "5 channels" in text
    hierarchy = by_pillow(PICTURES["RGB"], "JPEG").replace(b"\xff\xc0\x00\x11", b"\xff\xc5\x00\x11")
    code, text = reason(tmp_path / "a", hierarchy)
    assert code is ErrorCode.UNSUPPORTED_MODE
    assert "hierarchical" in text


def test_the_given_file(corpus) -> None:
    pixels = outcome_of(corpus.parent / "cases" / "inputs" / "shortjfif.jpg")
    assert pixels.shape == (180, 240, 3)
    assert pixels.mean() > 200
