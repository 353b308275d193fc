"""The variants of an image that `eval` compares: full, pruned, and controls of the same size."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ppcli.coding.coder_options import CoderOptions, Method, Metric
from ppcli.coding.patchset import KeptTiles, cut_tiles
from ppcli.coding.selection import select_tiles
from ppcli.files import FileState
from ppcli.imaging.fit import fit_image
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import Fit
from ppcli.imaging.page_cache import page_source
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.imaging.resample import resample
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.analysis_options import AnalysisOptions, load_kernels
from ppcli.jobs.eval_options import VariantOptions
from ppcli.models.remote.sent_image import SentImage
from ppcli.store.patch_codec import to_patch_row
from ppcli.store.rows import FULL, PatchRow

SCALED = "scaled down"
_LEVELS = 255
Raster = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ImageVariant:
    """A way to reduce an image.

    Attributes:
        name: of the variant.
        coder: selects tiles; None keeps all of them.
        matched: replace the threshold by one that keeps about as many tiles as pred_2d.
        scaled: keep all tiles of a smaller image that has about as many as `coder` would keep.
    """

    name: str
    coder: CoderOptions | None = None
    matched: bool = False
    scaled: bool = False


def variants_of(options: VariantOptions, controls: bool) -> list[ImageVariant]:
    """Return the variants to compare: the full image first, then the pruned ones.

    Args:
        options: the settings; each gives one variant.
        controls: also return the controls, each with as many tokens as pred_2d keeps with the
            first metric at the first threshold.
    """
    settings = product(options.methods, options.metrics, options.thresholds)
    coders = [
        CoderOptions(method, metric, threshold=threshold, seed=options.seed)
        for method, metric, threshold in settings
    ]
    compared = [ImageVariant(FULL), *(ImageVariant(_name(coder), coder) for coder in coders)]
    if not controls:
        return compared
    first = replace(coders[0], method=Method.PRED_2D)
    return [
        *compared,
        ImageVariant("random", replace(first, method=Method.RANDOM)),
        ImageVariant("conncomp", replace(first, method=Method.CONNCOMP, match_count=True)),
        ImageVariant("raster", replace(first, method=Method.RASTER), matched=True),
        ImageVariant(SCALED, first, scaled=True),
    ]


def _name(coder: CoderOptions) -> str:
    metric = "" if coder.metric is Metric.MAX else f" {coder.metric}"
    tau = coder.known_threshold
    return f"{coder.method}{metric} τ={coder.threshold if tau is None else f'{tau:.3g}'}"


@dataclass(frozen=True, slots=True)
class PreparedVariants:
    """One image in all variants.

    Attributes:
        images: of each variant, its patch set or what is sent to a server.
        tokens: tiles of the full image.
        select_ms: milliseconds that pruning took, of each variant.
        state: of the image file when it was opened.
        kept: number of kept tiles of each variant; None if the model counts them.
    """

    images: Sequence[PatchRow | SentImage]
    tokens: int
    select_ms: Sequence[float]
    state: FileState
    kept: Sequence[int] | None = None

    @property
    def nbytes(self) -> int:
        """Approximate size in memory, in bytes."""
        return sum(image.nbytes for image in self.images)


def load_variant_kernels(fit: FitOptions, wanted: Sequence[ImageVariant]) -> None:
    """Load, or compile, the kernels of all variants before the first image is timed."""
    load_kernels(AnalysisOptions(CoderOptions(), fit))
    raster = np.zeros((2 * fit.tile, 2 * fit.tile, 3), np.uint8)
    for variant in wanted:
        _kept(variant, raster, raster, fit, "")


def prepare_variants(
    ref: ImageRef, fit: FitOptions, wanted: Sequence[ImageVariant]
) -> PreparedVariants:
    """Decode the first page of an image and make its variants; runs in a worker.

    Args:
        ref: the image.
        fit: of the model.
        wanted: the variants.

    Raises:
        ImageError: if the image cannot be decoded.
    """
    reading = ReadingOptions()
    with page_source(ref.file, reading) as loan:
        pixels = np.array(loan.source.page(1, reading.background))
        state = loan.state
    raster = fit_image(pixels, fit).raster
    images, times = [], []
    for variant in wanted:
        started = time.perf_counter()
        kept = _kept(variant, pixels, raster, fit, ref.image_id)
        times.append((time.perf_counter() - started) * 1000)
        images.append(to_patch_row(ref.image_id, (1, 1), (1, 1), Fit.RESIZE, kept, ""))
    tokens = raster.shape[0] * raster.shape[1] // fit.tile**2
    return PreparedVariants(images, tokens, times, state)


def _kept(
    variant: ImageVariant, pixels: Raster, raster: Raster, fit: FitOptions, image_id: str
) -> KeptTiles:
    coder = variant.coder
    if variant.scaled:
        assert coder is not None
        kept = int(select_tiles(raster, fit.tile, coder, image_id).sum())
        raster, coder = _scaled(pixels, raster, kept, fit.tile), None
    if coder is None:
        keep = np.ones((raster.shape[0] // fit.tile, raster.shape[1] // fit.tile), np.bool_)
        return KeptTiles(keep, cut_tiles(raster, keep, fit.tile), CoderOptions())
    if variant.matched:
        coder = _matched(coder, raster, fit.tile, image_id)
    return KeptTiles.of_raster(raster, fit.tile, coder, image_id)


def _scaled(pixels: Raster, raster: Raster, kept: int, tile: int) -> Raster:
    """Resize the image to a grid of about its shape and about `kept` tiles."""
    rows, columns = raster.shape[0] // tile, raster.shape[1] // tile
    share = (kept / (rows * columns)) ** 0.5
    grids = [
        (max(1, int(rows * share) + more), max(1, int(columns * share) + wider))
        for more in (0, 1)
        for wider in (0, 1)
    ]
    high, wide = min(grids, key=lambda grid: abs(grid[0] * grid[1] - kept))
    return resample(pixels, wide * tile, high * tile)


def _matched(coder: CoderOptions, raster: Raster, tile: int, image_id: str) -> CoderOptions:
    """Replace the threshold by the lowest one that keeps the number of tiles nearest to pred_2d."""
    wanted = int(select_tiles(raster, tile, replace(coder, method=Method.PRED_2D), image_id).sum())

    def off(level: int) -> int:
        at = replace(coder, threshold=level / _LEVELS)
        return int(select_tiles(raster, tile, at, image_id).sum()) - wanted

    low, high = -1, _LEVELS  # `low` keeps too many tiles, `high` does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if off(middle) > 0 else (low, middle)
    nearest = min((level for level in (low, high) if level >= 0), key=lambda one: abs(off(one)))
    return replace(coder, threshold=nearest / _LEVELS)
