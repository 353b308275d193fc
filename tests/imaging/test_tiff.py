"""TIFF of every kind that can be written, compared with the original pixels."""

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from ppcli.errors import ErrorCode, ImageError
from ppcli.files import LocalFile
from ppcli.imaging.decode import ImageSource, pillow_limits
from ppcli.imaging.image_choices import WHITE
from ppcli.imaging.page_source import open_source
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.imaging.tiff import TiffSource
from tests.conftest import blocks
from tests.imaging import tiffs

LIMIT = 1 << 28
# By kind of file: how many there are, and how many of them are right; the others are refused.
EXPECTED = {
    "minisblack": (80, 80),
    "miniswhite": (80, 80),
    "palette": (56, 56),
    "rgb": (160, 160),
    "cmyk": (160, 160),
    "rgb+alpha": (480, 480),
    "minisblack+alpha": (480, 480),
    "depths": (192, 192),
    "fill order": (16, 16),
    "ycbcr": (12, 12),
    "orientation": (73, 73),
    "codecs": (136, 95),
    "Pillow": (94, 76),
    "unsupported": (77, 0),
}


@pytest.fixture(autouse=True)
def limits():
    with pillow_limits(LIMIT):
        yield


def source_of(data: bytes, limit: int = LIMIT) -> TiffSource:
    return TiffSource(io.BufferedReader(io.BytesIO(data)), limit)


def outcomes(data: bytes) -> list[np.ndarray | ErrorCode]:
    """Return the pixels of each page, or the code of its error."""
    source = source_of(data)
    found: list[np.ndarray | ErrorCode] = []
    for number in range(1, source.frames + 1):
        try:
            found.append(source.page(number, WHITE))
        except ImageError as error:
            found.append(error.code)
    return found


def test_every_kind_is_right_or_refused() -> None:
    table = tiffs.table()
    assert {kind: found["WRONG"] for kind, found in table.items() if found["WRONG"]} == {}
    found = {kind: (counts.total(), counts["right"]) for kind, counts in table.items()}
    assert found == EXPECTED
    refusals = set().union(*table.values()) - {"right"}
    assert refusals == {"unsupported_mode"}


@pytest.mark.slow
def test_without_imagecodecs_nothing_is_wrong_either() -> None:
    """Without imagecodecs such pages are refused, and the message says what to install."""
    script = (
        "import sys\n"
        "from tests.imaging import tiffs\n"
        "made = list(tiffs.cases())\n"
        "for name in [name for name in sys.modules if name.partition('.')[0] == 'tifffile']:\n"
        "    del sys.modules[name]\n"
        "for name in [name for name in sys.modules if name.startswith('ppcli.imaging.tiff')]:\n"
        "    del sys.modules[name]\n"
        "sys.modules['imagecodecs'] = None\n"
        "from ppcli.imaging.tiff import TiffSource\n"
        "tiffs.TiffSource = TiffSource\n"
        "found = [tiffs.outcome(case) for case in made]\n"
        "print(len(found), found.count('right'), found.count('unsupported_mode'))\n"
        "odd = [c for c, what in zip(made, found) if what != 'right' and 'lzw' in c.name]\n"
        "import io\n"
        "try: TiffSource(io.BufferedReader(io.BytesIO(odd[0].data)), 1 << 28).page(1, (0, 0, 0))\n"
        "except Exception as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], check=True, capture_output=True, text=True
    )
    counts, message = done.stdout.splitlines()
    total, right, refused = map(int, counts.split())
    assert total == right + refused == sum(number for number, _ in EXPECTED.values())
    assert 1000 < right < sum(number for _, number in EXPECTED.values())
    assert 'pip install "pixelprune[codecs]"' in message


def test_a_control_that_the_comparison_sees_what_is_wrong() -> None:
    case = next(tiffs.turns())
    assert tiffs.outcome(case) == "right"
    other = tiffs.Case("", "", case.data, 255 - case.right)
    assert tiffs.outcome(other).startswith("WRONG")
    assert tiffs.outcome(tiffs.Case("", "", case.data, None)).startswith("WRONG")


def several(*images: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    images[0].save(stream, "TIFF", save_all=True, append_images=images[1:], **options)
    return stream.getvalue()


def directories(data: bytes) -> list[int]:
    """Return the offsets of the page directories of a little-endian classic TIFF."""
    found = []
    (place,) = struct.unpack_from("<I", data, 4)
    while place:
        found.append(place)
        (entries,) = struct.unpack_from("<H", data, place)
        (place,) = struct.unpack_from("<I", data, place + 2 + 12 * entries)
    return found


@pytest.mark.parametrize("order", [(1, 2, 3, 4, 5), (5, 3, 3, 1, 4, 2)])
def test_pages_are_what_they_are_whatever_was_read_before(order: tuple[int, ...]) -> None:
    """Pages have different modes: the palette of one must not colour another."""
    image = Image.fromarray(blocks(levels=6))
    pages = [image.convert(mode) for mode in ("L", "P", "P", "RGB", "1")]
    pages[2].putpalette([*range(255, -1, -1)] * 3)
    source = source_of(several(*pages, compression="tiff_lzw"))
    assert source.frames == 5
    for number in order:
        right = np.asarray(pages[number - 1].convert("RGB"))
        assert np.array_equal(source.page(number, WHITE), right)


def test_an_odd_page_costs_itself_only() -> None:
    good = Image.fromarray(blocks())
    data = bytearray(several(good, good, good))
    _, odd, _ = directories(bytes(data))
    (entries,) = struct.unpack_from("<H", data, odd)
    for entry in range(odd + 2, odd + 2 + 12 * entries, 12):
        if struct.unpack_from("<H", data, entry) == (262,):
            data[entry + 8] = 4  # a mask
    first, second, third = outcomes(bytes(data))
    assert second is ErrorCode.UNSUPPORTED_MODE
    assert np.array_equal(first, blocks())
    assert np.array_equal(third, blocks())


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "jpeg", "group4"])
def test_wherever_it_is_cut_off_no_pixel_is_invented(compression: str) -> None:
    """Complete pages are decoded, and the others are `truncated`."""
    images = [Image.fromarray(blocks(64, 64, 8, 5, seed=seed)) for seed in range(3)]
    if compression == "group4":
        images = [image.convert("1") for image in images]
    data = several(*images, compression=compression)
    whole = outcomes(data)
    chance = np.random.default_rng(1)
    cut_pages = 0
    for end in [*chance.integers(8, len(data), 60), len(data) - 1]:
        found = outcomes(data[:end])
        for page, right in zip(found, whole, strict=False):
            if isinstance(page, ErrorCode):
                assert page is ErrorCode.TRUNCATED
                cut_pages += 1
            else:
                assert np.array_equal(page, right)
        assert len(found) == 3 or found[-1] is ErrorCode.TRUNCATED
    assert cut_pages > 50


def test_a_chain_that_leads_out_of_the_file_has_one_page_more() -> None:
    data = bytearray(several(Image.fromarray(blocks())))
    (place,) = directories(bytes(data))
    (entries,) = struct.unpack_from("<H", data, place)
    struct.pack_into("<I", data, place + 2 + 12 * entries, 1 << 30)
    page, lost = outcomes(bytes(data))
    assert np.array_equal(page, blocks())
    assert lost is ErrorCode.TRUNCATED


def test_a_chain_that_leads_back_ends_there() -> None:
    data = bytearray(several(*[Image.fromarray(blocks(seed=seed)) for seed in range(3)]))
    first, second, third = directories(bytes(data))
    (entries,) = struct.unpack_from("<H", data, third)
    for back in (first, second, third):
        struct.pack_into("<I", data, third + 2 + 12 * entries, back)
        assert len(outcomes(bytes(data))) == 3


@pytest.mark.parametrize(
    ("strips", "tags", "code"),
    [
        ([b"\x80" * 100], {}, ErrorCode.CORRUPT),  # one of four
        ([b"\x80" * 450] * 3 + [b""], {278: (tiffs.SHORT, [10])}, ErrorCode.CORRUPT),
        ([b""], {}, ErrorCode.CORRUPT),
    ],
)
def test_strips_that_are_missing(strips, tags, code) -> None:
    grey: tiffs.Tags = {258: (tiffs.SHORT, [8]), 262: (tiffs.SHORT, [1]), 278: (tiffs.SHORT, [10])}
    [found] = outcomes(tiffs.by_hand(grey | tags, strips))
    assert found is code


def test_a_last_strip_may_claim_the_bytes_of_a_whole_one() -> None:
    """Without compression, declared bytes beyond the rows need not exist."""
    grey: tiffs.Tags = {258: (tiffs.SHORT, [8]), 262: (tiffs.SHORT, [1]), 278: (tiffs.SHORT, [20])}
    levels = tiffs.ramp(8, 1)[..., 0]
    data = bytearray(tiffs.by_hand(grey, [levels[:20].tobytes(), levels[20:].tobytes()]))
    short = (tiffs.HEIGHT - 20) * tiffs.WIDTH
    at = data.index(struct.pack("<II", 20 * tiffs.WIDTH, short)) + 4
    struct.pack_into("<I", data, at, 20 * tiffs.WIDTH)
    [found] = outcomes(bytes(data))
    assert np.array_equal(found, tiffs.grey(levels))


def damaged(data: bytes, share: float) -> bytes:
    """Zero the data of the only strip from an offset."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        (start,), (count,) = page.dataoffsets, page.databytecounts
    first = start + int(count * share)
    return data[:first] + bytes(start + count - first) + data[start + count :]


@pytest.mark.parametrize("compression", ["jpeg", "tiff_adobe_deflate", "tiff_lzw"])
def test_damage_within_a_strip_is_no_picture(compression: str) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = several(Image.fromarray(noise), compression=compression)
    assert not isinstance(outcomes(data)[0], ErrorCode)
    for share in (0.3, 0.6, 0.9):
        [found] = outcomes(damaged(data, share))
        assert found in (ErrorCode.CORRUPT, ErrorCode.TRUNCATED)


@pytest.mark.parametrize("compression", ["group3", "group4"])
def test_damaged_lines_of_a_fax_are_told(compression: str) -> None:
    """They are decoded as in every reader."""
    noise = Image.fromarray(np.random.default_rng(2).integers(0, 2, (64, 64)) > 0)
    data = several(noise, compression=compression)
    whole, hurt = source_of(data), source_of(damaged(data, 0.5))
    assert np.array_equal(whole.page(1, WHITE), np.asarray(noise.convert("RGB")))
    assert whole.warning is None
    assert not np.array_equal(hurt.page(1, WHITE), whole.page(1, WHITE))
    assert "damaged" in (hurt.warning or "")


def test_a_jpeg_of_another_width_than_its_page() -> None:
    data = bytearray(several(Image.fromarray(blocks(64, 64)), compression="jpeg"))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        at = file.pages[0].tags[256].valueoffset
    struct.pack_into("<H", data, at, 80)
    assert outcomes(bytes(data)) == [ErrorCode.CORRUPT]


def test_a_strip_shorter_than_its_rows() -> None:
    """Data after it in the file is not part of the page."""
    data = bytearray(several(Image.fromarray(blocks()), compression="raw"))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        at = file.pages[0].tags[279].valueoffset
    struct.pack_into("<I", data, at, 100)
    assert outcomes(bytes(data)) == [ErrorCode.CORRUPT]


def test_an_undeclared_fourth_sample_means_one_thing() -> None:
    """Test both interleaved samples and separate planes."""
    samples = tiffs.ramp(8, 4)
    tags = tiffs.PLAIN_RGB | {258: (tiffs.SHORT, [8] * 4), 277: (tiffs.SHORT, [4])}
    together = tiffs.by_hand(tags, [samples.tobytes()])
    planes = [samples[..., channel].tobytes() for channel in range(4)]
    apart = tiffs.by_hand(tags | {284: (tiffs.SHORT, [2])}, planes)
    [one], [other] = outcomes(together), outcomes(apart)
    assert np.array_equal(one, other)
    assert np.abs(one.astype(int) - tiffs.over_white(samples[..., :3], samples[..., 3])).max() <= 1


def test_a_compression_without_a_decoder_is_named() -> None:
    tags: tiffs.Tags = {258: (tiffs.SHORT, [1]), 262: (tiffs.SHORT, [1])}
    data = tiffs.by_hand(tags | {259: (tiffs.SHORT, [34661])}, [bytes(99)])
    with pytest.raises(ImageError, match="JBIG") as caught:
        source_of(data).page(1, WHITE)
    assert caught.value.code is ErrorCode.UNSUPPORTED_MODE


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    data = several(Image.fromarray(blocks()))
    with pytest.raises(ImageError, match="--max-image-pixels") as caught:
        source_of(data, 96 * 64 - 1).page(1, WHITE)
    assert caught.value.code is ErrorCode.TOO_LARGE
    assert source_of(data, 96 * 64).page(1, WHITE).shape == (64, 96, 3)


@pytest.mark.parametrize(
    "raw", [b"II*\0", b"II*\0\0\0\0\0", b"MM\0+\0\x08\0\0", b"II*\0\x08\0\0\0"]
)
def test_files_without_a_page(raw: bytes) -> None:
    try:
        found = outcomes(raw)
    except ImageError as error:
        found = [error.code]
    assert found[0] in (ErrorCode.TRUNCATED, ErrorCode.CORRUPT)


def test_other_readers_do_not_take_tiff(tmp_path) -> None:
    """There is one unambiguous conversion."""
    (tmp_path / "a.tif").write_bytes(several(Image.fromarray(blocks())))
    with pytest.raises(ImageError):
        ImageSource(LocalFile(str(tmp_path / "a.tif")).open(), LIMIT)
    source = open_source(LocalFile(str(tmp_path / "a.tif")), ReadingOptions())
    assert isinstance(source, TiffSource)
    source.close()


def test_files_of_others(corpus: Path) -> None:
    """Compare the files that once failed with the right pixels."""
    ramp = np.linspace(0, 255, 64)  # from left to right
    right = {
        "miniswhite16.tif": ["ramp"],
        "gray12.tif": ["ramp"],
        "rgb16_planar.tif": ["ramp"],
        "rgb8_bigtiff_be.tif": ["ramp"],
        "orient_byte.tif": [(120, 80, 3)],
        "tail_lost.tif": [(48, 64, 3), (48, 64, 3), "truncated"],
        "p3_mask.tif": [(48, 64, 3), (48, 64, 3), "unsupported_mode"],
        "mixed_L-P-P.tif": [(48, 64, 3)] * 3,
    }
    for name, wanted in right.items():
        source = TiffSource(LocalFile(str(corpus.parent / "cases" / "inputs" / name)).open(), LIMIT)
        assert source.frames == len(wanted)
        for number, one in enumerate(wanted, 1):
            if isinstance(one, str) and one != "ramp":
                with pytest.raises(ImageError) as caught:
                    source.page(number, WHITE)
                assert caught.value.code.value == one
                continue
            page = source.page(number, WHITE)
            if one == "ramp":
                assert np.abs(page[..., 0] - ramp).max() <= 1.5, name
            else:
                assert page.shape == one
                assert page.std() > 20, "there is something on it"
        source.close()
