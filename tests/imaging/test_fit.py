import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcli.errors import ErrorCode, ImageError, UsageError
from ppcli.imaging.fit import fit_image, smart_resize
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import Fit
from ppcli.imaging.resample import resample
from ppcli.models.families.family_registry import PRESETS
from tests.imaging.pillow_resampling import resampled

SHAPES = {  # (width, height) before → after
    "both up": ((50, 40), (64, 96)),
    "both down": ((200, 150), (96, 64)),
    "width only": ((70, 64), (96, 64)),
    "height only": ((64, 70), (64, 32)),
    "neither": ((64, 96), (64, 96)),
    "wider and lower": ((50, 90), (96, 32)),
    "narrower and higher": ((90, 50), (32, 96)),
    "a strip": ((3, 400), (32, 160)),
}


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", SHAPES)
def test_resampling_is_horizontal_first_on_every_pillow(name: str) -> None:
    before, after = SHAPES[name]
    pixels = noise(*before)
    assert np.array_equal(resample(pixels, *after), resampled(pixels, *after))


def test_the_order_of_the_passes_shows() -> None:
    before, after = SHAPES["wider and lower"]
    pixels = noise(*before)
    vertical_first = resampled(pixels.swapaxes(0, 1), after[1], after[0]).swapaxes(0, 1)
    assert not np.array_equal(resampled(pixels, *after), vertical_first)


sides = st.integers(1, 6000)


def transformers_size(*numbers: int) -> tuple[int, int]:
    """What the processor of the model gives for the same arguments."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize as theirs

    return theirs(*numbers)


@pytest.mark.oracle
@given(height=sides, width=sides, name=st.sampled_from(list(PRESETS)))
def test_sizes_are_those_of_the_models_processor(height: int, width: int, name: str) -> None:
    preset = PRESETS[name]
    tile = preset.patch_size * preset.merge_size
    if max(height, width) / min(height, width) > 200:
        with pytest.raises(ImageError) as caught:
            smart_resize(height, width, tile, preset.min_pixels, preset.max_pixels)
        assert caught.value.code is ErrorCode.ASPECT_RATIO
        return
    ours = smart_resize(height, width, tile, preset.min_pixels, preset.max_pixels)
    assert ours == transformers_size(height, width, tile, preset.min_pixels, preset.max_pixels)


@pytest.mark.oracle
def test_an_aspect_ratio_of_just_two_hundred_passes() -> None:
    numbers = 5, 1000, 32, 65_536, 16_777_216
    assert smart_resize(*numbers) == transformers_size(*numbers)


@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    patch_size=st.integers(1, 16),
    merge_size=st.integers(1, 3),
)
def test_padding_repeats_the_edge_and_keeps_the_image(
    width: int, height: int, patch_size: int, merge_size: int
) -> None:
    pixels = noise(width, height)
    options = FitOptions(Fit.PAD, patch_size, merge_size, 1, 10_000)
    fitted = fit_image(pixels, options)
    raster, tile = fitted.raster, options.tile
    assert (fitted.width, fitted.height) == (width, height)
    assert raster.shape[0] - height in range(tile)
    assert raster.shape[1] - width in range(tile)
    assert raster.shape[0] % tile == raster.shape[1] % tile == 0
    rows = np.minimum(np.arange(raster.shape[0]), height - 1)
    columns = np.minimum(np.arange(raster.shape[1]), width - 1)
    assert np.array_equal(raster, pixels[rows][:, columns])


def test_padding_scales_down_only_above_the_limit() -> None:
    options = FitOptions(Fit.PAD, 16, 2, 1, 10_000)
    at_limit = fit_image(noise(200, 50), options)
    above = fit_image(noise(201, 50), options)
    assert (at_limit.width, at_limit.height) == (200, 50)
    beta = (201 * 50 / 10_000) ** 0.5
    assert (above.width, above.height) == (int(201 / beta), int(50 / beta))
    assert np.array_equal(
        above.raster[: above.height, : above.width],
        resampled(noise(201, 50), above.width, above.height),
    )


def test_padding_takes_long_strips() -> None:
    fitted = fit_image(noise(1, 500), FitOptions(Fit.PAD, 16, 2, 1, 10_000))
    assert fitted.raster.shape == (512, 32, 3)


@pytest.mark.parametrize(
    "numbers",
    [(0, 2, 1, 9999), (16, 0, 1, 9999), (16, 2, 0, 9999), (16, 2, 5, 4), (16, 2, 1, 1023)],
)
def test_limits_that_no_image_meets_are_refused(numbers) -> None:
    with pytest.raises(UsageError):
        FitOptions(Fit.RESIZE, *numbers)
