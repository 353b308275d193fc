"""The pixels of one TIFF page.

Pillow (libtiff) decodes the kinds that it gets right. The samples of the others come from tifffile,
which needs imagecodecs for most compressions. What neither has is refused: no page is guessed at.
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
_OF_LIBTIFF = frozenset({1, 2, 3, 4, 5, 6, _JPEG, 8, 32946, 32773, 34925, 50000})
_ORIENTATION, _INK_SET, _CMYK_INKS = 274, 332, 1
_MOST_BITS = 16


def check_kind(page: tifffile.TiffPage) -> None:
    """Refuse pages that have no one way to RGB with 8 bits.

    Raises:
        ImageError: `unsupported_mode`.
    """
    reason = _unsupported(page)
    if reason:
        raise ImageError(ErrorCode.UNSUPPORTED_MODE, f"{reason}; convert the image first")


def _unsupported(page: tifffile.TiffPage) -> str:
    """Why a page is refused; empty where it is not."""
    kind, bits = page.photometric, _bits(page)
    if kind not in _COLOURS:
        return f"the colours are {_NAMES.get(kind, f'of kind {kind}')}, which is not read"
    extra = page.samplesperpixel - _COLOURS[kind]
    one_of_colour = kind in (_PALETTE, _YCBCR)
    reasons = [
        (
            set(np.atleast_1d(page.sampleformat)) != {_UNSIGNED},
            "the samples are not unsigned whole numbers, which have no one way to 8 bits",
        ),
        (bits is None, f"the samples have {page.bitspersample} bits, not all the same number"),
        (
            (bits or 0) > (8 if one_of_colour else _MOST_BITS),
            f"the samples have {bits} bits, of which it is not known which 8 are meant",
        ),
        (
            extra < 0 or (one_of_colour and extra > 0),
            f"it has {page.samplesperpixel} samples a pixel, which does not suit its colours",
        ),
        (
            extra > 0 and not page.extrasamples and kind != _RGB,
            "it has a sample more than its colours, and does not say what for",
        ),
        (
            kind == _CMYK and _alpha(page) is not None,
            "its CMYK colours are partly transparent",
        ),
        (
            kind == _CMYK and page.tags.valueof(_INK_SET, _CMYK_INKS) != _CMYK_INKS,
            "its inks are others than cyan, magenta, yellow and black",
        ),
        (kind == _PALETTE and page.colormap is None, "its palette has no colours"),
        (page.imagedepth > 1, "the page is a volume"),
    ]
    return next((reason for holds, reason in reasons if holds), "")


def _bits(page: tifffile.TiffPage) -> int | None:
    """Of each sample; None when they differ."""
    bits: set[int] = set(np.atleast_1d(page.bitspersample).tolist())
    return bits.pop() if len(bits) == 1 else None


def pixels_of(page: tifffile.TiffPage, file: BinaryIO, background: Colour) -> NDArray[np.uint8]:
    """Decode a page to upright RGB, uint8 (height, width, 3).

    Args:
        page: that `check_kind` takes, with all its data there.
        file: in which it is the first page.
        background: what shows behind transparent pixels.

    Raises:
        ImageError: `unsupported_mode`.
        Exception: whatever the decoders raise.
    """
    if _pillow_is_right(page):
        image = _loaded(file)
    elif _pillow_has_levels(page):
        image = _of_samples(page, np.asarray(_loaded(file))[..., None])
    else:
        image = _of_samples(page, _samples(page))
    pixels = np.array(to_rgb(_coloured(page, image), background))
    return turned(pixels, _orientation(page))


def _orientation(page: tifffile.TiffPage) -> int:
    """As EXIF has it; also where it is written in another type than it should be."""
    value = page.tags.valueof(_ORIENTATION, 1)
    value = value[0] if isinstance(value, bytes | tuple) and len(value) else value
    return value if isinstance(value, int) else 1


def _pillow_is_right(page: tifffile.TiffPage) -> bool:
    """Whether Pillow is known to give the right pixels: the tests try every kind named here."""
    kind, bits = page.photometric, _bits(page)
    extra = page.samplesperpixel - _COLOURS[kind]
    undeclared = bool(extra) and not page.extrasamples
    if not _pillow_takes(page) or extra > 1 or (undeclared and page.planarconfig == _SEPARATE):
        return False
    if kind in (_WHITE_IS_ZERO, _BLACK_IS_ZERO):
        if extra:
            known = page.extrasamples == (_UNASSOCIATED,) and page.planarconfig != _SEPARATE
            return kind == _BLACK_IS_ZERO and bits == 8 and known
        return bits in (1, 2, 4, 8) or (kind == _BLACK_IS_ZERO and bits == 16)
    if kind == _PALETTE:
        return bits in (1, 2, 4, 8)
    return bits in (8, 16)


def _pillow_has_levels(page: tifffile.TiffPage) -> bool:
    """Whether Pillow gives grey levels as they are stored, which says nothing of what they mean."""
    stored = (page.photometric, _bits(page)) in ((_BLACK_IS_ZERO, 12), (_WHITE_IS_ZERO, 16))
    one = page.samplesperpixel == 1 and page.parent.byteorder == "<"
    return stored and one and _pillow_takes(page)


def _pillow_takes(page: tifffile.TiffPage) -> bool:
    """Whether Pillow reads such a file at all: it takes big-endian BigTIFF for something else.

    libtiff wants all bytes that a strip claims, though its rows may need less.
    """
    ends = [sum(pair) for pair in zip(page.dataoffsets, page.databytecounts, strict=False)]
    whole = max(ends, default=0) <= page.parent.filehandle.size
    other = page.parent.is_bigtiff and page.parent.byteorder == ">"
    return page.compression in _OF_LIBTIFF and whole and not other


def _loaded(file: BinaryIO) -> Image.Image:
    """The page as Pillow has it, decoded by libtiff whatever its compression."""
    with _by_libtiff():
        file.seek(0)
        image = Image.open(file, formats=["TIFF"])
    image.load()
    return image


@contextmanager
def _by_libtiff() -> Iterator[None]:
    before = TiffImagePlugin.READ_LIBTIFF
    TiffImagePlugin.READ_LIBTIFF = True
    try:
        yield
    finally:
        TiffImagePlugin.READ_LIBTIFF = before


def _samples(page: tifffile.TiffPage) -> Samples:
    """What tifffile decodes: unsigned, (height, width, samples).

    Raises:
        ImageError: `unsupported_mode` when it lacks the decoder.
    """
    try:
        samples = page.asarray()
    except (ValueError, NotImplementedError, ImportError) as error:
        if "not supported" in str(error):
            message = f"compression {page.compression!r} has no decoder here; convert the image"
            raise ImageError(ErrorCode.UNSUPPORTED_MODE, message) from error
        if isinstance(error, ImportError) or "imagecodecs" in str(error):
            name = getattr(page.compression, "name", page.compression)
            raise ImageError(
                ErrorCode.UNSUPPORTED_MODE,
                f"pages like this, of {_bits(page)} bits and compression {name}, need imagecodecs: "
                'pip install "pixelprune[codecs]"',
            ) from error
        raise
    if page.planarconfig == _SEPARATE and page.samplesperpixel > 1:
        samples = np.moveaxis(samples, 0, -1)
    return samples.reshape(page.imagelength, page.imagewidth, page.samplesperpixel)


def _of_samples(page: tifffile.TiffPage, samples: Samples) -> Image.Image:
    """An image of 8 bits a sample: the colours, and the alpha channel if there is one.

    Raises:
        ImageError: `unsupported_mode` for YCbCr, but for JPEG's, which tifffile makes RGB.
    """
    kind, colours = page.photometric, _COLOURS[page.photometric]
    if kind == _PALETTE:
        return Image.fromarray(samples[..., 0].astype(np.uint8), "P")
    if kind == _YCBCR and page.compression != _JPEG:
        raise ImageError(
            ErrorCode.UNSUPPORTED_MODE, "YCbCr of this kind is not read; convert it first"
        )
    shown = _eight_bits(samples, _bits(page) or 0)
    if kind == _WHITE_IS_ZERO:
        shown[..., 0] = 255 - shown[..., 0]
    alpha = _alpha(page)
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[colours]
    if alpha is not None:
        mode += "a" if page.extrasamples[alpha : alpha + 1] == (_ASSOCIATED,) else "A"
        shown = shown[..., [*range(colours), colours + alpha]]
    shown = np.ascontiguousarray(shown[..., : len(mode)])
    return Image.frombytes(mode, (page.imagewidth, page.imagelength), shown.tobytes())


def _alpha(page: tifffile.TiffPage) -> int | None:
    """Which of the extra samples is the alpha channel; of RGB also one that is not declared."""
    if page.photometric == _RGB and not page.extrasamples and page.samplesperpixel == 4:
        return 0
    kinds = [kind in (_ASSOCIATED, _UNASSOCIATED) for kind in page.extrasamples]
    return kinds.index(True) if any(kinds) else None


def _coloured(page: tifffile.TiffPage, image: Image.Image) -> Image.Image:
    """Indices as the colours that they stand for; some writers give those 8 bits, not 16.

    Raises:
        ImageError: `corrupt` for an index without a colour.
    """
    if page.photometric != _PALETTE:
        return image
    colours = np.asarray(page.colormap).T
    table = (colours >> 8 if colours.max(initial=0) > 255 else colours).astype(np.uint8)
    indices = np.asarray(image)
    if indices.max(initial=0) >= len(table):
        raise ImageError(ErrorCode.CORRUPT, f"it uses more than the {len(table)} colours it has")
    return Image.fromarray(table[indices])


def _eight_bits(samples: Samples, bits: int) -> NDArray[np.uint8]:
    """More bits lose the low ones, fewer are spread from 0 to 255."""
    if bits >= 8:
        return (samples >> (bits - 8)).astype(np.uint8)
    most = (1 << bits) - 1
    return ((samples.astype(np.uint16) * 255 + most // 2) // most).astype(np.uint8)
