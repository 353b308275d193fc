"""Frames of a GIF, compared with a pixel-by-pixel compositor."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ppcli.errors import ErrorCode
from tests.imaging.decoding import BACKGROUND, frames_of, outcome_of
from tests.imaging.encoders import by_pillow, gif

SIZE = 9, 7  # width and height of the screen
PALETTE = np.array([[255, 0, 0], [0, 160, 0], [0, 0, 255], [250, 250, 250]], dtype=np.uint8)
OWN = np.array([[1, 2, 3], [90, 91, 92]], dtype=np.uint8)


def composited(size: tuple[int, int], frames: list[dict], palette: np.ndarray) -> list[np.ndarray]:
    """Compose as browsers do: the screen starts transparent, and disposal clears it."""
    screen: dict[tuple[int, int], tuple[int, ...]] = {}
    pictures = []
    for frame in frames:
        left, top = frame["place"]
        before = dict(screen)
        places = []
        for y, row in enumerate(frame["indices"].tolist()):
            for x, index in enumerate(row):
                places.append((left + x, top + y))
                if index != frame.get("clear"):
                    colours = frame.get("palette", palette)
                    screen[left + x, top + y] = tuple(colours[index].tolist())
        width, height = size
        rows = [[screen.get((x, y), BACKGROUND) for x in range(width)] for y in range(height)]
        pictures.append(np.array(rows, dtype=np.uint8))
        if frame.get("disposal") == 3:
            screen = before
        elif frame.get("disposal") == 2:
            for place in places:
                screen.pop(place, None)
    return pictures


@st.composite
def frames(draw: st.DrawFn) -> list[dict]:
    made = []
    for _ in range(draw(st.integers(1, 5))):
        left, top = draw(st.integers(0, 8)), draw(st.integers(0, 6))
        width, height = draw(st.integers(1, 9 - left)), draw(st.integers(1, 7 - top))
        frame: dict = {"place": (left, top), "interlaced": draw(st.booleans())}
        entries = 4
        if draw(st.booleans()):
            frame["palette"], entries = OWN, 2
        chance = np.random.default_rng(draw(st.integers(0, 99)))
        frame["indices"] = chance.integers(0, entries, (height, width), dtype=np.uint8)
        if draw(st.booleans()):
            frame["clear"] = draw(st.integers(0, 3))
        frame["disposal"] = draw(st.sampled_from([0, 1, 2, 3]))
        made.append(frame)
    return made


@given(frames())
def test_every_frame_as_browsers_show_it(tmp_path_factory, made: list[dict]) -> None:
    path = tmp_path_factory.getbasetemp() / "a.gif"
    shown = frames_of(path, gif(SIZE, made, PALETTE, background=1))
    assert len(shown) == len(made)
    for ours, theirs in zip(shown, composited(SIZE, made, PALETTE), strict=True):
        assert np.array_equal(ours, theirs)


def test_the_screen_around_a_small_frame_is_clear(tmp_path) -> None:
    frame = {"indices": np.full((3, 4), 2, dtype=np.uint8), "place": (2, 1)}
    (shown,) = frames_of(tmp_path / "a", gif(SIZE, [frame], PALETTE, background=1))
    assert np.unique(shown[1:4, 2:6].reshape(-1, 3), axis=0).tolist() == [[0, 0, 255]]
    shown[1:4, 2:6] = BACKGROUND
    assert np.unique(shown.reshape(-1, 3), axis=0).tolist() == [list(BACKGROUND)]


def test_frames_can_be_had_in_any_order(tmp_path) -> None:
    made = [
        {"indices": np.full((7, 9), k % 4, dtype=np.uint8), "place": (0, 0), "disposal": k % 3}
        for k in range(5)
    ]
    data = gif(SIZE, made, PALETTE)
    in_order = frames_of(tmp_path / "a", data)
    for number in (4, 2, 5, 1, 1):
        assert np.array_equal(outcome_of(tmp_path / "a", page=number), in_order[number - 1])


def test_a_frame_beyond_the_screen_makes_it_larger(tmp_path) -> None:
    small = {"indices": np.zeros((7, 9), dtype=np.uint8), "place": (0, 0)}
    large = {"indices": np.ones((7, 9), dtype=np.uint8), "place": (4, 1)}
    shown = frames_of(tmp_path / "a", gif(SIZE, [small, large], PALETTE))
    assert [picture.shape for picture in shown] == [(7, 9, 3), (8, 13, 3)]
    assert shown[1][7, 12].tolist() == PALETTE[1].tolist()
    assert shown[1][0, 12].tolist() == list(BACKGROUND)


def test_a_cut_frame_costs_itself_and_those_behind_it(tmp_path) -> None:
    chance = np.random.default_rng(0)
    made = [
        {"indices": chance.integers(0, 4, (7, 9), dtype=np.uint8), "place": (0, 0)}
        for _ in range(3)
    ]
    data = gif(SIZE, made, PALETTE)
    first = len(gif(SIZE, made[:1], PALETTE))
    cut = data[: first + 40]
    (tmp_path / "a").write_bytes(cut)
    assert isinstance(outcome_of(tmp_path / "a", page=1), np.ndarray)
    assert outcome_of(tmp_path / "a", page=2) is ErrorCode.TRUNCATED
    assert outcome_of(tmp_path / "a", page=3) is ErrorCode.TRUNCATED


def test_what_pillow_writes_comes_back(tmp_path) -> None:
    pictures = [Image.fromarray(PALETTE[np.indices((7, 9)).sum(axis=0) // k % 4]) for k in (1, 2)]
    data = by_pillow(pictures[0], "GIF", save_all=True, append_images=pictures[1:])
    for ours, theirs in zip(frames_of(tmp_path / "a", data), pictures, strict=True):
        assert np.array_equal(ours, theirs)


def test_the_given_file(corpus) -> None:
    path = corpus.parent / "cases" / "inputs" / "small_frame_bg1.gif"
    shown = outcome_of(path)
    assert shown[20, 20].tolist() == [0, 0, 255]
    assert shown[0, 0].tolist() == list(BACKGROUND)


@pytest.mark.parametrize("where", [-1, -2])
def test_a_lost_trailer_costs_nothing(tmp_path, where: int) -> None:
    frame = {"indices": np.zeros((7, 9), dtype=np.uint8), "place": (0, 0)}
    whole = gif(SIZE, [frame], PALETTE)
    assert np.array_equal(
        outcome_of(tmp_path / "a", whole[:where]), outcome_of(tmp_path / "a", whole)
    )
