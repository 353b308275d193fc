"""Makes small videos with PyAV."""

import io
import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from ppcli.imaging.video_colours import pixels_of

MS = Fraction(1, 1000)
FRAME = Fraction(1, 25)
Pixels = NDArray[np.uint8]


def pictures(number: int, height: int = 48, width: int = 64, seed: int = 0) -> list[Pixels]:
    """Return pictures that differ from each other: a gradient and a bar that moves over it."""
    rows, columns = np.mgrid[:height, :width]
    made = []
    for at in range(number):
        picture = np.stack([columns * 3, rows * 4, 0 * rows + at * 11 % 256], axis=2) % 256
        left = (at * 7 + seed) % (width - 8)
        picture[8:20, left : left + 8] = (250, 20, (at * 40) % 256)
        made.append(picture.astype(np.uint8))
    return made


def video(
    frames: Iterable[Pixels],
    times: Sequence[int] | None = None,
    *,
    codec: str = "ffv1",
    container: str = "matroska",
    pixels: str = "bgr0",
    time_base: Fraction = MS,
    muxing: dict[str, str] | None = None,
    sound: bool = False,
    tags: dict[str, int] | None = None,
    **options: str,
) -> bytes:
    """Return a video file.

    Args:
        frames: RGB or RGBA uint8 (height, width, channels).
        times: when they appear, in units of `time_base`; by default 25 a second.
        codec: the encoder; `ffv1` is lossless.
        container: the name of the muxer.
        pixels: the pixel format of the encoder.
        time_base: the unit of times.
        muxing: options of the muxer.
        sound: whether there is a sound track too.
        tags: attributes of the encoder, such as `colorspace`.
        options: of the encoder.
    """
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=muxing or {}) as out:
        stream = out.add_stream(codec, rate=25, options=options)
        audio = (
            out.add_stream("mp2" if container == "avi" else "aac", rate=44100) if sound else None
        )
        stream.pix_fmt = pixels
        stream.codec_context.time_base = time_base
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        for at, picture in enumerate(frames):
            if at == 0:
                stream.codec_context.height, stream.codec_context.width = picture.shape[:2]
            kind = "rgba" if picture.shape[2] == 4 else "rgb24"
            frame = av.VideoFrame.from_ndarray(picture, kind).reformat(format=pixels)
            frame.pts = round(at / 25 / time_base) if times is None else times[at]
            frame.time_base = time_base
            out.mux(stream.encode(frame))
        if audio is not None:
            _add_sound(out, audio)
        out.mux(stream.encode(None))
    return file.getvalue()


def sound_only(container: str = "mp4") -> bytes:
    """Return a file that has a sound track alone."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        _add_sound(out, out.add_stream("aac", rate=44100))
    return file.getvalue()


def _add_sound(out, stream) -> None:
    for at in range(8):
        silence = np.zeros((1, 1024 * stream.channels), dtype=np.float32)
        planes = silence.reshape(stream.channels, 1024)
        frame = av.AudioFrame.from_ndarray(planes, "fltp", layout=stream.layout.name)
        frame.sample_rate, frame.pts = 44100, at * 1024
        frame.time_base = Fraction(1, 44100)
        if stream.codec.name == "mp2":
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024 * stream.channels), dtype=np.int16), "s16", stream.layout.name
            )
            frame.sample_rate, frame.pts = 44100, at * 1024
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def turned_file(content: bytes, matrix: tuple[int, int, int, int]) -> bytes:
    """Return an MP4 whose display matrix has the parts a, b, c, d, in units of one."""
    at = content.index(b"tkhd") + 4 + 40  # version 0
    a, b, c, d = (part << 16 for part in matrix)
    changed = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    return content[:at] + changed + content[at + len(changed) :]


def decoded(content: bytes) -> list[Pixels]:
    """Return the pixels of all frames, decoded from the start without seeking."""
    with av.open(io.BytesIO(content), "r") as file:
        stream = file.streams.video[0]
        stream.codec_context.thread_count = 1
        return [pixels_of(frame, (255, 255, 255)) for frame in file.decode(stream)]
