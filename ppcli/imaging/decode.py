"""Opens untrusted image files and decodes them, one page or frame at a time."""

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
from ppcli.imaging.colour import is_upright, to_rgb, upright
from ppcli.imaging.direct import decode_directly, worth_reading
from ppcli.imaging.gif import GifScreen
from ppcli.imaging.image_choices import Colour
from ppcli.imaging.jpeg import unsupported_jpeg, without_broken_segments
from ppcli.imaging.jpeg2000 import decode_jpeg_2000
from ppcli.imaging.lengths import is_whole
from ppcli.imaging.limits import check_pixels, system_error
from ppcli.imaging.pcx import require_palette
from ppcli.inputs.sniff import SIGNATURE_BYTES, sniff

# Pillow starts Ghostscript for EPS and has no decoder for the others; TIFF has its own reader.
_REFUSED = frozenset({"EPS", "TIFF", "MPEG", "BUFR", "GRIB", "HDF5", "WMF"})
_NEEDS_FEATURE = {"AVIF": "avif", "WEBP": "webp", "JPEG2000": "jpg_2000"}


def _decode_icon(image: Image.Image, _: BinaryIO) -> Image.Image:
    """Decode the largest icon of an ICNS; Pillow's `load` fails if that has a palette."""
    icon: Image.Image = image.icns.getimage(image.best_size)  # type: ignore[attr-defined]
    icon.load()
    return icon


# Tried before Pillow's own decoders, which are wrong for some files of these formats.
_DECODERS: dict[str, Callable[[Image.Image, BinaryIO], Image.Image | None]] = {
    "BMP": bmp.decode_indexed,
    "DIB": bmp.decode_indexed,
    "ICNS": _decode_icon,
    "JPEG2000": decode_jpeg_2000,
    "PCX": require_palette,
    "PNG": png.decode_keyed,
    "PSD": psd.decode_merged,
}
# Tell unsupported kinds of a format from damaged files.
_UNSUPPORTED: dict[str, Callable[[BinaryIO], ImageError | None]] = {
    "BMP": bmp.unsupported,
    "JPEG": unsupported_jpeg,
    "PPM": ppm.unsupported,
    "PSD": psd.unsupported,
}
# Tell damaged sizes from sizes that are too large.
_IMPOSSIBLE: dict[str, Callable[[BinaryIO], str | None]] = {
    "BMP": bmp.impossible_size,
    "DIB": bmp.impossible_size,
    "PNG": png.impossible_size,
}
_WIDELY_READ = frozenset({"PNG", "JPEG", "WEBP"})
_PNG_DEPTH = 24  # offset of the bit depth in the file
_LAYERED = "PSD"  # its frames are layers of one picture; Pillow's first frame is that picture


class UnreachableFrameError(ImageError):
    """This frame and all later ones cannot be decoded, whatever number the file declares."""


@contextmanager
def pillow_limits(max_image_pixels: int) -> Iterator[None]:
    """Make Pillow refuse images that declare more pixels, and suppress its warnings.

    The limit is a global variable of Pillow, so enter this once for all the work of a process.
    Pillow only warns above its limit and raises above twice the limit, hence the half.
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
        format: name of the format, as Pillow spells it.
        frames: number of pages or frames.
        failed: whether a page could not be decoded.
        warning: always None.
    """

    def __init__(self, file: OpenFile, max_image_pixels: int) -> None:
        """Identify an open file without decoding it. `close` closes it, and so does an error.

        Raises:
            ImageError: `not_found`, `unreadable`, `empty`, `not_an_image`,
                `unsupported_format`, `too_large`, `truncated` or `corrupt`.
        """
        self.failed = False
        self.warning: str | None = None
        self.format = ""
        self._screen: GifScreen | ApngScreen | None = None
        self._is_mended = False
        self._max_image_pixels = max_image_pixels
        self._file = file
        try:
            with self._explained("read"):
                self._head = self._file.read(SIGNATURE_BYTES)
            if not self._head:
                raise ImageError(ErrorCode.EMPTY, "the file is empty")
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
            self._is_mended = True
            return Image.open(io.BytesIO(mended), formats=["JPEG"])

    def __enter__(self) -> "ImageSource":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def original(self) -> bytes | None:
        """Return the bytes of the file if any program shows the pixels of `page`; else None."""
        image = self._image
        if self.format not in _WIDELY_READ or self.frames > 1 or self._is_mended:
            return None
        if image.mode not in ("L", "RGB") or image.has_transparency_data or not is_upright(image):
            return None
        if self.format == "PNG" and self._head[_PNG_DEPTH] != 8:
            return None
        self._file.seek(0)
        return self._file.read()

    def close(self) -> None:
        """Close the file and free the decoded image."""
        self._image.close()
        self._file.close()

    def page(self, number: int, background: Colour) -> NDArray[np.uint8]:
        """Decode one page or frame (one-based) to upright RGB, uint8 (height, width, 3).

        Raises:
            ImageError: `truncated`, `corrupt`, `too_large`, `unsupported_mode`,
                `out_of_memory` or `unreadable`.
            UnreachableFrameError: this frame and all later ones cannot be decoded.
        """
        self._file.past_end = False  # identifying the format may have set it
        if self.frames > 1 or self._screen:
            self._seek(number)
        with self._explained("decode"):
            self._check_size()
            pixels = self._decode_directly(background)
            if pixels is None:
                pixels = upright(np.array(to_rgb(self._decode(), background)), self._image)
            return pixels

    def _decode_directly(self, background: Colour) -> NDArray[np.uint8] | None:
        size = self._file.size
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
            later = number < self.frames
            which = f"frames {number:,} to {self.frames:,}" if later else f"frame {number:,}"
            message = f"{which} cannot be decoded: {error.message}"
            raise UnreachableFrameError(error.code, message) from error

    def _check_size(self) -> None:
        check_pixels(*self._image.size, self._max_image_pixels)

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """Convert any exception of a decoder to an `ImageError`."""
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
            return ImageError(ErrorCode.TRUNCATED, "the file is too short")
        if isinstance(error, UnidentifiedImageError):
            return self._unidentified()
        if isinstance(error, NotImplementedError):
            return ImageError(ErrorCode.UNSUPPORTED_MODE, f"{error}; convert the image first")
        asked = doing == "identify" or not self._file.past_end
        return (self._unsupported() if asked else None) or self._cut_or_damaged(doing, error)

    def _unidentified(self) -> ImageError:
        kind = sniff(self._head)
        if kind is None:
            return ImageError(ErrorCode.NOT_AN_IMAGE, "the file is not an image in a known format")
        feature = _NEEDS_FEATURE.get(kind)
        if kind not in _formats() or (feature and not features.check(feature)):
            return ImageError(
                ErrorCode.UNSUPPORTED_FORMAT, f"{kind} is not supported; convert the file to PNG"
            )
        unsupported = self._unsupported()
        if unsupported is not None:
            return unsupported
        if self._ends_early(kind):
            return ImageError(ErrorCode.TRUNCATED, f"the file starts like {kind}, but is truncated")
        return ImageError(
            ErrorCode.CORRUPT, f"the file starts like {kind}, but its header is invalid"
        )

    def _unsupported(self) -> ImageError | None:
        """Return the error for an unsupported kind of the format, or None."""
        judge = _UNSUPPORTED.get(self._kind)
        past_end = self._file.past_end
        refusal = None
        with suppress(Exception):  # the header is damaged too
            refusal = judge(self._file) if judge else None
        self._file.past_end = past_end
        return refusal

    def _impossible_size(self) -> str | None:
        """Return what is wrong with a size that cannot be right, or None."""
        judge = _IMPOSSIBLE.get(self._kind or "DIB")  # a DIB has no signature
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
            reason = "the pixel data ends early"
        whole = is_whole(self._kind, self._file)
        if doing == "identify" and sniff(self._head):
            whole = not self._ends_early(self._kind)
        elif whole is None or (doing == "find" and past_end):  # a whole file may lack a frame
            whole = not past_end
        if whole:
            return ImageError(ErrorCode.CORRUPT, reason)
        return ImageError(ErrorCode.TRUNCATED, f"the file is truncated; {reason}")

    def _ends_early(self, kind: str) -> bool:
        """Return whether the decoder of this format, tried by itself, runs out of bytes."""
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
