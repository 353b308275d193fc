"""Decodes one TIFF page.

Pillow (libtiff) decodes the kinds for which its pixels are known to be right. The samples of other
kinds come from tifffile, which needs imagecodecs for most compressions. Kinds that neither
decodes unambiguously are refused.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from ppcli.errors import ErrorCode, ImageError
from ppcli.imaging.colour import to_rgb, turned
from ppcli.imaging.image_choices import Colour

Samples = NDArray[Any]

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}
_NAMES = {4: "a mask", 8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*", 32803: "a colour filter"}
_UNSIGNED, _SEPARATE = 1, 2
_ASSOCIATED, _UNASSOCIATED = 1, 2
_JPEG = 7
# none, CCITT, LZW, both JPEG, both Deflate, PackBits, LZMA, Zstandard
_LIBTIFF_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 6, _JPEG, 8, 32946, 32773, 34925, 50000})
_ORIENTATION, _INK_SET, _CMYK_INKS = 274, 332, 1
_MAX_BITS = 16


def check_kind(page: tifffile.TiffPage) -> None:
    """Refuse pages without an unambiguous conversion to 8-bit RGB.

    Raises:
        ImageError: `unsupported_mode`.
    """
    reason = _unsupported(page)
    if reason:
        raise ImageError(ErrorCode.UNSUPPORTED_MODE, f"{reason}; convert the image first")


def _unsupported(page: tifffile.TiffPage) -> str:
    """Return why a page is not supported, or an empty string."""
    kind, bits = page.photometric, _bits(page)
    if kind not in _COLOURS:
        return f"the colour space is not supported ({_NAMES.get(kind, f'photometric {kind}')})"
    extra = page.samplesperpixel - _COLOURS[kind]
    is_fixed = kind in (_PALETTE, _YCBCR)
    reasons = [
        (
            set(np.atleast_1d(page.sampleformat)) != {_UNSIGNED},
            "only unsigned integer samples have an unambiguous conversion to 8 bits",
        ),
        (bits is None, f"the samples have different numbers of bits, {page.bitspersample}"),
        (
            (bits or 0) > (8 if is_fixed else _MAX_BITS),
            f"samples of {bits} bits have no unambiguous conversion to 8 bits",
        ),
        (
            extra < 0 or (is_fixed and extra > 0),
            f"{page.samplesperpixel} samples per pixel do not match the colour space",
        ),
        (
            extra > 0 and not page.extrasamples and kind != _RGB,
            "the meaning of an extra sample is not declared",
        ),
        (
            kind == _CMYK and _alpha(page) is not None,
            "CMYK with transparency is not supported",
        ),
        (
            kind == _CMYK and page.tags.valueof(_INK_SET, _CMYK_INKS) != _CMYK_INKS,
            "inks other than cyan, magenta, yellow and black are not supported",
        ),
        (kind == _PALETTE and page.colormap is None, "the palette is missing"),
        (page.imagedepth > 1, "the page is a volume"),
    ]
    return next((reason for holds, reason in reasons if holds), "")


def _bits(page: tifffile.TiffPage) -> int | None:
    """Return the bits per sample, or None if they differ."""
    bits: set[int] = set(np.atleast_1d(page.bitspersample).tolist())
    return bits.pop() if len(bits) == 1 else None


def pixels_of(page: tifffile.TiffPage, file: BinaryIO, background: Colour) -> NDArray[np.uint8]:
    """Decode a page to upright RGB, uint8 (height, width, 3).

    Args:
        page: a page that `check_kind` accepts, with complete data.
        file: a file whose first page it is.
        background: the colour behind transparent pixels.

    Raises:
        ImageError: `unsupported_mode`.
        Exception: any exception of the decoders.
    """
    if _pillow_is_right(page):
        image = _load_with_pillow(file)
    elif _pillow_keeps_levels(page):
        image = _from_samples(page, np.asarray(_load_with_pillow(file))[..., None])
    else:
        image = _from_samples(page, _samples(page))
    pixels = np.array(to_rgb(_apply_palette(page, image), background))
    return turned(pixels, _orientation(page))


def _orientation(page: tifffile.TiffPage) -> int:
    """Return the EXIF orientation, even if the tag has the wrong type."""
    value = page.tags.valueof(_ORIENTATION, 1)
    value = value[0] if isinstance(value, bytes | tuple) and len(value) else value
    return value if isinstance(value, int) else 1


def _pillow_is_right(page: tifffile.TiffPage) -> bool:
    """Return whether Pillow's pixels are right; the tests cover every kind listed here."""
    kind, bits = page.photometric, _bits(page)
    extra = page.samplesperpixel - _COLOURS[kind]
    undeclared = bool(extra) and not page.extrasamples
    if not _pillow_opens(page) or extra > 1 or (undeclared and page.planarconfig == _SEPARATE):
        return False
    if kind in (_WHITE_IS_ZERO, _BLACK_IS_ZERO):
        if extra:
            known = page.extrasamples == (_UNASSOCIATED,) and page.planarconfig != _SEPARATE
            return kind == _BLACK_IS_ZERO and bits == 8 and known
        return bits in (1, 2, 4, 8) or (kind == _BLACK_IS_ZERO and bits == 16)
    if kind == _PALETTE:
        return bits in (1, 2, 4, 8)
    return bits in (8, 16)


def _pillow_keeps_levels(page: tifffile.TiffPage) -> bool:
    """Return whether Pillow returns the stored grey levels, without interpreting them."""
    is_raw = (page.photometric, _bits(page)) in ((_BLACK_IS_ZERO, 12), (_WHITE_IS_ZERO, 16))
    is_grey = page.samplesperpixel == 1 and page.parent.byteorder == "<"
    return is_raw and is_grey and _pillow_opens(page)


def _pillow_opens(page: tifffile.TiffPage) -> bool:
    """Return whether Pillow opens the file; it mistakes big-endian BigTIFF for another format.

    libtiff needs all declared bytes of a strip, even if its rows need fewer.
    """
    ends = [sum(pair) for pair in zip(page.dataoffsets, page.databytecounts, strict=False)]
    is_complete = max(ends, default=0) <= page.parent.filehandle.size
    is_big_endian_bigtiff = page.parent.is_bigtiff and page.parent.byteorder == ">"
    return page.compression in _LIBTIFF_COMPRESSIONS and is_complete and not is_big_endian_bigtiff


def _load_with_pillow(file: BinaryIO) -> Image.Image:
    """Decode the page with Pillow, which uses libtiff for every compression here."""
    with _libtiff_for_all():
        file.seek(0)
        image = Image.open(file, formats=["TIFF"])
    image.load()
    return image


@contextmanager
def _libtiff_for_all() -> Iterator[None]:
    before = TiffImagePlugin.READ_LIBTIFF
    TiffImagePlugin.READ_LIBTIFF = True
    try:
        yield
    finally:
        TiffImagePlugin.READ_LIBTIFF = before


def _samples(page: tifffile.TiffPage) -> Samples:
    """Decode with tifffile: unsigned, (height, width, samples).

    Raises:
        ImageError: `unsupported_mode`, if there is no decoder.
    """
    try:
        samples = page.asarray()
    except (ValueError, NotImplementedError, ImportError) as error:
        if "not supported" in str(error):
            message = f"compression {page.compression!r} is not supported; convert the image"
            raise ImageError(ErrorCode.UNSUPPORTED_MODE, message) from error
        if isinstance(error, ImportError) or "imagecodecs" in str(error):
            name = getattr(page.compression, "name", page.compression)
            raise ImageError(
                ErrorCode.UNSUPPORTED_MODE,
                f"a page with {_bits(page)} bits and compression {name} needs imagecodecs: "
                'pip install "pixelprune[codecs]"',
            ) from error
        raise
    if page.planarconfig == _SEPARATE and page.samplesperpixel > 1:
        samples = np.moveaxis(samples, 0, -1)
    return samples.reshape(page.imagelength, page.imagewidth, page.samplesperpixel)


def _from_samples(page: tifffile.TiffPage, samples: Samples) -> Image.Image:
    """Convert samples to an image with 8 bits per channel, with alpha if there is any.

    Raises:
        ImageError: `unsupported_mode` for YCbCr, except in JPEG, which tifffile converts to RGB.
    """
    kind, colours = page.photometric, _COLOURS[page.photometric]
    if kind == _PALETTE:
        return Image.fromarray(samples[..., 0].astype(np.uint8), "P")
    if kind == _YCBCR and page.compression != _JPEG:
        raise ImageError(
            ErrorCode.UNSUPPORTED_MODE,
            "YCbCr with this compression is not supported; convert the image first",
        )
    channels = _eight_bits(samples, _bits(page) or 0)
    if kind == _WHITE_IS_ZERO:
        channels[..., 0] = 255 - channels[..., 0]
    alpha = _alpha(page)
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[colours]
    if alpha is not None:
        mode += "a" if page.extrasamples[alpha : alpha + 1] == (_ASSOCIATED,) else "A"
        channels = channels[..., [*range(colours), colours + alpha]]
    channels = np.ascontiguousarray(channels[..., : len(mode)])
    return Image.frombytes(mode, (page.imagewidth, page.imagelength), channels.tobytes())


def _alpha(page: tifffile.TiffPage) -> int | None:
    """Return the index of the extra sample that is alpha; for RGB it may be undeclared."""
    if page.photometric == _RGB and not page.extrasamples and page.samplesperpixel == 4:
        return 0
    kinds = [kind in (_ASSOCIATED, _UNASSOCIATED) for kind in page.extrasamples]
    return kinds.index(True) if any(kinds) else None


def _apply_palette(page: tifffile.TiffPage, image: Image.Image) -> Image.Image:
    """Replace indices by colours; some writers store 8 bits per colour instead of 16.

    Raises:
        ImageError: `corrupt`, for an index beyond the palette.
    """
    if page.photometric != _PALETTE:
        return image
    colours = np.asarray(page.colormap).T
    table = (colours >> 8 if colours.max(initial=0) > 255 else colours).astype(np.uint8)
    indices = np.asarray(image)
    if indices.max(initial=0) >= len(table):
        raise ImageError(
            ErrorCode.CORRUPT, f"an index is beyond the palette of {len(table)} colours"
        )
    return Image.fromarray(table[indices])


def _eight_bits(samples: Samples, bits: int) -> NDArray[np.uint8]:
    """Drop the low bits of deep samples, and scale shallow ones to the full range."""
    if bits >= 8:
        return (samples >> (bits - 8)).astype(np.uint8)
    most = (1 << bits) - 1
    return ((samples.astype(np.uint16) * 255 + most // 2) // most).astype(np.uint8)
