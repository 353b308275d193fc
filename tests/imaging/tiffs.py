"""TIFF files of every kind that tifffile, imagecodecs and Pillow write, with the right pixels.

`python -m tests.imaging.tiffs` prints how many files of each kind are decoded and refused.
"""

import io
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
from PIL import Image

from ppcli.errors import ImageError
from ppcli.imaging.decode import pillow_limits
from ppcli.imaging.image_choices import WHITE
from ppcli.imaging.tiff import TiffSource
from tests.imaging.tiff_writing import (
    BYTE,
    HEIGHT,
    LONG,
    SHORT,
    WIDTH,
    Case,
    Tags,
    by_hand,
    by_pillow,
    cmyk,
    eight,
    grey,
    over_white,
    ramp,
    written,
)

LOSSLESS = (None, "lzw", "deflate", "packbits", "zstd")
ALPHAS = ("unassalpha", "assocalpha", "unspecified")
PLAIN_RGB: Tags = {258: (SHORT, [8] * 3), 262: (SHORT, [2]), 277: (SHORT, [3])}


def plain() -> Iterator[Case]:
    """Yield samples of 8 and 16 bits with all colours, byte orders, tilings and codecs."""
    layouts = [
        {"byteorder": order, "bigtiff": big, "tile": tile, "compression": compression}
        for order in "<>"
        for big in (False, True)
        for tile in (None, (16, 16))
        for compression in LOSSLESS
    ]
    for layout in layouts:
        for bits in (8, 16):
            yield from _grey_and_palette(bits, layout)
            for planar in ("contig", "separate"):
                yield from _colours(bits, planar, layout)


def _grey_and_palette(bits: int, layout: dict) -> Iterator[Case]:
    levels = ramp(bits, 1)[..., 0]
    shown = eight(levels, bits)
    for kind, right in {"minisblack": shown, "miniswhite": 255 - shown}.items():
        data = written(levels, photometric=kind, rowsperstrip=10, **layout)
        yield Case(kind, f"{bits} bits {layout}", data, grey(right))
    if bits == 8:
        colours = np.random.default_rng(3).integers(0, 1 << 16, (3, 256)).astype(np.uint16)
        data = written(levels, photometric="palette", colormap=colours, **layout)
        yield Case("palette", f"{layout}", data, (colours.T[levels] >> 8).astype(np.uint8))


def _colours(bits: int, planar: str, layout: dict) -> Iterator[Case]:
    def data(samples: np.ndarray, **options: object) -> bytes:
        planes = samples if planar == "contig" else np.moveaxis(samples, -1, 0)
        return written(planes, planarconfig=planar, rowsperstrip=10, **options, **layout)

    name = f"{bits} bits {planar} {layout}"
    colours, alpha = ramp(bits, 3), ramp(bits, 4)[..., 3:]
    yield Case("rgb", name, data(colours, photometric="rgb"), eight(colours, bits))
    inks = ramp(bits, 4)
    yield Case("cmyk", name, data(inks, photometric="separated"), cmyk(eight(inks, bits)))
    for extra in ALPHAS:
        for photometric, shown in {"rgb": colours, "minisblack": colours[..., :1]}.items():
            stored = np.minimum(shown, alpha) if extra == "assocalpha" else shown
            right = np.broadcast_to(eight(stored, bits), colours.shape)
            if extra != "unspecified":
                right = over_white(right, eight(alpha, bits), extra == "assocalpha")
            samples = np.concatenate([stored, alpha], axis=2)
            file = data(samples, photometric=photometric, extrasamples=[extra])
            yield Case(f"{photometric}+alpha", f"{extra} {name}", file, right, off=1)


def packed(levels: np.ndarray, bits: int) -> bytes:
    """Pack samples, high bits first, each row starting at a new byte."""
    rows = levels.reshape(len(levels), -1)
    each = (rows[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(each.reshape(len(rows), -1).astype(bool), axis=1).tobytes()


def depths() -> Iterator[Case]:
    """Yield grey and RGB of 1 to 16 bits, uncompressed and deflated."""
    for bits in range(1, 17):
        for channels, kind in ((1, 1), (1, 0), (3, 2)):
            levels = ramp(bits, channels)
            right = eight(levels, bits)
            right = grey(255 - right if kind == 0 else right) if channels == 1 else right
            for order in "<>":
                stored = packed(levels, bits)
                if bits == 16:
                    stored = levels.astype(f"{order}u2").tobytes()
                for compression, strip in ((1, stored), (8, zlib.compress(stored))):
                    tags = {258: (SHORT, [bits] * channels), 262: (SHORT, [kind])}
                    tags |= {277: (SHORT, [channels]), 259: (SHORT, [compression])}
                    name = f"{bits} bits, photometric {kind}, compression {compression}, {order}"
                    yield Case("depths", name, by_hand(tags, [strip], order), right)


def refused() -> Iterator[Case]:
    """Yield samples without an unambiguous conversion to 8 bits, and unsupported colour spaces."""
    kinds = ("f2", "f4", "f8", "i1", "i2", "i4", "u4", "i8", "u8")
    arrays = [(ramp(8, 1)[..., 0].astype(kind), "minisblack") for kind in kinds]
    arrays += [(ramp(8, 3).astype("f4"), "rgb"), (ramp(8, 3), "cielab"), (ramp(16, 3), "cielab")]
    for order, compression in product("<>", (None, "deflate", "lzw")):
        for array, photometric in arrays:
            options = {"byteorder": order, "compression": compression}
            data = written(array, photometric=photometric, **options)
            yield Case("unsupported", f"{photometric} {array.dtype} {options}", data, None)
    yield Case("unsupported", "Pillow's LAB", by_pillow(Image.new("LAB", (9, 9))), None)
    masked = {258: (SHORT, [1]), 262: (SHORT, [4])}
    yield Case("unsupported", "a mask", by_hand(masked, [bytes(HEIGHT * 6)]), None)
    inks = {258: (SHORT, [8] * 4), 262: (SHORT, [5]), 277: (SHORT, [4]), 332: (SHORT, [2])}
    yield Case("unsupported", "other inks", by_hand(inks, [bytes(HEIGHT * WIDTH * 4)]), None)
    uneven = {258: (SHORT, [5, 6, 5]), 262: (SHORT, [2]), 277: (SHORT, [3])}
    yield Case("unsupported", "5-6-5 bits", by_hand(uneven, [bytes(HEIGHT * WIDTH * 2)]), None)
    unsaid = {258: (SHORT, [8, 8]), 262: (SHORT, [1]), 277: (SHORT, [2])}
    yield Case(
        "unsupported", "an unsaid sample", by_hand(unsaid, [bytes(HEIGHT * WIDTH * 2)]), None
    )


def turns() -> Iterator[Case]:
    """Yield every orientation, in every tag type that occurs."""
    ways: dict[int, Callable[[np.ndarray], np.ndarray]] = {
        1: lambda pixels: pixels,
        2: np.fliplr,
        3: lambda pixels: np.rot90(pixels, 2),
        4: np.flipud,
        5: lambda pixels: np.rot90(np.fliplr(pixels), 1),
        6: lambda pixels: np.rot90(pixels, -1),
        7: lambda pixels: np.rot90(np.fliplr(pixels), -1),
        8: lambda pixels: np.rot90(pixels, 1),
    }
    for turn, way in ways.items():
        levels = ramp(8, 3)
        for kind, order in product((BYTE, SHORT, LONG), "<>"):
            data = by_hand(PLAIN_RGB | {274: (kind, [turn])}, [levels.tobytes()], order)
            yield Case("orientation", f"{turn} type {kind} {order}", data, way(levels))
        tags = {258: (SHORT, [16]), 262: (SHORT, [0]), 274: (SHORT, [turn])}
        data = by_hand(tags, [ramp(16, 1).tobytes()])
        right = way(grey(255 - eight(ramp(16, 1), 16)))
        yield Case("orientation", f"{turn} of 16 bits", data, right)
        image = Image.fromarray(levels)
        for compression, options in {"tiff_lzw": {}, "jpeg": {"quality": 100}}.items():
            data = by_pillow(image, compression=compression, tiffinfo={274: turn}, **options)
            off = 12 if options else 0
            yield Case("orientation", f"{turn} {compression}", data, way(levels), off)
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    data = by_hand(PLAIN_RGB | {700: (BYTE, list(xmp))}, [ramp(8, 3).tobytes()])
    yield Case("orientation", "in XMP alone", data, ramp(8, 3))


def palettes() -> Iterator[Case]:
    """Yield palettes with few colours, and with 8-bit colours."""
    for bits, order, top in product((1, 2, 4, 8), "<>", (255, 65535)):
        colours = np.random.default_rng(bits).integers(0, top + 1, (3, 1 << bits))
        levels = ramp(bits, 1)[..., 0]
        tags = {258: (SHORT, [bits]), 262: (SHORT, [3])}
        tags |= {320: (SHORT, colours.reshape(-1).tolist())}
        right = (colours.T[levels] >> (8 if top > 255 else 0)).astype(np.uint8)
        data = by_hand(tags, [packed(levels, bits)], order)
        yield Case("palette", f"{bits} bits up to {top} {order}", data, right)


def fill_orders() -> Iterator[Case]:
    """Yield data with the low bits of each byte first."""
    for bits in (1, 2, 4, 8):
        levels = ramp(bits, 1)[..., 0]
        plain_bits = np.frombuffer(packed(levels, bits), np.uint8)
        turned_bits = np.packbits(np.unpackbits(plain_bits, bitorder="little"))
        for fill, stored in ((1, plain_bits), (2, turned_bits)):
            for kind in (0, 1):
                tags = {258: (SHORT, [bits]), 262: (SHORT, [kind]), 266: (SHORT, [fill])}
                right = eight(levels, bits) if kind else 255 - eight(levels, bits)
                data = by_hand(tags, [stored.tobytes()])
                yield Case("fill order", f"{fill} {kind} {bits} bits", data, grey(right))


def ycbcr() -> Iterator[Case]:
    """Yield uncompressed YCbCr with subsampled colours, stored block by block."""
    height, width = 32, 48
    chance = np.random.default_rng(5)
    sizes = {256: (SHORT, [width]), 257: (SHORT, [height]), 278: (SHORT, [height])}
    for across, down in ((1, 1), (2, 1), (4, 1), (2, 2), (4, 2), (4, 4)):
        small = (height // down, width // across)
        planes = [chance.integers(16, 235, (height, width))]
        planes += [chance.integers(90, 160, small) for _ in range(2)]
        blocks = planes[0].reshape(small[0], down, small[1], across).transpose(0, 2, 1, 3)
        units = [blocks.reshape(*small, -1), planes[1][..., None], planes[2][..., None]]
        strip = np.concatenate(units, axis=2).astype(np.uint8).tobytes()
        whole = [one.repeat(down, axis=0).repeat(across, axis=1) for one in planes[1:]]
        stored = np.stack([planes[0], *whole], axis=-1).astype(np.uint8)
        right = np.asarray(Image.fromarray(stored, "YCbCr").convert("RGB"))
        tags = sizes | PLAIN_RGB | {262: (SHORT, [6]), 530: (SHORT, [across, down])}
        for order in "<>":
            data = by_hand(tags, [strip], order)
            yield Case("ycbcr", f"raw {across}×{down} {order}", data, right, off=2)


CODECS = {
    "jpeg": 12,
    "jpegxr": 2,
    "webp": 0,
    "jpeg2000": 0,
    "png": 0,
    "jpegxl": 0,
    "lerc": 0,
    "lzma": 0,
}
COLOURS = ((1, "minisblack"), (3, "rgb"), (3, "ycbcr"))


def codecs() -> Iterator[Case]:
    """Yield image codecs in TIFF, encoded by imagecodecs; smooth, so that JPEG loses little."""
    for order, big, bits in product("<>", (False, True), (8, 16)):
        for codec, (channels, photometric) in product(CODECS, COLOURS):
            if codec == "jpeg2000" and bits == 16 and order == ">":
                continue  # tifffile writes their bytes the wrong way round
            levels = ramp(bits, channels, 64, 64)
            options = {"compressionargs": {"level": 98}} if codec == "jpeg" else {}
            options |= {"compression": codec, "byteorder": order, "bigtiff": big, "tile": (32, 32)}
            array = levels[..., 0] if channels == 1 else levels
            try:
                data = written(array, photometric=photometric, **options)
            except Exception:  # it does not write this one
                continue
            right = eight(levels, bits)
            if photometric == "ycbcr":
                right = np.asarray(Image.fromarray(right, "YCbCr").convert("RGB"))
            name = f"{codec} {photometric} {bits} bits {order} {big}"
            off = CODECS[codec] + (photometric == "ycbcr")
            yield Case("codecs", name, data, grey(right) if channels == 1 else right, off)


MODES = (
    *("1", "L", "LA", "P", "PA", "I;16", "I;16B", "I", "F"),
    *("RGB", "RGBA", "RGBX", "CMYK", "YCbCr"),
)
FAX = ("tiff_ccitt", "group3", "group4")
COMPRESSIONS = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "lzma", "jpeg", *FAX)
NOT_IN_JPEG = ("1", "P", "PA", "I;16", "I;16B", "I", "F")


def pillows() -> Iterator[Case]:
    """Yield what Pillow writes."""
    for mode, compression in product(MODES, COMPRESSIONS):
        if (compression == "jpeg" and mode in NOT_IN_JPEG) or (compression in FAX and mode != "1"):
            continue
        image = _of_mode(mode)
        data = by_pillow(image, compression=compression)
        right: np.ndarray | None = None
        if mode.startswith("I;"):
            right = grey(eight(ramp(16, 1), 16))
        elif mode in ("RGBA", "LA"):
            bands = np.asarray(image)
            colours = np.broadcast_to(bands[..., :-1], (*bands.shape[:2], 3))
            right = over_white(colours, bands[..., -1])
        elif mode not in ("I", "F", "PA"):
            right = np.asarray(image.convert("RGB"))
        yield Case(
            "Pillow", f"{mode} {compression}", data, right, 40 if compression == "jpeg" else 1
        )


def _of_mode(mode: str) -> Image.Image:
    if mode.startswith("I;"):
        kind = ">u2" if mode == "I;16B" else "<u2"
        return Image.frombytes(mode, (WIDTH, HEIGHT), ramp(16, 1).astype(kind).tobytes())
    image = Image.fromarray(ramp(8, 3)).convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(ramp(8, 4)[..., 3]))
    return image


def cases() -> Iterator[Case]:
    """Yield all files."""
    for make in (plain, depths, palettes, fill_orders, ycbcr, turns, codecs, pillows, refused):
        yield from make()


def outcome(case: Case) -> str:
    """Return `right`, the error code, or `WRONG` and the difference."""
    file = io.BufferedReader(io.BytesIO(case.data))  # type: ignore[arg-type]
    try:
        found = TiffSource(file, 1 << 28).page(1, WHITE)
    except ImageError as error:
        return error.code.value
    if case.right is None:
        return "WRONG: not refused"
    if found.shape != case.right.shape:
        return f"WRONG: {found.shape}"
    apart = int(np.abs(found.astype(int) - case.right).max())
    return "right" if apart <= case.off else f"WRONG: {apart} levels"


def table() -> dict[str, Counter[str]]:
    """Count the outcomes by kind."""
    counts: dict[str, Counter[str]] = {}
    with pillow_limits(1 << 28):
        for case in cases():
            counts.setdefault(case.kind, Counter())[outcome(case).split(":")[0]] += 1
    return counts


def main() -> None:
    """Print the table, and with `-v` each file that is not right."""
    if "-v" in sys.argv:
        with pillow_limits(1 << 28):
            for case in cases():
                if (what := outcome(case)) != "right":
                    sys.stdout.write(f"{case.kind}: {case.name}: {what}\n")
    for kind, found in table().items():
        refusals = sum(found.values()) - found["right"] - found["WRONG"]
        sys.stdout.write(
            f"{kind:16} {sum(found.values()):5} files {found['right']:5} right "
            f"{refusals:5} refused {found['WRONG']:5} wrong\n"
        )


if __name__ == "__main__":
    main()
