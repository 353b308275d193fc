import io
from contextlib import closing

import av
import numpy as np
import pytest
from PIL import Image

from tests.imaging.test_video import WHITE, source_of
from tests.imaging.videos import Pixels, pictures, turned_file, video

BT601, BT709, BT2020 = (0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593)
MATRICES = {"bt709": (1, BT709), "bt601": (5, BT601), "bt2020": (9, BT2020)}
LIMITED, FULL = 1, 2


def planes(height: int, width: int) -> list[Pixels]:
    """Smooth luma, and chroma that stays within the colours that exist."""
    rows, columns = np.mgrid[:height, :width]
    luma = 60 + columns * 120 // width
    blue, red = 110 + rows * 40 // height, 145 - columns * 40 // width
    return [plane.astype(np.uint8) for plane in (luma, blue, red)]


def plainly(y: Pixels, cb: Pixels, cr: Pixels, weights: tuple[float, float], full: bool) -> Pixels:
    """Convert as the standards define it."""
    kr, kb = weights
    luma, blue, red = (plane.astype(float) for plane in (y, cb, cr))
    luma = luma / 255 if full else (luma - 16) / 219
    blue, red = (blue - 128) / (255 if full else 224), (red - 128) / (255 if full else 224)
    r, b = luma + 2 * (1 - kr) * red, luma + 2 * (1 - kb) * blue
    g = (luma - kr * r - kb * b) / (1 - kr - kb)
    return np.clip(np.stack([r, g, b], axis=2) * 255, 0, 255).round().astype(np.uint8)


def yuv_video(
    parts: list[Pixels], kind: str = "yuv444p", colorspace: int = 2, color_range: int = 0
) -> bytes:
    """Store the planes as they are, with tags."""
    file = io.BytesIO()
    height, width = parts[0].shape
    with av.open(file, "w", format="matroska") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, kind
        stream.codec_context.colorspace = colorspace
        stream.codec_context.color_range = color_range
        frame = av.VideoFrame(width, height, kind)
        frame.colorspace, frame.color_range = colorspace, color_range
        for plane, part in zip(frame.planes, parts, strict=True):
            rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size).copy()
            rows[:, : part.shape[1]] = part
            plane.update(rows.tobytes())
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


def first_of(content: bytes, background=WHITE) -> Pixels:
    with closing(source_of(content)) as source:
        return source.page(1, background)


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("levels", [LIMITED, FULL])
def test_colours_are_those_of_the_tags(matrix: str, levels: int) -> None:
    number, weights = MATRICES[matrix]
    parts = planes(48, 64)
    found = first_of(yuv_video(parts, colorspace=number, color_range=levels)).astype(int)
    assert np.abs(found - plainly(*parts, weights, levels == FULL)).max() <= 1
    others = [other for _, other in MATRICES.values() if other != weights]
    wrong = [(other, levels == FULL) for other in others] + [(weights, levels != FULL)]
    for other, full in wrong:
        assert np.abs(found - plainly(*parts, other, full)).max() > 2


@pytest.mark.parametrize(
    ("size", "weights"), [((576, 720), BT601), ((720, 1280), BT709), ((640, 480), BT709)]
)
def test_untagged_colours_are_those_that_players_assume(size, weights) -> None:
    parts = planes(*size)
    found = first_of(yuv_video(parts)).astype(int)
    assert np.abs(found - plainly(*parts, weights, False)).max() <= 1


def test_chroma_is_interpolated_in_both_directions() -> None:
    """With one value repeated for two pixels each, steps between columns would alternate."""
    columns = np.mgrid[:48, :64][1]
    luma = np.full((48, 64), 126, dtype=np.uint8)
    half = np.full((24, 32), 128, dtype=np.uint8)
    ramp = (90 + np.mgrid[:24, :32][1] * 2).astype(np.uint8)
    found = first_of(yuv_video([luma, half, ramp], "yuv420p", 5, LIMITED)).astype(int)
    steps = np.diff(found[20, 8:56, 0])
    assert columns.shape == found.shape[:2]
    assert steps.min() >= 1
    assert steps.max() <= 2


def test_transparency_shows_the_background() -> None:
    picture = np.dstack([pictures(1)[0], np.full((48, 64), 255, dtype=np.uint8)])
    picture[:, :20, 3] = 0
    picture[:, 20:40, 3] = 128
    found = first_of(video([picture], pixels="bgra"), (10, 200, 30))
    page = Image.new("RGBA", (64, 48), (10, 200, 30, 255))
    expected = Image.alpha_composite(page, Image.fromarray(picture)).convert("RGB")
    np.testing.assert_array_equal(found, np.asarray(expected))


TURNS = {
    (1, 0, 0, 1): lambda one: one,
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (-1, 0, 0, -1): lambda one: np.rot90(one, 2),
    (0, 1, -1, 0): lambda one: np.rot90(one, -1),  # a phone held upright
    (0, -1, 1, 0): lambda one: np.rot90(one, 1),
    (0, 1, 1, 0): lambda one: one.swapaxes(0, 1),
    (0, -1, -1, 0): lambda one: np.rot90(one, 2).swapaxes(0, 1),
}


@pytest.mark.parametrize("matrix", TURNS)
def test_turned_and_mirrored_videos_are_upright(matrix) -> None:
    content = video(pictures(3), container="mp4", codec="mpeg4", pixels="yuv420p")
    with closing(source_of(content)) as plain:
        stored = plain.page(2, WHITE)
    with closing(source_of(turned_file(content, matrix))) as source:
        np.testing.assert_array_equal(source.page(2, WHITE), TURNS[matrix](stored))
        assert source.warning is None


def test_other_turns_are_told() -> None:
    content = video(pictures(1), container="mp4", codec="mpeg4", pixels="yuv420p")
    with closing(source_of(turned_file(content, (1, 1, -1, 1)))) as source:
        assert source.page(1, WHITE).shape == (48, 64, 3)
        assert "not a multiple of 90°" in source.warning


@pytest.mark.parametrize("kind", ["gray", "yuv420p10le", "gbrp10le", "rgb48le", "yuva420p"])
def test_other_depths_are_read(kind: str) -> None:
    put_in = pictures(2)
    with closing(source_of(video(put_in, pixels=kind, level="3", strict="-2"))) as source:
        page = source.page(2, WHITE).astype(int)
    expected = put_in[1].astype(int)
    if kind == "gray":
        assert np.ptp(page, axis=2).max() <= 1
    elif kind in ("gbrp10le", "rgb48le"):
        assert np.abs(page - expected).max() <= 1
    else:
        assert np.abs(page - expected).mean() < 12


def test_high_dynamic_range_is_told() -> None:
    content = video(
        pictures(1),
        codec="ffv1",
        container="matroska",
        pixels="yuv420p10le",
        tags={"color_trc": 16, "color_primaries": 9, "colorspace": 9},
    )
    with closing(source_of(content)) as source:
        source.page(1, WHITE)
        assert "high dynamic range" in (source.warning or "")
