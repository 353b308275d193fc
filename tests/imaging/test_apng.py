"""Frames of an animated PNG, compared with a floating-point compositor."""

import zlib

import numpy as np
import pytest

from ppcli.errors import ErrorCode
from tests.imaging.decoding import BACKGROUND, frames_of, outcome_of
from tests.imaging.encoders import apng

SIZE = 10, 8  # width and height
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
NONE, CLEAR, PREVIOUS = 0, 1, 2


def frames(kind: int, seed: int) -> list[dict]:
    chance = np.random.default_rng(seed)
    made = []
    for number in range(5):
        left, top = (0, 0) if number == 0 else chance.integers(0, 5, 2)
        width, height = SIZE if number == 0 else chance.integers(1, 4, 2)
        samples = chance.integers(0, 256, (height, width, CHANNELS[kind]), dtype=np.uint8)
        disposal, blend = chance.integers(0, 3), chance.integers(0, 2)
        made.append(
            {"samples": samples, "place": (left, top), "disposal": disposal, "blend": blend}
        )
    return made


def with_alpha(samples: np.ndarray) -> np.ndarray:
    """Return straight (not premultiplied) RGBA in [0, 1]."""
    parts = samples / 255
    alpha = parts[..., -1:] if parts.shape[2] in (2, 4) else np.ones_like(parts[..., :1])
    colours = parts[..., : 3 if parts.shape[2] > 2 else 1]
    return np.dstack([np.broadcast_to(colours, (*parts.shape[:2], 3)), alpha])


def composited(made: list[dict]) -> list[np.ndarray]:
    width, height = SIZE
    canvas = np.zeros((height, width, 4))
    pictures = []
    for frame in made:
        picture = with_alpha(frame["samples"])
        left, top = frame["place"]
        place = slice(top, top + len(picture)), slice(left, left + picture.shape[1])
        before = canvas[place].copy()
        if frame["blend"] and frame["disposal"] is not None:
            share = picture[..., 3:]
            alpha = share + before[..., 3:] * (1 - share)
            mixed = picture[..., :3] * share + before[..., :3] * before[..., 3:] * (1 - share)
            picture = np.dstack([np.divide(mixed, alpha, where=alpha > 0, out=mixed), alpha])
        canvas[place] = picture
        alpha = canvas[..., 3:]
        pictures.append(canvas[..., :3] * alpha * 255 + np.array(BACKGROUND) * (1 - alpha))
        if frame["disposal"] in (CLEAR, None):
            canvas[place] = 0
        elif frame["disposal"] == PREVIOUS:
            canvas[place] = before
    return pictures


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", CHANNELS)
def test_every_frame_as_the_specification_has_it(tmp_path, kind: int, seed: int) -> None:
    made = frames(kind, seed)
    shown = frames_of(tmp_path / "a.png", apng(SIZE, kind, made))
    assert len(shown) == len(made)
    for ours, theirs in zip(shown, composited(made), strict=True):
        assert np.abs(ours - theirs).max() <= 2


def test_a_picture_that_is_no_part_of_the_animation_leaves_nothing(tmp_path) -> None:
    made = frames(6, 1)
    made[0]["disposal"] = None
    made[1] |= {"blend": 1}
    shown = frames_of(tmp_path / "a.png", apng(SIZE, 6, made))
    for ours, theirs in zip(shown, composited(made), strict=True):
        assert np.abs(ours - theirs).max() <= 2


def test_frames_can_be_had_in_any_order(tmp_path) -> None:
    shown = frames_of(tmp_path / "a", apng(SIZE, 6, frames(6, 2)))
    for number in (4, 2, 5, 1, 1):
        assert np.array_equal(outcome_of(tmp_path / "a", page=number), shown[number - 1])


def test_cut_and_damaged_frames(tmp_path) -> None:
    data = apng(SIZE, 2, frames(2, 3))
    last = data.rindex(b"fdAT")
    (tmp_path / "a").write_bytes(data[: last + 12])
    assert isinstance(outcome_of(tmp_path / "a", page=4), np.ndarray)
    assert outcome_of(tmp_path / "a", page=5) is ErrorCode.TRUNCATED
    flipped = bytearray(data)
    flipped[last + 12] ^= 1
    (tmp_path / "a").write_bytes(flipped)
    assert isinstance(outcome_of(tmp_path / "a", page=4), np.ndarray)
    assert outcome_of(tmp_path / "a", page=5) is ErrorCode.CORRUPT
    outside = bytearray(data)
    control = data.rindex(b"fcTL")
    outside[control + 16 : control + 20] = (30).to_bytes(4, "big")
    outside[control + 30 : control + 34] = zlib.crc32(outside[control : control + 30]).to_bytes(4)
    (tmp_path / "a").write_bytes(outside)
    assert outcome_of(tmp_path / "a", page=5) is ErrorCode.CORRUPT
