"""Opening image files that nobody has checked, one page or frame at a time."""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError, features

from ppcli.errors import ErrorCode, ImageError
from ppcli.files import OpenFile
from ppcli.imaging import bmp, png, ppm, psd
from ppcli.imaging.apng import ApngScreen
from ppcli.imaging.colour import to_rgb, upright
from ppcli.imaging.direct import decode_directly, worth_reading
from ppcli.imaging.gif import GifScreen
from ppcli.imaging.image_choices import Colour
from ppcli.imaging.jpeg import unsupported_jpeg, without_broken_segments
from ppcli.imaging.jpeg2000 import decode_jpeg_2000
from ppcli.imaging.lengths import is_whole
from ppcli.imaging.limits import check_pixels, system_error
from ppcli.imaging.pcx import require_palette
from ppcli.inputs.sniff import SIGNATURE_BYTES, sniff

# EPS starts a program of the system to draw itself, TIFF has a reader of its own here, and the
# others are names without a decoder.
_REFUSED = frozenset({"EPS", "TIFF", "MPEG", "BUFR", "GRIB", "HDF5", "WMF"})
_NEEDS_FEATURE = {"AVIF": "avif", "WEBP": "webp", "JPEG2000": "jpg_2000"}


def _decode_icon(image: Image.Image, _: BinaryIO) -> Image.Image:
    """The largest icon of an ICNS, which Pillow cannot make its own when it has a palette."""
    icon: Image.Image = image.icns.getimage(image.best_size)  # type: ignore[attr-defined]
    icon.load()
    return icon


# Formats that Pillow identifies and does not always decode right: what is done before it is asked.
_DECODERS: dict[str, Callable[[Image.Image, BinaryIO], Image.Image | None]] = {
    "BMP": bmp.decode_indexed,
    "DIB": bmp.decode_indexed,
    "ICNS": _decode_icon,
    "JPEG2000": decode_jpeg_2000,
    "PCX": require_palette,
    "PNG": png.decode_keyed,
    "PSD": psd.decode_merged,
}
# What tells a kind without a reader from a damaged file.
_UNSUPPORTED: dict[str, Callable[[BinaryIO], ImageError | None]] = {
    "BMP": bmp.unsupported,
    "JPEG": unsupported_jpeg,
    "PPM": ppm.unsupported,
    "PSD": psd.unsupported,
}
# What tells damage from a size that is too large.
_IMPOSSIBLE: dict[str, Callable[[BinaryIO], str | None]] = {
    "BMP": bmp.impossible_size,
    "DIB": bmp.impossible_size,
    "PNG": png.impossible_size,
}
_LAYERED = "PSD"  # its frames are layers of the one picture that Pillow gives first


class UnreachableFrameError(ImageError):
    """Neither this frame nor a later one can be decoded; the file may have declared any number."""


@contextmanager
def pillow_limits(max_image_pixels: int) -> Iterator[None]:
    """Make Pillow refuse what declares more pixels, and keep its warnings off the terminal.

    The limit is a global of Pillow: enter this once around all the work of a process. Pillow
    raises above twice its limit and warns above it, hence the half.
    """
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = max_image_pixels / 2  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


class ImageSource:
    """An open image file.

    Attributes:
        format: the name of its format, as Pillow spells it.
        frames: how many pages or frames it has.
        failed: whether a page could not be decoded.
        warning: always None.
    """

    def __init__(self, file: OpenFile, max_image_pixels: int) -> None:
        """Identify an open file; nothing is decoded yet. The source closes it; so does an error.

        Raises:
            ImageError: `not_found`, `unreadable`, `empty`, `not_an_image`,
                `unsupported_format`, `too_large`, `truncated` or `corrupt`.
        """
        self.failed = False
        self.warning: str | None = None
        self.format = ""
        self._screen: GifScreen | ApngScreen | None = None
        self._max_image_pixels = max_image_pixels
        self._file = file
        try:
            with self._explained("read"):
                self._head = self._file.read(SIGNATURE_BYTES)
            if not self._head:
                raise ImageError(ErrorCode.EMPTY, "the file has no bytes")
            self._file.seek(0)
            self._file.past_end = False
            with self._explained("identify"):
                self._image = self._open()
                self.format = self._image.format or ""
                self._check_size()
                self.frames = 1
                if self.format != _LAYERED:
                    self.frames = int(getattr(self._image, "n_frames", 1))
                if self.format == "GIF":
                    self._screen = GifScreen(self._file, max_image_pixels)
                elif self.format == "PNG" and self.frames > 1:
                    self._screen = ApngScreen(self._file)
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> Image.Image:
        try:
            return Image.open(self._file, formats=_formats())
        except UnidentifiedImageError:
            if sniff(self._head) != "JPEG":
                raise
            self._file.seek(0)
            mended = without_broken_segments(self._file.read())
            return Image.open(io.BytesIO(mended), formats=["JPEG"])

    def __enter__(self) -> "ImageSource":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file and of what was decoded."""
        self._image.close()
        self._file.close()

    def page(self, number: int, background: Colour) -> NDArray[np.uint8]:
        """Decode one page or frame (one-based) to upright RGB, uint8 (height, width, 3).

        Raises:
            ImageError: `truncated`, `corrupt`, `too_large`, `unsupported_mode`,
                `out_of_memory` or `unreadable`.
            UnreachableFrameError: likewise, and later frames cannot be reached either.
        """
        self._file.past_end = False  # whatever those asked that did not know the format
        if self.frames > 1 or self._screen:
            self._seek(number)
        with self._explained("decode"):
            self._check_size()
            pixels = self._decode_directly(background)
            if pixels is None:
                pixels = upright(np.array(to_rgb(self._decode(), background)), self._image)
            return pixels

    def _decode_directly(self, background: Colour) -> NDArray[np.uint8] | None:
        size = self._file.state.size
        one_by_one = self.format == "MPO"
        if (self.frames > 1 and not one_by_one) or not worth_reading(self._image, size):
            return None
        place, past_end = self._file.tell(), self._file.past_end
        self._file.seek(getattr(self._image, "offset", 0) if one_by_one else 0)
        data = self._file.read()
        self._file.seek(place)
        self._file.past_end = past_end
        return decode_directly(self._image, data, background)

    def _decode(self) -> Image.Image:
        if self._screen is not None:
            return self._screen.draw()
        decoder = _DECODERS.get(self.format)
        picture = decoder(self._image, self._file) if decoder else None
        if picture is None:
            self._image.load()
            picture = self._image
        return picture

    def _seek(self, number: int) -> None:
        try:
            with self._explained("find"):
                if self._screen is not None:
                    self._screen.seek(number)
                else:
                    self._image.seek(number - 1)
        except ImageError as error:
            last = f" and all to {self.frames:,}" if number < self.frames else ""
            message = f"frame {number:,}{last} cannot be reached: {error.message}"
            raise UnreachableFrameError(error.code, message) from error

    def _check_size(self) -> None:
        check_pixels(*self._image.size, self._max_image_pixels)

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """Turn whatever a decoder raises into an `ImageError`."""
        try:
            yield
        except (Exception, SystemExit) as error:
            self.failed = True
            if isinstance(error, ImageError):
                raise
            raise self._explain(doing, error) from error

    def _explain(self, doing: str, error: BaseException) -> ImageError:
        if isinstance(error, Image.DecompressionBombError) and (wrong := self._impossible_size()):
            return ImageError(ErrorCode.CORRUPT, wrong)
        if fault := system_error(error, self._max_image_pixels):
            return fault
        return self._explain_content(doing, error)

    def _explain_content(self, doing: str, error: BaseException) -> ImageError:
        if isinstance(error, EOFError) and doing == "find":
            return ImageError(ErrorCode.TRUNCATED, "the file ends before")
        if isinstance(error, UnidentifiedImageError):
            return self._unidentified()
        if isinstance(error, NotImplementedError):
            return ImageError(ErrorCode.UNSUPPORTED_MODE, f"{error}; convert the image first")
        asked = doing == "identify" or not self._file.past_end
        return (self._unsupported() if asked else None) or self._cut_or_damaged(doing, error)

    def _unidentified(self) -> ImageError:
        kind = sniff(self._head)
        if kind is None:
            return ImageError(
                ErrorCode.NOT_AN_IMAGE, "the content is not that of an image in a known format"
            )
        feature = _NEEDS_FEATURE.get(kind)
        if kind not in _formats() or (feature and not features.check(feature)):
            return ImageError(ErrorCode.UNSUPPORTED_FORMAT, f"it is {kind}, which is not read here")
        unsupported = self._unsupported()
        if unsupported is not None:
            return unsupported
        if self._ends_early(kind):
            return ImageError(ErrorCode.TRUNCATED, f"it starts like {kind}, and is cut off")
        return ImageError(
            ErrorCode.CORRUPT, f"it starts like {kind}, and its header makes no sense"
        )

    def _unsupported(self) -> ImageError | None:
        """What the file is, when that has no reader."""
        judge = _UNSUPPORTED.get(self._kind)
        past_end = self._file.past_end
        refusal = None
        with suppress(Exception):  # its header is damaged too
            refusal = judge(self._file) if judge else None
        self._file.past_end = past_end
        return refusal

    def _impossible_size(self) -> str | None:
        """What is wrong with a size that is too large to be meant."""
        judge = _IMPOSSIBLE.get(self._kind or "DIB")  # which begins with no signature
        with suppress(Exception):
            return judge(self._file) if judge else None
        return None

    @property
    def _kind(self) -> str:
        return self.format or sniff(self._head) or ""

    def _cut_or_damaged(self, doing: str, error: BaseException) -> ImageError:
        past_end = self._file.past_end or isinstance(error, EOFError)
        reason = f"Pillow cannot {doing} it: {str(error) or type(error).__name__}"
        if isinstance(error, EOFError):
            reason = "the data of its pixels ends early"
        whole = is_whole(self._kind, self._file)
        if doing == "identify" and sniff(self._head):
            whole = not self._ends_early(self._kind)
        elif whole is None or (doing == "find" and past_end):  # but for a frame it declares
            whole = not past_end
        if whole:
            return ImageError(ErrorCode.CORRUPT, reason)
        return ImageError(ErrorCode.TRUNCATED, f"the file is cut off; {reason}")

    def _ends_early(self, kind: str) -> bool:
        """Whether the decoder of this format alone, not all that were tried, lacks bytes."""
        whole = is_whole(kind, self._file)
        if whole is not None:
            return not whole
        self._file.seek(0)
        self._file.past_end = False
        with suppress(Exception):
            Image.open(self._file, formats=[kind])
        return self._file.past_end


def _formats() -> list[str]:
    Image.init()
    return [name for name in Image.ID if name not in _REFUSED]
