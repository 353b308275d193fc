"""What is fed instead of a whole image must be of the size that it is compared at."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ppcli.coding.coder_options import Threshold
from ppcli.coding.patchset import KeptTiles
from ppcli.coding.prune import keep_mask
from ppcli.errors import UsageError
from ppcli.files import LocalFile
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import Fit
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.eval_options import VariantOptions
from ppcli.jobs.variants import SCALED, PreparedVariants, prepare_variants, variants_of
from ppcli.store.patch_codec import kept_tiles
from ppcli.store.rows import FULL
from tests.conftest import blocks

FIT = FitOptions(Fit.RESIZE, 16, 2, 4096, 1 << 24)


def prepared(
    tmp_path: Path, pixels: np.ndarray, *thresholds: Threshold, **options: Any
) -> dict[str, KeptTiles]:
    Image.fromarray(pixels).save(tmp_path / "a.png")
    compared = VariantOptions(thresholds or (0.0,), seed=1, **options)
    ways = variants_of(compared, compared.controls)
    made: PreparedVariants = prepare_variants(
        ImageRef(LocalFile(str(tmp_path / "a.png")), "a.png"), FIT, ways
    )
    assert made.tokens == pixels.shape[0] * pixels.shape[1] // 1024
    assert len(made.select_ms) == len(ways)
    tiles = map(kept_tiles, made.images)
    return {way.name: kept for way, kept in zip(ways, tiles, strict=True)}


def noisy(levels: int = 2) -> np.ndarray:
    """Blocks with a little noise in half of the tiles, so that thresholds matter."""
    raster = blocks(352, 288, levels=levels, seed=4).astype(int)
    rng = np.random.default_rng(0)
    raster[:, 160:] += rng.integers(0, 9, (288, 192, 3)) * (rng.random((288, 192, 1)) < 0.2)
    return np.clip(raster, 0, 255).astype(np.uint8)


def test_as_many_tokens(tmp_path: Path) -> None:
    pixels = noisy()
    made = prepared(tmp_path, pixels, 0.0, 0.05)
    names = ["full", "pred_2d τ=0", "pred_2d τ=0.05", "random", "conncomp", "raster", "scaled down"]
    assert list(made) == names
    kept = {name: one.kept for name, one in made.items()}
    assert np.array_equal(made["pred_2d τ=0"].keep, keep_mask(pixels))
    assert kept[FULL] == 99 > kept["pred_2d τ=0"] > kept["pred_2d τ=0.05"]
    assert kept["random"] == kept["pred_2d τ=0"]
    assert abs(kept["raster"] - kept["random"]) <= 3
    assert abs(kept["conncomp"] - kept["random"]) <= 3
    assert abs(kept[SCALED] - kept["random"]) <= 5
    assert made[SCALED].keep.all()


def test_an_own_threshold_and_as_many_tokens(tmp_path: Path) -> None:
    pixels = noisy()
    made = prepared(tmp_path, pixels, "auto", 0.0)
    assert list(made)[:3] == ["full", "pred_2d τ=auto", "pred_2d τ=0"]
    pruned = made["pred_2d τ=auto"]
    assert pruned.options.threshold == 8 / 255
    assert np.array_equal(pruned.keep, keep_mask(pixels, threshold=8 / 255))
    assert made["random"].kept == pruned.kept < made["pred_2d τ=0"].kept
    assert abs(made["raster"].kept - pruned.kept) <= 3


@pytest.mark.parametrize("colours", [1, 2, 9])
def test_raster_with_the_nearest_count_of_all_thresholds(tmp_path: Path, colours: int) -> None:
    pixels = noisy(colours)
    made = prepared(tmp_path, pixels)
    wanted = made["pred_2d τ=0"].kept
    counts = [
        int(keep_mask(pixels, method="raster", threshold=level / 255).sum()) for level in range(256)
    ]
    off = min(abs(count - wanted) for count in counts)
    assert abs(made["raster"].kept - wanted) <= off + 2  # counts need not fall at every step


def test_a_plain_image_is_one_tile(tmp_path: Path) -> None:
    made = prepared(tmp_path, np.full((320, 320, 3), 9, np.uint8))
    assert [one.kept for one in made.values()] == [100, 1, 1, 1, 1, 1]


def test_each_method_with_each_metric_at_each_threshold(tmp_path: Path) -> None:
    pixels = noisy()
    methods, metrics = ("left_or_above", "pred_2d"), ("max", "mae")
    made = prepared(tmp_path, pixels, 0.0, 0.05, methods=methods, metrics=metrics)
    names = [
        f"{method}{metric} τ={threshold}"
        for method in methods
        for metric in ("", " mae")
        for threshold in ("0", "0.05")
    ]
    assert list(made)[:9] == [FULL, *names]
    for name in names:
        method, *metric, threshold = name.split()
        mask = keep_mask(
            pixels,
            method=method,
            metric=metric[0] if metric else "max",
            threshold=float(threshold.removeprefix("τ=")),
        )
        assert np.array_equal(made[name].keep, mask)
    kept = {name: one.kept for name, one in made.items()}
    assert kept["left_or_above mae τ=0.05"] < kept["left_or_above τ=0"]
    assert kept["random"] == kept["pred_2d τ=0"]  # whatever method is first


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"methods": ()}, "no methods or no metrics"),
        ({"metrics": ()}, "no methods or no metrics"),
        ({"methods": ("pred_2d_flt",)}, "Did you mean 'pred_2d_flat'"),
        ({"methods": ("pred_2d", "random")}, "method random is a control"),
        ({"methods": "pred_2d"}, "must be a list of strings"),
    ],
)
def test_what_cannot_be_compared(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        VariantOptions(**options)
