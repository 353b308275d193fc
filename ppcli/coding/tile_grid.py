"""A raster as a grid of tiles, and how its tiles are compared."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ppcli.coding import similarity
from ppcli.coding.coder_options import CoderOptions, Metric, block_bound, distance_bound

Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]
Tiles = NDArray[np.uint8]
Choices = NDArray[np.uint32]

_KERNEL_METRIC = {
    Metric.EXACT: similarity.MAX,
    Metric.MAX: similarity.MAX,
    Metric.MAE: similarity.MAE,
    Metric.RMSE: similarity.RMSE,
    Metric.TWO_SCALE: similarity.TWO_SCALE,
}


class Selection(NamedTuple):
    """What a method decides.

    Attributes:
        keep: bool (grid_h, grid_w), true where the tile is kept; at least one is.
        choices: uint32 (pruned,), for each pruned tile, in row-major order, how it is rebuilt; None
            if mask and kept tiles tell that.
        unchanged: bool (pruned,), for each pruned tile, whether it is that of the frame before;
            None without a frame before.
    """

    keep: Mask
    choices: Choices | None = None
    unchanged: Mask | None = None


class Comparison(NamedTuple):
    """How kernels compare two tiles, in the order of their arguments.

    Attributes:
        lanes: bytes compared at a time.
        metric: `similarity.MAX`, `MAE`, `RMSE` or `TWO_SCALE`.
        bound: the largest integer distance at which two tiles are similar; for `TWO_SCALE` several
            of them, as from `similarity.packed_bounds`.
    """

    lanes: int
    metric: int
    bound: int

    @classmethod
    def of(cls, options: CoderOptions, tile: int) -> "Comparison":
        """Return the comparison of tiles of `tile`×`tile` pixels under these options.

        Their threshold is a number.
        """
        bound = distance_bound(options.metric, options.tau, tile)
        if options.metric is Metric.TWO_SCALE:
            sizes = similarity.block_sizes(tile)
            bound = similarity.packed_bounds(bound, [block_bound(options.tau, n) for n in sizes])
        return cls(similarity.lanes_of(3 * tile), _KERNEL_METRIC[options.metric], bound)

    @property
    def constants(self) -> tuple[int, int]:
        """What is compiled into a kernel: lanes and metric."""
        return self.lanes, self.metric


@dataclass(frozen=True, slots=True, eq=False)
class TileGrid:
    """The tiles of one image.

    Attributes:
        pixels: the raster's bytes, uint8 (grid_h·tile, grid_w·tile·3), contiguous. Methods may
            change them if there is a frame before.
        tile: side of a tile in pixels.
        comparison: how tiles are compared.
        before: the rebuilt frame before, as `pixels`; without rows if there is none.
    """

    pixels: Tiles
    tile: int
    comparison: Comparison
    before: Tiles

    @classmethod
    def of(
        cls, raster: Tiles, tile: int, options: CoderOptions, before: Tiles | None = None
    ) -> "TileGrid":
        """Return the tiles of a raster, uint8 (grid_h·tile, grid_w·tile, 3), in a sequence or not.

        Args:
            raster: contiguous.
            tile: side of a tile in pixels.
            options: how tiles are compared. Their threshold is a number.
            before: the rebuilt frame before, of the same shape, contiguous.
        """
        if before is None:
            before = np.empty((0, 0), dtype=np.uint8)
        elif options.anchored and options.tau > 0:
            raster = raster.copy()
        pixels, older = (one.reshape(len(one), -1) if len(one) else one for one in (raster, before))
        return cls(pixels, tile, Comparison.of(options, tile), older)

    @property
    def shape(self) -> tuple[int, int]:
        """(grid_h, grid_w)."""
        height, width = self.pixels.shape
        return height // self.tile, width // (3 * self.tile)

    def selection(self, keep: Mask, unchanged: Mask, choices: Choices | None = None) -> Selection:
        """Return what a method has decided, each array (grid_h, grid_w)."""
        pruned = ~keep
        return Selection(
            keep,
            None if choices is None else choices[pruned],
            unchanged[pruned] if len(self.before) else None,
        )
