import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from ppcli.imaging import resample as kernels
from ppcli.imaging.fit import MAX_ASPECT_RATIO, smart_resize
from ppcli.imaging.resample import resample
from tests.imaging.pillow_resampling import resampled as by_numpy


def by_pillow(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    image = Image.fromarray(pixels)
    for size in [(width, image.height), (width, height)]:
        if image.size != size:
            image = image.resize(size, Image.Resampling.BICUBIC)
    return np.asarray(image)


def noise(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def content(kind: str, height: int, width: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((height, width))
    match kind:
        case "noise":
            return noise(height, width, seed)
        case "checkerboard":
            period = rng.integers(1, 4)
            board = (rows // period + columns // period) % 2 * 255
        case "constant":
            board = np.full((height, width), rng.integers(0, 256))
        case "saturated":
            board = rng.integers(0, 2, (height, width)) * 255
        case "sparse":
            board = np.where(rng.random((height, width)) < 0.003, 0, 255)
        case "stripes":
            board = rng.integers(0, 256, (1, width)) + 0 * rows
    return np.repeat(board[:, :, None], 3, axis=2).astype(np.uint8)


kinds = st.sampled_from(["noise", "checkerboard", "constant", "saturated", "sparse", "stripes"])
sides = st.one_of(st.integers(1, 40), st.integers(1, 400))
seeds = st.integers(0, 2**32 - 1)


def check(pixels: np.ndarray, width: int, height: int) -> None:
    before = pixels.copy()
    out = resample(pixels, width, height)
    assert out.dtype == np.uint8
    assert out.shape == (height, width, 3)
    assert out.flags.c_contiguous
    assert np.array_equal(out, by_pillow(pixels, width, height))
    assert np.array_equal(pixels, before)


@given(height=sides, width=sides, to_height=sides, to_width=sides, kind=kinds, seed=seeds)
@example(1, 1, 1, 1, "noise", 0)
@example(1, 1, 40, 40, "noise", 0)
@example(400, 400, 1, 1, "noise", 0)
@example(2, 1, 1, 2, "noise", 0)
def test_any_size_to_any_other(height, width, to_height, to_width, kind, seed) -> None:
    check(content(kind, height, width, seed), to_width, to_height)


@given(
    height=st.integers(30, 700),
    width=st.integers(30, 900),
    change=st.tuples(st.floats(0.94, 1.06), st.floats(0.94, 1.06)),
    kind=kinds,
    seed=seeds,
)
def test_nearly_the_same_size(height, width, change, kind, seed) -> None:
    to_height, to_width = round(height * change[0]), round(width * change[1])
    check(content(kind, height, width, seed), to_width, to_height)


@given(
    long=st.integers(500, 3000),
    short=st.integers(1, 4),
    to_long=st.integers(1, 3000),
    to_short=st.integers(1, 60),
    kind=kinds,
)
def test_strips(long, short, to_long, to_short, kind) -> None:
    pixels = content(kind, long, short, long)
    check(pixels, to_short, to_long)
    check(np.ascontiguousarray(pixels.swapaxes(0, 1)), to_long, to_short)


@pytest.mark.parametrize("factor", [10, 1.5, 1.15, 0.9, 0.5, 0.2, 0.02])
def test_large_changes(factor: float) -> None:
    pixels = noise(450, 350, 1)
    check(pixels, max(1, int(350 * factor)), max(1, int(450 * factor)))


def test_rows_that_fill_the_buffer_many_times() -> None:
    check(noise(700, 3000, 2), 2944, 672)
    check(noise(700, 3000, 2), 1500, 1400)


def test_nothing_to_do_gives_the_same_array() -> None:
    pixels = noise(5, 7, 0)
    assert resample(pixels, 7, 5) is pixels


@given(height=sides, width=sides, to_height=sides, to_width=sides)
def test_the_horizontal_pass_comes_first(height, width, to_height, to_width) -> None:
    pixels = noise(height, width, 3)
    assert np.array_equal(
        resample(pixels, to_width, to_height), by_numpy(pixels, to_width, to_height)
    )


@given(before=st.integers(1, 20_000), after=st.integers(1, 300))
@example(20_000, 1)
def test_sums_of_taps_fit_in_32_bits(before: int, after: int) -> None:
    first, count, weights = kernels._taps(before, after)
    most = np.maximum(weights, 0).sum(axis=1, dtype=np.int64).max()
    least = np.minimum(weights, 0).sum(axis=1, dtype=np.int64).min()
    assert most < 1.5 * kernels.ONE
    assert 255 * most + kernels.HALF < 2**31
    assert 255 * least >= -(2**31)
    assert (first >= 0).all() and (count >= 1).all() and (first + count <= before).all()
    assert (np.diff(first) >= 0).all() and (np.diff(first + count) >= 0).all()


@given(before=st.integers(1, 3000), after=st.integers(1, 3000))
def test_even_windows_keep_their_value(before: int, after: int) -> None:
    _, count, weights = kernels._taps(before, after)
    total = weights.sum(axis=1, dtype=np.int64)
    assert (255 * np.abs(total - kernels.ONE)[count <= kernels.MOST_EVEN] < kernels.HALF).all()


def test_real_images(corpus) -> None:
    for path in sorted((corpus / "images").rglob("*.png"))[::8]:
        with Image.open(path) as image:
            pixels = np.array(image.convert("RGB"))[:1500, :2000]
        height, width = pixels.shape[:2]
        if max(height, width) <= MAX_ASPECT_RATIO * min(height, width):
            to_height, to_width = smart_resize(height, width, 32, 65_536, 16_777_216)
            check(np.ascontiguousarray(pixels), to_width, to_height)
        check(np.ascontiguousarray(pixels), (width + 1) // 2, (height + 1) // 2)
