"""Which tiles of a raster are kept, by each method of DESIGN section 3."""

import numpy as np
import xxhash
from numpy.typing import NDArray

from ppcli.arguments import as_int, as_text, describe_value
from ppcli.coding import kernels
from ppcli.coding.coder_options import CoderOptions, Method, Metric, Mode, distance_bound
from ppcli.errors import UsageError
from ppcli.jit.kernel import Variant

Raster = NDArray[np.uint8]
Mask = NDArray[np.bool_]

KERNEL_METRIC = {
    Metric.EXACT: kernels.MAX,
    Metric.MAX: kernels.MAX,
    Metric.MAE: kernels.MAE,
    Metric.RMSE: kernels.RMSE,
}


def check_array(array: object, what: str) -> None:
    """Refuse what is no array, or one with a mask, which nothing here looks at.

    Raises:
        UsageError: when it is one of these.
    """
    if not isinstance(array, np.ndarray):
        raise UsageError(f"{what} is a NumPy array, and this is {describe_value(array)}")
    if isinstance(array, np.ma.MaskedArray):
        raise UsageError(f"{what} is a masked array, whose mask would be lost; fill it first")


def check_raster(raster: Raster, tile: int) -> tuple[Raster, int]:
    """The raster, contiguous, and the side of its tiles, after a check of shape and type.

    Raises:
        UsageError: unless it is uint8 (grid_h·tile, grid_w·tile, 3) with at least one tile.
    """
    tile = as_int(tile, "the tile", 1)
    check_array(raster, "a raster")
    if raster.dtype != np.uint8 or raster.ndim != 3 or raster.shape[2] != 3:
        raise UsageError(
            f"a raster is uint8 of shape (height, width, 3), and this one is {raster.dtype} "
            f"of shape {raster.shape}"
        )
    height, width, _ = raster.shape
    if height == 0 or width == 0 or height % tile or width % tile:
        raise UsageError(
            f"the raster is {width}×{height} pixels, not a whole number of tiles of "
            f"{tile}×{tile}; fit it first"
        )
    return np.ascontiguousarray(raster), tile


def select(raster: Raster, tile: int, options: CoderOptions, image_id: str = "") -> Mask:
    """The keep mask of a raster.

    Args:
        raster: uint8 (grid_h·tile, grid_w·tile, 3).
        tile: side of a tile in pixels.
        options: method, metric, mode, threshold and the controls' own numbers.
        image_id: the identity that seeds method `random`, so that images draw differently.

    Returns:
        bool (grid_h, grid_w), true where the tile is kept.

    Raises:
        UsageError: for a raster that is not a whole number of tiles.
    """
    raster, tile = check_raster(raster, tile)
    as_text(image_id, "image_id")
    flat = raster.reshape(raster.shape[0], -1)
    metric = KERNEL_METRIC[options.metric]
    bound = distance_bound(options.metric, options.threshold, tile)
    anchored = options.mode is Mode.ANCHORED
    lanes = kernels.lanes_of(3 * tile)
    if options.method is Method.PRED_2D:
        return kernels.pred_2d(flat, tile, lanes, metric, bound, anchored)
    if options.method is Method.CONNCOMP:
        labels = kernels.components(flat, tile, lanes, metric, bound)
        target = None
        if options.match_count:
            target = int(kernels.pred_2d(flat, tile, lanes, metric, bound, anchored).sum())
        keep = _spread_over_components(labels, options.skip_ratio, target)
        return keep.reshape(raster.shape[0] // tile, -1)
    if options.method is Method.RANDOM:
        model = kernels.pred_2d(flat, tile, lanes, metric, bound, anchored)
        return _draw(model, options.seed, image_id)
    serpentine = options.method is Method.SERPENTINE
    return kernels.scan(flat, tile, lanes, metric, bound, anchored, serpentine)


def kernels_of_method(options: CoderOptions, tile: int) -> list[Variant]:
    """What `select` calls with these options."""
    constants = kernels.lanes_of(3 * tile), KERNEL_METRIC[options.metric]
    if options.method in (Method.RASTER, Method.SERPENTINE):
        return [kernels.follow.of(*constants)]
    model = [kernels.predict.of(*constants)]
    if options.method is not Method.CONNCOMP:
        return model
    own = [kernels.connect.of(*constants), kernels.keep_some.of()]
    return own + model if options.match_count else own


def _draw(model: Mask, seed: int, image_id: str) -> Mask:
    """As many tiles as `model` keeps, drawn without replacement."""
    identity = xxhash.xxh3_64_intdigest(image_id.encode("utf-8", "surrogatepass"))
    generator = np.random.Generator(np.random.PCG64([seed, identity]))
    keep = np.zeros(model.size, dtype=np.bool_)
    keep[generator.choice(model.size, size=int(model.sum()), replace=False)] = True
    return keep.reshape(model.shape)


def _spread_over_components(
    labels: NDArray[np.int64], skip_ratio: float, target: int | None
) -> Mask:
    order = np.argsort(labels, kind="stable")
    sizes = np.unique(labels, return_counts=True)[1]
    if target is not None:
        skip_ratio = _matching_skip_ratio(sizes, target)
    return kernels.spread(order, sizes, _members_kept(sizes, skip_ratio))


def _members_kept(sizes: NDArray[np.int64], skip_ratio: float) -> NDArray[np.int64]:
    """max(1, n − round(n·skip_ratio)), rounding half to even, for each component of n members."""
    kept: NDArray[np.int64] = sizes - np.rint(sizes * skip_ratio).astype(np.int64)
    return np.maximum(1, kept)


def _matching_skip_ratio(sizes: NDArray[np.int64], target: int) -> float:
    """The skip_ratio that keeps the number of tiles nearest to `target`, on a tie the larger.

    The number falls with the ratio in steps, so the step at the target is found by bisection.
    """
    low, high = 0.0, 1.0
    if _members_kept(sizes, high).sum() >= target:
        return high
    while (middle := (low + high) / 2) not in (low, high):
        if _members_kept(sizes, middle).sum() >= target:
            low = middle
        else:
            high = middle
    over = _members_kept(sizes, low).sum() - target
    under = target - _members_kept(sizes, high).sum()
    return low if over <= under else high
