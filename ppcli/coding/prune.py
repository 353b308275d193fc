"""The public functions of the coder: `from ppcli import keep_mask, prune`."""

import numpy as np
from numpy.typing import NDArray

from ppcli.coding.coder_options import CoderOptions, Threshold
from ppcli.coding.patchset import PatchSet, encode
from ppcli.coding.selection import select_tiles


def keep_mask(
    raster: NDArray[np.uint8],
    tile: int = 32,
    method: str = "pred_2d",
    metric: str = "max",
    threshold: Threshold = 0.0,
    *,
    mode: str = "anchored",
    skip_ratio: float = 1.0,
    match_count: bool = False,
    seed: int = 0,
    image_id: str = "",
    before: NDArray[np.uint8] | None = None,
) -> NDArray[np.bool_]:
    """Return which tiles of a raster are kept.

    Args:
        raster: RGB uint8 (grid_h·tile, grid_w·tile, 3).
        tile: side of a tile in pixels: patch size times merge size.
        method: a method of `pixelprune analyze --method`, such as pred_2d or conncomp.
        metric: exact, max, mae, rmse or two_scale, in units of full scale.
        threshold: τ in [0, 1]; tiles at a distance of at most τ are similar. "auto" (metric max)
            follows the noise of the image.
        mode: anchored (bounded error) or sliding (may drift).
        skip_ratio: share of each component that is pruned (conncomp only).
        match_count: choose the skip_ratio whose count is nearest to pred_2d's (conncomp only).
        seed: seed of the random draw (random only).
        image_id: identity of the image, so that images draw differently (random only).
        before: the rebuilt raster of the frame before in a sequence, of the same shape; tiles that
            are similar to those in their place there are pruned, too.

    Returns:
        bool (grid_h, grid_w), true where the tile is kept.

    Raises:
        UsageError: a name is unknown, a number is out of range, or the raster has another shape.
    """
    options = CoderOptions.from_names(
        method,
        metric,
        threshold,
        mode,
        skip_ratio=skip_ratio,
        match_count=match_count,
        seed=seed,
    )
    return select_tiles(raster, tile, options, image_id, before)


def prune(
    raster: NDArray[np.uint8],
    tile: int = 32,
    method: str = "pred_2d",
    metric: str = "max",
    threshold: Threshold = 0.0,
    *,
    mode: str = "anchored",
    before: NDArray[np.uint8] | None = None,
) -> PatchSet:
    """Prune a raster to its keep mask and kept tiles.

    Args:
        raster: RGB uint8 (grid_h·tile, grid_w·tile, 3).
        tile: side of a tile in pixels: patch size times merge size.
        method: a method that can be decoded, such as pred_2d or raster.
        metric: exact, max, mae, rmse or two_scale, in units of full scale.
        threshold: τ in [0, 1]; 0 is lossless. "auto" (max or two_scale) follows the noise of the
            image; `.options.threshold` is what it takes.
        mode: anchored (bounded error) or sliding (may drift).
        before: the rebuilt raster of the frame before in a sequence, of the same shape; tiles that
            are similar to those in their place there are pruned, too. The first tile never is.

    Returns:
        A `PatchSet` with `.keep`, bool (grid_h, grid_w), `.tiles`, uint8 (kept, tile, tile, 3),
        and `.reconstruct()`, which takes `before`, too.

    Raises:
        UsageError: as for `keep_mask`, or the configuration cannot be decoded.
    """
    return encode(raster, tile, CoderOptions.from_names(method, metric, threshold, mode), before)
