"""The coder for Python programs: `from ppcli import prune, keep_mask`."""

import numpy as np
from numpy.typing import NDArray

from ppcli.coding.coder_options import CoderOptions, Method, Metric, Mode, parse_choice
from ppcli.coding.methods import select
from ppcli.coding.patchset import PatchSet, encode


def keep_mask(
    raster: NDArray[np.uint8],
    tile: int = 32,
    method: str = "pred_2d",
    metric: str = "max",
    threshold: float = 0.0,
    *,
    mode: str = "anchored",
    skip_ratio: float = 1.0,
    match_count: bool = False,
    seed: int = 0,
    image_id: str = "",
) -> NDArray[np.bool_]:
    """Which tiles of a raster are kept.

    Args:
        raster: RGB uint8 (grid_h·tile, grid_w·tile, 3).
        tile: side of a tile in pixels, patch size times merge size.
        method: pred_2d, raster, serpentine, conncomp or random.
        metric: exact, max, mae or rmse, in units of full scale.
        threshold: τ in [0, 1]; tiles at most this far apart are similar.
        mode: anchored (bounded error) or sliding (may drift).
        skip_ratio: conncomp only: the share of each component that is pruned.
        match_count: conncomp only: choose the skip_ratio nearest to pred_2d's count.
        seed: random only.
        image_id: random only: makes images draw differently under one seed.

    Returns:
        bool (grid_h, grid_w), true where the tile is kept.

    Raises:
        UsageError: for an unknown name, a number out of range or a raster of another shape.
    """
    options = CoderOptions(
        parse_choice(Method, "method", method),
        parse_choice(Metric, "metric", metric),
        parse_choice(Mode, "mode", mode),
        threshold,
        skip_ratio,
        match_count,
        seed,
    )
    return select(raster, tile, options, image_id)


def prune(
    raster: NDArray[np.uint8],
    tile: int = 32,
    method: str = "pred_2d",
    metric: str = "max",
    threshold: float = 0.0,
    *,
    mode: str = "anchored",
) -> PatchSet:
    """Prune a raster to its keep mask and kept tiles.

    Args:
        raster: RGB uint8 (grid_h·tile, grid_w·tile, 3).
        tile: side of a tile in pixels, patch size times merge size.
        method: pred_2d, raster or serpentine.
        metric: exact, max, mae or rmse, in units of full scale.
        threshold: τ in [0, 1]; at 0 nothing is lost.
        mode: anchored (bounded error) or sliding (may drift).

    Returns:
        A `PatchSet`: `.keep` bool (grid_h, grid_w), `.tiles` uint8 (kept, tile, tile, 3),
        `.reconstruct()`.

    Raises:
        UsageError: as `keep_mask`, and for a method whose patch sets cannot be decoded.
    """
    options = CoderOptions(
        parse_choice(Method, "method", method),
        parse_choice(Metric, "metric", metric),
        parse_choice(Mode, "mode", mode),
        threshold,
    )
    return encode(raster, tile, options)
