"""Every real image, there and back."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ppcli import prune
from ppcli.imaging.decode import pillow_limits
from ppcli.imaging.fit import fit_image
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import Fit
from ppcli.imaging.page_source import open_source
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.inputs.listing import Listing
from ppcli.models.families.family_registry import PRESETS

pytestmark = pytest.mark.slow

TILE = 32
TAU = 0.03


def images(folder: Path) -> Iterator[Image.Image]:
    reading = ReadingOptions()
    with pillow_limits(reading.max_image_pixels):
        for ref in Listing((str(folder),)):
            with closing(open_source(ref.file, reading)) as source:
                yield source.page(1, reading.background)


def raster(image: Image.Image, fit: Fit) -> np.ndarray:
    return fit_image(image, FitOptions.of_preset(PRESETS["qwen3-vl"], fit)).raster


@pytest.mark.parametrize("fit", Fit)
def test_lossless_at_threshold_zero(corpus: Path, fit: Fit) -> None:
    count = 0
    for image in images(corpus / "images"):
        source = raster(image, fit)
        assert np.array_equal(prune(source, TILE).reconstruct(), source)
        count += 1
    assert count > 150


def distances(a: np.ndarray, b: np.ndarray, metric: str) -> np.ndarray:
    """Of every tile, in units of full scale, in floating point."""
    grid_h, grid_w = a.shape[0] // TILE, a.shape[1] // TILE
    difference = np.abs(a.astype(np.int16) - b).reshape(grid_h, TILE, grid_w, TILE * 3)
    if metric == "max":
        return difference.max(axis=(1, 3)) / 255
    if metric == "mae":
        return difference.mean(axis=(1, 3)) / 255
    return np.sqrt((difference.astype(np.float64) ** 2).mean(axis=(1, 3))) / 255


@pytest.mark.parametrize("method", ["pred_2d", "raster", "serpentine"])
def test_within_the_threshold_above_zero(corpus: Path, method: str) -> None:
    lossy = 0
    for number, image in enumerate(images(corpus / "images")):
        source = raster(image, Fit.RESIZE)
        metric = ("max", "mae", "rmse")[number % 3]
        rebuilt = prune(source, TILE, method, metric, TAU).reconstruct()
        assert distances(source, rebuilt, metric).max() <= TAU + 1e-9
        lossy += not np.array_equal(source, rebuilt)
    assert lossy > 50, "the threshold has to have cost something for this test to mean anything"


@pytest.mark.parametrize("method", ["raster", "serpentine"])
def test_sliding_drifts_beyond_the_threshold(corpus: Path, method: str) -> None:
    """The negative control: without anchoring the same comparison fails."""
    worst = 0.0
    for image in images(corpus / "images" / "photo"):
        source = raster(image, Fit.RESIZE)
        rebuilt = prune(source, TILE, method, "mae", TAU, mode="sliding").reconstruct()
        worst = max(worst, distances(source, rebuilt, "mae").max())
    assert worst > TAU
