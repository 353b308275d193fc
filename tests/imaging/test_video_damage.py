import io
import random
import tempfile
from contextlib import closing
from pathlib import Path

import av
import numpy as np
import pytest

from ppcli.errors import ErrorCode, ImageError
from ppcli.imaging.decode import pillow_limits
from tests.imaging.test_video import CODED, WHITE, coded, refused, source_of
from tests.imaging.videos import pictures, video

DAMAGE = {ErrorCode.TRUNCATED, ErrorCode.CORRUPT}


def outcomes(content: bytes) -> list[object]:
    """Return the pixels of each row, or the code of its error."""
    found: list[object] = []
    with closing(source_of(content)) as source:
        for number in range(1, source.frames + 1):
            try:
                found.append(source.page(number, WHITE))
            except ImageError as error:
                found.append(error.code)
    return found


def index_first(content: bytes) -> bytes:
    """Return an MP4 with its index before its data, as files for the web are."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        with (
            av.open(io.BytesIO(content)) as given,
            av.open(file.name, "w", options={"movflags": "faststart"}) as out,
        ):
            stream = out.add_stream_from_template(given.streams.video[0])
            for packet in given.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)
        return Path(file.name).read_bytes()


def same(rows: list[object], others: list[object]) -> None:
    for row, other in zip(rows, others, strict=True):
        if isinstance(row, ErrorCode) or isinstance(other, ErrorCode):
            assert row is other
        else:
            np.testing.assert_array_equal(row, other)


@pytest.mark.parametrize("name", ["MKV", "MP4", "AVI"])
def test_the_end_that_is_missing_is_a_row(name: str) -> None:
    whole = {
        "MKV": video(pictures(23)),
        "MP4": index_first(coded("H.264 in MP4")),
        "AVI": coded("Motion JPEG AVI"),
    }[name]
    rows = outcomes(whole)
    assert len(rows) == 23
    for part in (0.9, 0.7):
        cut = outcomes(whole[: int(len(whole) * part)])
        assert cut[-1] is ErrorCode.TRUNCATED
        assert 5 < len(cut) < 24
        good = [row for row in cut if not isinstance(row, ErrorCode)]
        assert len(good) >= len(cut) - 4
        same(good, rows[: len(good)])


@pytest.mark.parametrize("content", [coded("H.264 in MP4"), video(pictures(9))])
@pytest.mark.parametrize("size", [12, 33, 80, 300])
def test_a_file_that_ends_in_its_header_is_truncated(content: bytes, size: int) -> None:
    assert refused(content[:size]).code in DAMAGE


def test_a_damaged_packet_fails_the_frames_that_need_it() -> None:
    """And none before or after: the next key frame needs nothing from it."""
    content = coded("H.264 in MP4")
    with av.open(io.BytesIO(content)) as file:
        packets = [one for one in file.demux(video=0) if one.size]
        keys = [one.pts for one in packets if one.is_keyframe]
        hit = next(one for one in packets if one.pts > keys[1] and not one.is_keyframe)
        times = sorted(one.pts for one in packets)
    broken = bytearray(content)
    broken[hit.pos + 5 : hit.pos + hit.size] = bytes([0x55]) * (hit.size - 5)
    rows, expected = outcomes(bytes(broken)), outcomes(content)
    first, end = times.index(hit.pts), times.index(next(key for key in keys if key > hit.pts))
    assert ErrorCode.CORRUPT in rows[first:end]
    same(rows[:first] + rows[end:], expected[:first] + expected[end:])
    order = list(range(len(rows)))
    random.Random(3).shuffle(order)
    with closing(source_of(bytes(broken))) as source:
        for at in order:
            try:
                row: object = source.page(at + 1, WHITE)
            except ImageError as error:
                row = error.code
            same([row], [rows[at]])


@pytest.mark.parametrize("name", CODED)
def test_damage_is_an_error_of_a_row_or_a_picture_of_the_right_size(name: str) -> None:
    """Most decoders check no sums; what they show is at least a frame, and nothing hangs."""
    content = coded(name)
    dice = random.Random(name)
    with pillow_limits(1 << 24):
        for _ in range(12):
            broken = bytearray(content)
            for _ in range(dice.choice([1, 4, 40])):
                broken[dice.randrange(len(broken))] = dice.randrange(256)
            if dice.random() < 0.3:
                del broken[dice.randrange(len(broken)) :]
            try:
                rows = outcomes(bytes(broken))
            except ImageError as error:
                assert error.code is not ErrorCode.INTERNAL
                continue
            assert len(rows) < 100
            assert all(isinstance(row, ErrorCode) or row.ndim == 3 for row in rows)


def test_a_wrong_index_misleads_nobody() -> None:
    content = video(pictures(40), g="4", container="matroska")
    at = content.index(b"\x1c\x53\xbb\x6b", 200) + 4  # the cues
    broken = content[:at] + bytes(255 - byte for byte in content[at:])
    expected = outcomes(content)
    with closing(source_of(broken)) as source:
        for number in (40, 7, 23, 1):
            np.testing.assert_array_equal(source.page(number, WHITE), expected[number - 1])


def test_times_that_are_wrong_give_no_more_rows_than_frames() -> None:
    for times in ([0, 10**12, 10**12 + 5], [0, 1, 2], [7, 7 + 10**9, 8 + 10**9]):
        with closing(source_of(video(pictures(3), times), 1000)) as source:
            assert source.frames == 3
            assert source.page(3, WHITE).shape == (48, 64, 3)


def test_an_unknown_codec_is_named_as_the_reason() -> None:
    content = coded("MPEG-4 in AVI").replace(b"FMP4", b"XQZ9")
    assert refused(content).code is ErrorCode.UNSUPPORTED_FORMAT


def test_encrypted_videos_are_told_from_damaged_ones() -> None:
    key = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
        "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
    }
    content = video(pictures(4), codec="libx264", container="mp4", pixels="yuv420p", muxing=key)
    assert refused(content).code is ErrorCode.ENCRYPTED


def test_a_playlist_with_the_name_of_a_video_opens_nothing(tmp_path: Path) -> None:
    """libav would read the files and servers that it names."""
    (tmp_path / "secret.mkv").write_bytes(video(pictures(2)))
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path}/secret.mkv\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile {tmp_path}/secret.mkv\n",
        "<!DOCTYPE html><html>",
    ):
        assert refused(text.encode()).code is ErrorCode.NOT_AN_IMAGE
    playlist = b"\0\0\0\x18ftypisom\0\0\0\0isomiso2#EXTM3U\n/etc/passwd\n"
    assert refused(playlist).code in DAMAGE
