import io

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps, features

from ppcli.errors import ErrorCode, ImageError
from ppcli.imaging.colour import to_rgb, upright
from ppcli.imaging.decode import pillow_limits

ORIENTABLE = ["JPEG", "PNG", "WEBP", "TIFF"] + (["AVIF"] if features.check("avif") else [])


def reopened(image: Image.Image, name: str, **options) -> Image.Image:
    data = io.BytesIO()
    image.save(data, name, **options)
    return Image.open(io.BytesIO(data.getvalue()))


def corners() -> Image.Image:
    """Return an image wider than high, with a different colour in each quarter."""
    pixels = np.zeros((32, 64, 3), dtype=np.uint8)
    pixels[:16, :32, 0] = pixels[16:, 32:, 1] = 255
    pixels[:16, 32:, 2] = 255
    return Image.fromarray(pixels)


@pytest.mark.parametrize("name", ORIENTABLE)
@pytest.mark.parametrize("turn", range(1, 9))
def test_orientation_as_in_exif_transpose(name: str, turn: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    image = reopened(corners(), name, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(image.fp.getvalue())))
    image.load()
    turned = upright(np.asarray(to_rgb(image)), image)
    assert turned.shape == ((64, 32, 3) if turn > 4 else (32, 64, 3))
    assert turned.flags.c_contiguous
    assert np.array_equal(turned, expected.convert("RGB"))


def test_orientation_six_puts_the_left_edge_on_top() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    image = reopened(corners(), "PNG", exif=exif)
    image.load()
    turned = upright(np.asarray(to_rgb(image)), image)
    assert turned[0, -1].tolist() == [255, 0, 0]
    assert turned[-1, -1].tolist() == [0, 0, 255]


@pytest.mark.parametrize(
    "block", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"]
)
def test_a_broken_exif_block_is_ignored(block: bytes) -> None:
    with pillow_limits(1 << 20):
        image = reopened(corners(), "JPEG", exif=block, quality=100)
        image.load()
        assert upright(np.asarray(to_rgb(image)), image).shape == (32, 64, 3)


def test_pages_of_a_tiff_turn_each_its_own_way() -> None:
    data = io.BytesIO()
    corners().save(
        data,
        "TIFF",
        save_all=True,
        append_images=[corners()],
        tiffinfo={ExifTags.Base.Orientation: 6},
    )
    image = Image.open(data)
    for page in (0, 1):
        image.seek(page)
        image.load()
        assert upright(np.asarray(to_rgb(image)), image).shape == (64, 32, 3)


def alpha_over(background: tuple[int, int, int]) -> np.ndarray:
    rgba = gradient_with_alpha().astype(float)
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + np.array(background) * (1 - alpha)


def gradient_with_alpha() -> np.ndarray:
    rgba = np.zeros((16, 256, 4), dtype=np.uint8)
    rgba[..., 0] = 200
    rgba[..., 1] = np.arange(16)[:, None] * 16
    rgba[..., 3] = np.arange(256)
    return rgba


@pytest.mark.parametrize("background", [(255, 255, 255), (0, 128, 7)])
def test_transparency_shows_the_background(background) -> None:
    rgb = to_rgb(Image.fromarray(gradient_with_alpha()), background)
    assert rgb.mode == "RGB"
    assert np.abs(np.asarray(rgb) - alpha_over(background)).max() <= 1


def test_opaque_alpha_changes_nothing() -> None:
    rgba = gradient_with_alpha()
    rgba[..., 3] = 255
    assert np.array_equal(to_rgb(Image.fromarray(rgba), (9, 9, 9)), rgba[..., :3])


@pytest.mark.parametrize(
    ("mode", "colour", "clear"),
    [("L", 7, 7), ("RGB", (1, 2, 3), (1, 2, 3)), ("P", 5, 5), ("1", 1, 255)],
)
def test_a_transparent_colour_shows_the_background(mode: str, colour, clear) -> None:
    image = Image.new(mode, (4, 4), colour)
    if mode == "P":
        image.putpalette([*range(256)] * 3)
    image.putpixel((0, 0), 0 if mode != "RGB" else (9, 9, 9))
    image = reopened(image, "PNG", transparency=clear if mode != "1" else 255)
    image.load()
    rgb = np.asarray(to_rgb(image, (10, 20, 30)))
    assert rgb[1, 1].tolist() == [10, 20, 30]
    assert rgb[0, 0].tolist() != [10, 20, 30]


def sixteen_bits() -> np.ndarray:
    return np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)


@pytest.mark.parametrize("name", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_sixteen_bits_lose_the_low_byte(name: str, mode: str) -> None:
    levels = sixteen_bits()
    raw = levels.astype(">u2" if mode == "I;16B" else "<u2").tobytes()
    image = Image.frombytes(mode, (64, 48), raw)
    if name == "TIFF" or mode == "I;16":
        image = reopened(image, name)
    rgb = np.asarray(to_rgb(image))
    assert np.array_equal(rgb, np.repeat((levels >> 8).astype(np.uint8)[..., None], 3, axis=2))


def test_sixteen_bits_with_a_transparent_level() -> None:
    image = Image.fromarray(sixteen_bits())
    image.info["transparency"] = int(sixteen_bits()[0, 5])
    rgb = np.asarray(to_rgb(image, (1, 2, 3)))
    assert rgb[0, 5].tolist() == [1, 2, 3]
    assert rgb[0, 6].tolist() == [sixteen_bits()[0, 6] >> 8] * 3


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV", "LA", "RGBA"])
def test_other_modes_as_pillow_converts_them(mode: str) -> None:
    image = corners().convert(mode)
    assert np.array_equal(to_rgb(image), image.convert("RGB"))


@pytest.mark.parametrize("mode", ["I", "F", "LAB"])
def test_modes_without_one_way_to_rgb_are_refused(mode: str) -> None:
    with pytest.raises(ImageError, match=mode) as caught:
        to_rgb(Image.new(mode, (4, 4)))
    assert caught.value.code is ErrorCode.UNSUPPORTED_MODE
