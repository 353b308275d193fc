"""PNG, JPEG, WebP, AVIF, JPEG 2000, GIF and BMP of every kind that the tests can write.

`python -m tests.imaging.formats` prints how many files of each format are decoded and refused.
"""

import itertools
import sys
import tempfile
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np
import simplejpeg
from PIL import Image

from ppcli.errors import ErrorCode, ImageError
from ppcli.files import LocalFile
from ppcli.imaging.decode import ImageSource, pillow_limits
from tests.imaging.encoders import bmp, bmp_rows, by_pillow, gif, png

HEIGHT, WIDTH = 13, 21
BACKGROUND = (20, 150, 240)
LIMIT = 1 << 26
REFUSALS = (ErrorCode.UNSUPPORTED_MODE, ErrorCode.UNSUPPORTED_FORMAT)

# With arithmetic coding, which nothing here writes: a ramp of grey, and progressive colours.
ARITHMETIC = {
    "L": (
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsL"
        "EBYQERMUFRUVDA8XGBYUGBIUFRT/yQALCAAQABgBAREA/8wABgAQEAX/2gAIAQEAAD8A/wDkS3wYw3QL6S99WscsNPDH"
        "hw77mPAPdb+L1tOg/9k="
    ),
    "RGB": (
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsL"
        "EBYQERMUFRUVDA8XGBYUGBIUFRT/2wBDAQMEBAUEBQkFBQkUDQsNFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU"
        "FBQUFBQUFBQUFBQUFBQUFBQUFBT/ygARCAAQABgDASIAAhEBAxEB/8wABgAQARD/2gAMAwEAAhADEAAAAf8Aut+DOmqR"
        "VxqcwkCmV9iKDP/MAAQQBf/aAAgBAQABBQIa5nmQhn1z+SYRgP/MAAQRBf/aAAgBAwEBPwEWXMU1y9AvfloQ/8wABBEF"
        "/9oACAECAQE/ATsDDmdrTSyiwID/zAAEEAX/2gAIAQEABj8CXhPy/8wABBAF/9oACAEBAAE/IUzUWP/MAAL/2gAMAwEA"
        "AgADAAAAEB4Q/8wABBEF/9oACAEDAQE/EKlgYP/MAAQRBf/aAAgBAgEBPxCpCMD/zAAEEAX/2gAIAQEAAT8Qqhxg7dsA"
        "yS3/2Q=="
    ),
}


class Case(NamedTuple):
    """A file, its pixels in RGB uint8, and their tolerance."""

    name: str
    data: bytes
    pixels: np.ndarray
    bound: int = 0


def samples(channels: int, bits: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return noise that includes both ends of the range, (height, width, channels)."""
    chance = np.random.default_rng(bits * 10 + channels)
    made = chance.integers(0, 1 << bits, (height, width, channels))
    made[0, 0], made[0, 1] = 0, (1 << bits) - 1
    return made


def smooth(channels: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Return a smooth image that a lossy codec preserves, uint8 (height, width, channels)."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (9 + k)) * np.cos(y / (7 + 2 * k)) for k in range(channels)]
    return np.rint(127.5 + 120 * np.dstack(waves)).astype(np.uint8)


def eight_bits(made: np.ndarray, bits: int) -> np.ndarray:
    """Convert samples to 8 bits: drop low bits, or scale to 255."""
    return made >> bits - 8 if bits > 8 else made * 255 // ((1 << bits) - 1)


def shown(channels: np.ndarray) -> np.ndarray:
    """Composite 8-bit grey or RGB, with or without alpha, on the background."""
    channels = np.asarray(channels, dtype=np.int64)
    if channels.shape[2] in (1, 3):
        return np.broadcast_to(channels, (*channels.shape[:2], 3)).astype(np.uint8)
    colour, alpha = channels[..., :-1], channels[..., -1:]
    mixed = colour * alpha + np.array(BACKGROUND) * (255 - alpha)
    return np.rint(mixed / 255).astype(np.uint8)


def png_cases() -> Iterator[Case]:
    kinds = {0: (1, (1, 2, 4, 8, 16)), 2: (3, (8, 16)), 3: (1, (1, 2, 4, 8))}
    kinds |= {4: (2, (8, 16)), 6: (4, (8, 16))}
    for kind, (channels, depths) in kinds.items():
        for bits, interlaced, keyed in itertools.product(depths, (False, True), (False, True)):
            if keyed and kind in (4, 6):
                continue
            made = samples(channels, bits)
            palette = samples(3, 8, 1, 1 << bits)[0] if kind == 3 else None
            key = made[5, 5]
            if kind == 3:
                table = np.dstack([palette[None], np.full((1, 1 << bits, 1), 255)])[0]
                table[: 1 << bits - 1, 3] = np.arange(1 << bits - 1) * keyed + 255 * (not keyed)
                levels = table[made[..., 0]]
                clear = table[: 1 << bits - 1, 3].astype(np.uint8).tobytes()
            else:
                levels = eight_bits(made, bits)
                clear = key.astype(">u2").tobytes()
                if keyed:
                    alpha = np.where((made == key).all(axis=2), 0, 255)
                    levels = np.dstack([levels, alpha])
            data = png(
                made,
                bits,
                kind,
                interlaced,
                b"" if palette is None else palette.astype(np.uint8).tobytes(),
                clear if keyed else b"",
            )
            name = f"type {kind}, {bits} bits{', Adam7' * interlaced}{', tRNS' * keyed}"
            yield Case(name, data, shown(levels), 1 if kind in (4, 6) or keyed else 0)


def jpeg_cases() -> Iterator[Case]:
    pictures = {"RGB": smooth(3), "L": smooth(1)[..., 0], "CMYK": smooth(4)}
    options: list[dict[str, object]] = [{}, {"progressive": True}, {"optimize": True}]
    options += [{"restart_marker_blocks": 3}, {"progressive": True, "restart_marker_rows": 1}]
    for mode, way in itertools.product(pictures, options):
        for sampling in ("4:4:4", "4:2:2", "4:2:0", "4:1:1") if mode == "RGB" else (None,):
            more = {} if sampling is None else {"subsampling": sampling}
            image = Image.fromarray(pictures[mode], mode)
            data = by_pillow(image, "JPEG", quality=95, **way, **more)
            yield from _jpeg(f"{mode}, {sampling}, {way}", data, mode)
    for sampling in ("444", "422", "420", "440", "411", "Gray"):
        data = simplejpeg.encode_jpeg(smooth(3), 95, "RGB", sampling)
        yield from _jpeg(f"simplejpeg {sampling}", data, "L" if sampling == "Gray" else "RGB")
    for space in ("CMYK", "YCCK"):
        data = imagecodecs.jpeg8_encode(smooth(4), level=95, colorspace="CMYK", outcolorspace=space)
        yield from _jpeg(f"{space}, Adobe", data, "CMYK")
        start = data.index(b"\xff\xee")
        bare = data[:start] + data[start + 16 :]
        yield from _jpeg(f"{space}, without Adobe", bare, "CMYK")
    for mode, text in ARITHMETIC.items():
        yield from _jpeg(f"arithmetic, {mode}", b64decode(text), mode)
    ramp = np.broadcast_to(np.arange(24)[:, None] * 10, (16, 24, 1))
    yield Case("arithmetic, by its pixels", b64decode(ARITHMETIC["L"]), shown(ramp), 6)
    yield Case("lossless", imagecodecs.jpeg_encode(smooth(3), lossless=True), smooth(3))
    deep, levels = smooth(1)[..., 0].astype(np.uint16) << 4, shown(smooth(1))
    for lossless in (False, True):
        data = imagecodecs.jpeg_encode(deep, level=95, lossless=lossless, bitspersample=12)
        yield Case(f"12 bits, {lossless=}", data, levels)
    yield Case("JPEG-LS", imagecodecs.jpegls_encode(smooth(3)), smooth(3))


def _jpeg(name: str, data: bytes, mode: str) -> Iterator[Case]:
    """Decode with another decoder; inks are inverted, as Adobe writes and browsers read them."""
    channels = imagecodecs.jpeg8_decode(data)
    if mode == "CMYK":
        image = Image.fromarray(~imagecodecs.jpeg8_decode(data, outcolorspace="CMYK"), "CMYK")
        channels = np.asarray(image.convert("RGB"))
    yield Case(name, data, shown(channels.reshape(*channels.shape[:2], -1)), 1)


def webp_cases() -> Iterator[Case]:
    for channels, lossless, level in itertools.product((3, 4), (True, False), (10, 60, 95)):
        made = samples(channels, 8).astype(np.uint8) if lossless else smooth(channels)
        data = imagecodecs.webp_encode(made, level=level, lossless=lossless)
        decoded = imagecodecs.webp_decode(data)
        expected = made if lossless and channels == 3 else decoded
        yield Case(f"{channels} channels, lossless {lossless}, {level}", data, shown(expected), 1)
    for mode, lossless in itertools.product(("RGB", "RGBA"), (True, False)):
        frames = [Image.fromarray(smooth(4)[::-1] // k, "RGBA").convert(mode) for k in (1, 2)]
        options = {"lossless": lossless, "save_all": True, "append_images": frames[1:]}
        data = by_pillow(frames[0], "WEBP", **options)
        expected = np.asarray(frames[0])
        yield Case(f"animated {mode}, {lossless}", data, shown(expected), 1 if lossless else 40)


def avif_cases() -> Iterator[Case]:
    layouts = ("444", "422", "420", "400")
    for bits, layout, channels in itertools.product((8, 10, 12), layouts, (1, 2, 3, 4)):
        made = smooth(channels).astype(np.uint16 if bits > 8 else np.uint8) << bits - 8
        for level in (100, 90):
            array = np.ascontiguousarray(made if channels > 1 else made[..., 0])
            data = imagecodecs.avif_encode(
                array, level=level, speed=10, bitspersample=bits, pixelformat=layout
            )
            decoded = imagecodecs.avif_decode(data).reshape(*made.shape[:2], -1)
            name = f"{channels} channels, {bits} bits, {layout}, {level}"
            # decoders differ in how they spread colour that is stored for several pixels
            yield Case(
                name, data, shown(decoded >> bits - 8), 10 if layout in ("422", "420") else 3
            )


def jpeg_2000_cases() -> Iterator[Case]:
    ways = itertools.product(
        (1, 2, 3, 4), (1, 2, 4, 7, 8, 9, 10, 12, 15, 16), (False, True), (True, False),
        ("j2k", "jp2"), (False, True),
    )  # fmt: skip
    for channels, bits, signed, reversible, kind, mct in ways:
        if mct and channels < 3:
            continue
        made = samples(channels, bits)
        if signed:
            made -= 1 << bits - 1
        sizes = (np.int8, np.int16) if signed else (np.uint8, np.uint16)
        array = made.astype(sizes[bits > 8])
        data = imagecodecs.jpeg2k_encode(
            array if channels > 1 else array[..., 0],
            level=0 if reversible else 60,
            reversible=reversible,
            codecformat=kind,
            bitspersample=bits,
            mct=mct,
        )
        levels = made
        if not reversible:
            levels = imagecodecs.jpeg2k_decode(data).reshape(made.shape).astype(np.int64)
        levels = eight_bits(levels + (signed << bits - 1), bits)
        name = f"{channels} channels, {bits} bits, {signed=}, {reversible=}, {kind}, {mct=}"
        yield Case(name, data, shown(levels), 1 if channels in (2, 4) else 0)


def gif_cases() -> Iterator[Case]:
    for bits, interlaced, cleared, own, small in itertools.product(
        range(1, 9), (False, True), (False, True), (False, True), (False, True)
    ):
        indices = samples(1, bits)[..., 0].astype(np.uint8)
        palette = samples(3, 8, 1, 1 << bits)[0].astype(np.uint8)
        frame = {"indices": indices, "place": (3, 2) if small else (0, 0)}
        frame |= {"interlaced": interlaced}
        frame |= {"clear": 1} if cleared else {}
        frame |= {"palette": palette} if own else {}
        size = (WIDTH + 5, HEIGHT + 6) if small else (WIDTH, HEIGHT)
        data = gif(size, [frame], palette[::-1] if own else palette)
        pixels = palette[indices]
        if cleared:
            pixels[indices == 1] = BACKGROUND
        if small:
            pixels = np.pad(pixels, ((2, 4), (3, 2), (0, 0)))
            pixels[:2] = pixels[-4:] = pixels[:, :3] = pixels[:, -2:] = BACKGROUND
        yield Case(f"{bits} bits, {interlaced=}, {cleared=}, {own=}, {small=}", data, pixels)
    yield Case("imagecodecs", imagecodecs.gif_encode(smooth(1)[..., 0]), shown(smooth(1)))


def bmp_cases() -> Iterator[Case]:
    for bits, header, top_down, few in itertools.product(
        (1, 4, 8), (12, 40, 64, 108, 124), (False, True), (False, True)
    ):
        if header == 12 and (top_down or few):
            continue
        entries = max(2, (1 << bits) // (3 if few else 1))
        for colours in ("noise", "grey", "black and white"):
            palette = samples(3, 8, 1, entries)[0].astype(np.uint8)
            if colours == "grey":
                palette = np.arange(entries, dtype=np.uint8)[:, None].repeat(3, axis=1)
            elif colours == "black and white":
                palette = (np.arange(entries, dtype=np.uint8) % 2 * 255)[:, None].repeat(3, axis=1)
            made = samples(1, bits)[..., 0] % entries
            rows = bmp_rows(made, bits, top_down)
            data = bmp(WIDTH, HEIGHT, bits, rows, palette, 0, header, (), top_down)
            name = f"{bits} bits, header {header}, {top_down=}, {entries} {colours}"
            yield Case(name, data, palette[made])
    yield from _bmp_of_colours()


def _bmp_of_colours() -> Iterator[Case]:
    rgb = samples(3, 8)
    packing = {(5, 5, 5): (10, 5, 0), (5, 6, 5): (11, 5, 0)}
    for (depths, places), header in itertools.product(packing.items(), (40, 56, 108, 124)):
        levels = [rgb[..., k] >> 8 - depths[k] for k in range(3)]
        words = sum(level << place for level, place in zip(levels, places, strict=True))
        masks = [(1 << depth) - 1 << place for depth, place in zip(depths, places, strict=True)]
        rows = bmp_rows(words.astype("<u2"), 16)
        data = bmp(WIDTH, HEIGHT, 16, rows, None, 3, header, masks)
        spread = [np.rint(v * 255 / ((1 << d) - 1)) for v, d in zip(levels, depths, strict=True)]
        yield Case(f"16 bits, {depths}, header {header}", data, shown(np.dstack(spread)), 1)
        if depths == (5, 5, 5) and header == 40:
            yield Case("16 bits", bmp(WIDTH, HEIGHT, 16, rows), shown(np.dstack(spread)), 1)
    bgr = np.ascontiguousarray(rgb[..., ::-1].astype(np.uint8))
    yield Case("24 bits", bmp(WIDTH, HEIGHT, 24, bmp_rows(bgr, 24)), shown(rgb))
    four = samples(4, 8).astype(np.uint8)
    four[..., :3] = bgr
    plain = bmp_rows(four, 32)
    yield Case("32 bits", bmp(WIDTH, HEIGHT, 32, plain), shown(rgb))
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    for header in (56, 108, 124):
        data = bmp(WIDTH, HEIGHT, 32, plain, None, 3, header, masks)
        yield Case(f"alpha, header {header}", data, shown(np.dstack([rgb, four[..., 3]])), 1)
    data = bmp(WIDTH, HEIGHT, 32, plain, None, 3, 56, (0x3FF00000, 0xFFC00, 0x3FF, 0))
    yield Case("10 bits a channel", data, shown(rgb))


FORMATS: dict[str, Callable[[], Iterator[Case]]] = {
    "PNG": png_cases,
    "JPEG": jpeg_cases,
    "WebP": webp_cases,
    "AVIF": avif_cases,
    "JPEG 2000": jpeg_2000_cases,
    "GIF": gif_cases,
    "BMP": bmp_cases,
}


def outcome(case: Case, path: Path) -> str:
    """Return `right`, `refused`, or a description of what is wrong."""
    path.write_bytes(case.data)
    try:
        with pillow_limits(LIMIT), ImageSource(LocalFile(str(path)).open(), LIMIT) as source:
            pixels = source.page(1, BACKGROUND)
    except ImageError as error:
        return "refused" if error.code in REFUSALS else f"wrong: {error.code}: {error.message}"
    if pixels.shape != case.pixels.shape:
        return f"wrong: {pixels.shape} for {case.pixels.shape}"
    off = int(np.abs(pixels.astype(int) - case.pixels).max())
    return "right" if off <= case.bound else f"wrong: by {off}"


def tally(name: str, folder: Path) -> tuple[Counter[str], list[str]]:
    """Count the outcomes per format, and list the wrong ones."""
    ends = [(case.name, outcome(case, folder / "a")) for case in FORMATS[name]()]
    counts = Counter(end.partition(":")[0] for _, end in ends)
    return counts, [f"{case}: {end}" for case, end in ends if end.startswith("wrong")]


def main() -> None:
    lines = [f"{'format':10} {'files':>5} {'right':>5} {'refused':>7} {'wrong':>5}"]
    with tempfile.TemporaryDirectory() as folder:
        for name in FORMATS:
            counts, wrong = tally(name, Path(folder))
            row = (counts.total(), counts["right"], counts["refused"], counts["wrong"])
            lines += [f"{name:10} {row[0]:5} {row[1]:5} {row[2]:7} {row[3]:5}", *wrong]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
