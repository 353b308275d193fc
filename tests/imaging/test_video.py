import random
from contextlib import closing
from itertools import pairwise

import numpy as np
import pytest

from ppcli.errors import ErrorCode, ImageError
from ppcli.files import MemoryFile
from ppcli.imaging.page_source import PageSource, open_source
from ppcli.imaging.reading_options import ReadingOptions
from tests.imaging.videos import FRAME, decoded, pictures, sound_only, video

WHITE = (255, 255, 255)
VARIABLE = [0, 40, 80, 500, 540, 1000, 1040, 1900, 5000, 5040, 5080, 5520]
ONE_THREAD = "log-level=none:pools=none:frame-threads=1"
CODED = {
    "H.264 in MP4": {"codec": "libx264", "container": "mp4", "bf": "2", "g": "5"},
    "H.264 in MKV": {"codec": "libx264", "container": "matroska", "bf": "2", "g": "5"},
    "H.264 in AVI": {"codec": "libx264", "container": "avi", "bf": "2", "g": "5"},
    "open H.264": {"codec": "libx264", "container": "mov", "g": "6", "x264-params": "open-gop=1"},
    "H.265": {"codec": "libx265", "container": "mp4", "g": "5", "x265-params": ONE_THREAD},
    "VP8": {"codec": "libvpx", "container": "webm", "auto-alt-ref": "1", "lag-in-frames": "9"},
    "VP9": {"codec": "libvpx-vp9", "container": "webm", "g": "7", "lag-in-frames": "9"},
    "AV1": {"codec": "libsvtav1", "container": "mp4", "g": "9", "svtav1-params": "lp=1"},
    "MPEG-4 in AVI": {"codec": "mpeg4", "container": "avi", "bf": "2", "g": "5"},
    "Motion JPEG": {"codec": "mjpeg", "container": "mov", "pixels": "yuvj420p"},
    "Motion JPEG AVI": {"codec": "mjpeg", "container": "avi", "pixels": "yuvj420p"},
}


def source_of(content: bytes, fps: float = 1000, **reading) -> PageSource:
    return open_source(MemoryFile("clip.mp4", content), ReadingOptions(fps=fps, **reading))


def refused(content: bytes, **reading) -> ImageError:
    with pytest.raises(ImageError) as caught, closing(source_of(content, **reading)):
        pass
    return caught.value


def coded(name: str, number: int = 23) -> bytes:
    options = {"pixels": "yuv420p"} | CODED[name]
    unit = {} if options["container"] != "avi" else {"time_base": FRAME}
    return video(pictures(number), **unit, **options)


@pytest.mark.parametrize("fps", [1000, 2, 1, 0.3])
def test_frames_of_any_rate_are_those_that_went_in(fps: float) -> None:
    put_in = pictures(len(VARIABLE))
    moments = [k / fps * 1000 for k in range(10_000) if k / fps * 1000 < 5560]
    shown = sorted({sum(time <= moment for time in VARIABLE) - 1 for moment in moments})
    with closing(source_of(video(put_in, VARIABLE), fps)) as source:
        assert (source.format, source.frames) == ("MKV", len(shown))
        for number, at in enumerate(shown, start=1):
            np.testing.assert_array_equal(source.page(number, WHITE), put_in[at])


@pytest.mark.parametrize("name", CODED)
def test_frames_do_not_depend_on_what_was_read_before(name: str) -> None:
    """They are those that a decoder gives from the start, which has no need to seek."""
    content = coded(name)
    whole = decoded(content)
    assert len(whole) == 23
    numbers = list(range(1, 24))
    random.Random(7).shuffle(numbers)
    with closing(source_of(content)) as forward, closing(source_of(content)) as mixed:
        assert forward.frames == 23
        pages = [forward.page(number, WHITE) for number in range(1, 24)]
        for number in numbers:
            np.testing.assert_array_equal(mixed.page(number, WHITE), pages[number - 1])
    np.testing.assert_array_equal(pages, whole)
    for number in (23, 9, 12):
        with closing(source_of(content)) as fresh:
            np.testing.assert_array_equal(fresh.page(number, WHITE), pages[number - 1])
    for page, picture in zip(pages, pictures(23), strict=True):
        assert np.abs(page.astype(int) - picture).mean() < 20
    for one, other in pairwise(pages):
        assert not np.array_equal(one, other)


@pytest.mark.parametrize("name", ["H.264 in MP4", "H.264 in AVI", "VP9", "H.264 in MKV"])
def test_frames_are_in_the_order_in_which_they_are_shown(name: str) -> None:
    """The bar moves by 7 pixels from one to the next."""
    with closing(source_of(coded(name))) as source:
        for number in range(1, 24):
            page = source.page(number, WHITE).astype(int)
            row = page[14, :, 0] - page[14, :, 1]
            left = (number - 1) * 7 % 56
            assert row[left + 4] > 150, number


def test_sound_beside_it_changes_nothing() -> None:
    put_in = pictures(5)
    for container in ("matroska", "avi"):
        with closing(
            source_of(video(put_in, container=container, sound=True, time_base=FRAME))
        ) as source:
            pages = [source.page(number, WHITE) for number in range(1, source.frames + 1)]
        np.testing.assert_array_equal(pages, put_in)


def test_a_single_frame_and_one_of_an_odd_size() -> None:
    put_in = pictures(1, 33, 47)
    with closing(source_of(video(put_in), 0.001)) as source:
        assert source.frames == 1
        np.testing.assert_array_equal(source.page(1, WHITE), put_in[0])


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska"])
def test_sound_alone_is_no_video(container: str) -> None:
    fault = refused(sound_only(container))
    assert fault.code is ErrorCode.NOT_AN_IMAGE
    assert "no video" in fault.message


def test_large_videos_are_refused() -> None:
    content = video(pictures(2, 100, 200))
    assert refused(content, max_image_pixels=19_999).code is ErrorCode.TOO_LARGE
    with closing(source_of(content, max_image_pixels=20_000)) as source:
        assert source.page(1, WHITE).shape == (100, 200, 3)
