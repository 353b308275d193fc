"""Reads videos through PyAV (libav), frame by frame. No frame but the current ones is held."""

from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import partial
from itertools import chain, takewhile
from typing import TYPE_CHECKING, NamedTuple, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from ppcli.errors import ErrorCode, ImageError, MissingDependencyError, bounded
from ppcli.files import OpenFile
from ppcli.imaging.frame_times import KeyFrame, KeyFrames, chosen_times
from ppcli.imaging.image_choices import Colour
from ppcli.imaging.lengths import is_whole
from ppcli.imaging.limits import check_pixels, system_error
from ppcli.imaging.page_formats import AVI, MKV, MOV, MP4
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.imaging.video_colours import pixels_of, warning_of
from ppcli.inputs.videos import require_pyav

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    _Packet = Packet[VideoStream]

# The parser of libav for each format. Without a name libav would also try playlists, which name
# other files and servers.
_DEMUXERS = {MP4: "mov", MOV: "mov", MKV: "matroska", AVI: "avi"}

_DAMAGED = "the data of the video are damaged"
_NO_TIME = -(1 << 63)

_Shown = tuple[int, "VideoFrame"]  # a frame, and when it appears
_MOST_REFERENCES = 16  # frames that a frame of H.264 or H.265 may depend on


class _Damage(NamedTuple):
    """No frame from this time on can be decoded from this key frame."""

    key: KeyFrame | None
    time: int
    error: ImageError


class VideoSource:
    """The frames of an open video that `--fps` chooses.

    A frame is always decoded from the last key frame before it, whatever was read before, so that
    its pixels do not depend on how the frames are spread over tasks.

    Attributes:
        format: MP4, MOV, MKV or AVI.
        frames: number of chosen frames. A file that is cut off has one more, which is an error.
        failed: always False, because a frame that fails does not affect those before other keys.
        warning: what the last frame may show wrongly; else None.
    """

    failed = False

    def __init__(self, file: OpenFile, kind: str, reading: ReadingOptions) -> None:
        """Find the frames without decoding any.

        Raises:
            ImageError: `unsupported_format`, `not_an_image`, `encrypted`, `too_large`,
                `truncated`, `corrupt`, or any error of reading the file.
        """
        self.format = kind
        self.warning: str | None = None
        self._file = file
        self._max_pixels = reading.max_image_pixels
        self._container: InputContainer | None = None
        self._decoded: Iterator[_Shown] | None = None
        self._key: KeyFrame | None = None
        self._current: _Shown | None = None
        self._next: _Shown | None = None
        self._damage: _Damage | None = None
        try:
            require_pyav()
        except MissingDependencyError as error:
            raise ImageError(ErrorCode.UNSUPPORTED_FORMAT, str(error)) from error
        with self._explained():
            self._is_whole = is_whole(kind, file)
            self._open()
            self._find_frames(reading.fps)

    def original(self) -> None:
        """Return None: a frame is no file."""

    def close(self) -> None:
        """Close the file."""
        self._decoded = self._current = self._next = None
        if self._container is not None:
            self._container.close()
        self._file.close()

    def page(self, number: int, background: Colour) -> NDArray[np.uint8]:
        """Decode one of the chosen frames (one-based) to upright RGB, uint8 (height, width, 3).

        Raises:
            ImageError: `truncated`, `corrupt`, `too_large`, `out_of_memory` or `unreadable`.
        """
        self.warning = None
        if number > len(self._chosen):
            assert self._fault is not None
            raise self._fault
        with self._explained():
            frame = self._frame_at(self._chosen[number - 1])
            check_pixels(frame.width, frame.height, self._max_pixels)
            pixels = pixels_of(frame, background)
            self.warning = warning_of(frame, self._stream.metadata)
        return pixels

    def _open(self) -> None:
        import av

        self._file.seek(0)
        self._container = av.open(
            self._file,
            "r",
            format=_DEMUXERS[self.format],
            metadata_errors="replace",
            io_open=_open_nothing_else,
        )
        self._stream = _video_of(self._container)
        decoder = self._stream.codec_context
        check_pixels(decoder.width, decoder.height, self._max_pixels)
        decoder.thread_count = 1  # the cores are taken by other workers
        decoder.options = {"err_detect": "explode"}

    def _find_frames(self, fps: float) -> None:
        """Read when all frames are shown, without decoding them, and choose some."""
        self._keys = KeyFrames()
        self._is_timed = True  # each frame says when it is shown
        times, fault = array("q"), None
        last, duration, decoded_at = 0, 0, 0
        try:
            for number, packet in enumerate(self._packets()):
                if not times and packet.has_sidedata("encryption_info"):
                    raise ImageError(ErrorCode.ENCRYPTED, "the video is encrypted")
                decoded_at = decoded_at + 1 if packet.dts is None else packet.dts
                time = decoded_at if packet.pts is None else packet.pts
                self._is_timed = self._is_timed and packet.pts is not None
                if packet.is_keyframe:
                    self._keys.add(KeyFrame(time, min(time, decoded_at), number))
                if packet.is_discard:  # before the beginning that the file names
                    continue
                if not times or time > last:
                    last, duration = time, packet.duration or 0
                times.append(time)
        except Exception as error:
            fault = self._explain(error)
            if not times:
                raise fault from error
        if self.format == AVI and self._stream.codec_context.has_b_frames:
            self._is_timed = False  # its times are those of decoding, and the order differs
        time_base = self._stream.time_base or Fraction(1)
        self._chosen = chosen_times(times, duration, time_base, fps)
        self._times = array("q") if self._is_timed else array("q", sorted(times))
        seconds = float((last - min(times, default=0)) * time_base)
        self._fault = fault or self._end_fault(len(times), seconds)
        self.frames = len(self._chosen) + (self._fault is not None)

    def _end_fault(self, frames: int, seconds: float) -> ImageError | None:
        """Return what is wrong with the end of the file.

        Raises:
            ImageError: there are no frames.
        """
        if self._is_whole is not False and frames:
            return None
        if frames:
            message = f"the file is truncated; its last frame is at {seconds:,.2f} s"
            return ImageError(ErrorCode.TRUNCATED, message)
        raise ImageError(self._damaged, "the video has no frames")

    def _packets(self) -> Iterator["_Packet"]:
        """Yield the packets with data from the current place on."""
        assert self._container is not None
        return (packet for packet in self._container.demux(self._stream) if packet.size)

    def _frame_at(self, time: int) -> "VideoFrame":
        """Decode the frame that is shown at a time."""
        key = self._keys.before(time) if self._is_timed else None
        damage = self._damage
        if damage is not None and damage.key == key and damage.time <= time:
            raise ImageError(damage.error.code, damage.error.message)
        is_later = self._current is not None and self._current[0] > time
        if self._decoded is None or self._key != key or is_later:
            self._begin(key, key)
        try:
            try:
                return self._advance(time)
            except Exception as error:
                if key is None or self._explain(error).code is not self._damaged:
                    raise
            self._begin(key, self._keys.earlier(key, _MOST_REFERENCES))
            return self._advance(time)
        except Exception as error:
            self._decoded = None
            fault = self._explain(error)
            if fault.code is self._damaged:
                self._damage = _Damage(key, time, fault)
            raise fault from error

    def _begin(self, key: KeyFrame | None, start: KeyFrame | None) -> None:
        """Prepare to decode from a key frame on.

        Args:
            key: the key frame; None for all frames of the file.
            start: an earlier key frame, where the decoder starts; None for the start of the file.
                Some key frames are marked as such, but the data after them name frames before.
        """
        self._current = self._next = None
        self._key, self._decoded = key, self._decode_from(key, start)

    def _advance(self, time: int) -> "VideoFrame":
        """Decode until the frame that is shown at a time.

        Some codecs have packets that show nothing. Then it is the frame before.
        """
        assert self._decoded is not None
        while self._current is None or self._current[0] < time:
            self._next = self._next or next(self._decoded, None)
            if self._next is None or self._next[0] > time:
                break
            self._current, self._next = self._next, None
        if self._current is None:
            raise ImageError(self._damaged, "the frame cannot be decoded")
        return self._current[1]

    def _decode_from(self, key: KeyFrame | None, start: KeyFrame | None) -> Iterator[_Shown]:
        """Yield the frames from a key frame on, as they are shown; see `_begin`.

        Packets that come after a key frame but are shown before it may need the frames before it.
        They are not damaged if they cannot be decoded.

        Raises:
            ImageError, av.FFmpegError: a packet is damaged.
        """
        first = _NO_TIME if key is None else key.time
        number, is_reached = 0, key is None
        for packet in chain(self._packets_from(start), [None]):
            is_reached = is_reached or _is_at(packet, first)
            is_needed = packet is None or packet.pts is None or packet.pts >= first
            for frame in self._decode(packet, is_reached and is_needed):
                time = frame.pts
                if not self._is_timed and number < len(self._times):
                    time = self._times[number]
                number += 1
                if time is not None and time >= first:
                    if frame.is_corrupt:
                        raise ImageError(self._damaged, _DAMAGED)
                    yield time, frame

    def _decode(self, packet: "_Packet | None", is_needed: bool) -> Iterator["VideoFrame"]:
        """Decode a packet; None for the frames that the decoder still has.

        If it is damaged, the frames that are shown before it and wait for their turn come first.
        """
        from av.error import FFmpegError

        decoder = self._stream.codec_context
        try:
            if is_needed and packet is not None and packet.is_corrupt:
                raise ImageError(self._damaged, _DAMAGED)
            yield from decoder.decode(packet)
        except (FFmpegError, ImageError):
            if not is_needed:
                return
            if packet is not None and packet.pts is not None and self._is_timed:
                with suppress(FFmpegError):
                    yield from takewhile(partial(_is_before, packet.pts), decoder.decode(None))
            raise

    def _packets_from(self, key: KeyFrame | None) -> Iterator["_Packet"]:
        """Return the packets from a key frame on, which is searched for from the start if needed.

        Where a seek ends depends on the file's index, which may be wrong or missing.
        """
        assert self._container is not None
        if key is not None:
            with suppress(Exception):  # no way to seek in this file
                self._container.seek(key.place, stream=self._stream)
                if (packets := self._skipped_to(key)) is not None:
                    return packets
        self._container.close()
        self._open()
        packets = self._packets() if key is None else self._skipped_to(key)
        if packets is None:
            raise ImageError(self._damaged, "a key frame of the video is missing")
        return packets

    def _skipped_to(self, key: KeyFrame) -> Iterator["_Packet"] | None:
        """Return the packets from a key frame on; None if it is not ahead."""
        packets = self._packets()
        for packet in packets:
            if _is_at(packet, key.time):
                return chain([packet], packets)
            if packet.is_keyframe and packet.pts is not None and packet.pts > key.time:
                break
        return None

    @property
    def _damaged(self) -> ErrorCode:
        return ErrorCode.TRUNCATED if self._is_whole is False else ErrorCode.CORRUPT

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Convert any exception of a decoder to an `ImageError`."""
        try:
            yield
        except Exception as error:
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> ImageError:
        from av.error import FFmpegError

        if isinstance(error, ImageError):
            return error
        is_of_libav = isinstance(error, FFmpegError) and not isinstance(error, MemoryError)
        if not is_of_libav and (fault := system_error(error, self._max_pixels)):
            return fault
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return ImageError(self._damaged, f"the video cannot be decoded: {bounded(reason)}")


def _is_at(packet: "_Packet | None", time: int) -> bool:
    return packet is not None and packet.is_keyframe and packet.pts == time


def _is_before(time: int, frame: "VideoFrame") -> bool:
    return frame.pts is not None and frame.pts < time


def _video_of(container: "InputContainer") -> "VideoStream":
    from av.stream import Disposition

    stream = container.streams.best("video")
    if stream is None or stream.disposition & Disposition.attached_pic:
        raise ImageError(ErrorCode.NOT_AN_IMAGE, "the file has no video, only sound or data")
    if stream.codec_context is None:
        raise ImageError(
            ErrorCode.UNSUPPORTED_FORMAT,
            "the codec of the video is not supported; convert it to H.264",
        )
    return cast("VideoStream", stream)


def _open_nothing_else(url: str, *_: object) -> NoReturn:
    raise ImageError(ErrorCode.CORRUPT, f"the video refers to another file: {bounded(url)}")
