"""pred_2d: predict each tile from its left, upper and upper-left neighbours."""

from typing import TYPE_CHECKING

from ppcli.coding.methods.interface import PruningMethod

if TYPE_CHECKING:
    from ppcli.coding.coder_options import CoderOptions
    from ppcli.coding.tile_grid import (
        Choices,
        Comparison,
        Indices,
        Mask,
        Selection,
        TileGrid,
        Tiles,
    )
    from ppcli.jit.kernel import Variant


class Pred2D(PruningMethod):
    """Two-dimensional prediction, after the LOCO-I predictor of JPEG-LS."""

    name = "pred_2d"
    help = "predict a tile from its left, upper and upper-left neighbours"
    keeps_every_distinct_tile = True

    def selection(self, grid: "TileGrid", options: "CoderOptions", image_id: str) -> "Selection":
        """Keep the tiles that are not similar to their prediction."""
        return grid.selection(*predicted(grid, options))

    def is_decodable(self, options: "CoderOptions") -> bool:
        """Return whether the prediction depends on rebuilt tiles only."""
        return options.anchored or options.threshold == 0

    def sources(
        self, keep: "Mask", tiles: "Tiles", choices: "Choices | None", comparison: "Comparison"
    ) -> "Indices":
        """Repeat the prediction with the tiles rebuilt so far."""
        import numpy as np

        from ppcli.coding import kernels

        stacked = np.ascontiguousarray(tiles).reshape(-1, tiles.shape[1] * 3)
        if choices is None:
            choices = np.zeros(keep.size - len(tiles), dtype=np.uint32)
        return kernels.pred_2d_sources(keep, stacked, choices, *comparison)

    def kernels(self, options: "CoderOptions", comparison: "Comparison") -> "list[Variant]":
        """Return the kernel of the prediction."""
        from ppcli.coding import kernels

        return [kernels.pred_2d_into.of(*comparison.constants)]

    def decoding_kernels(self, comparison: "Comparison") -> "list[Variant]":
        """Return the kernel that repeats the prediction."""
        from ppcli.coding import kernels

        return [kernels.pred_2d_sources_into.of(*comparison.constants)]


def predicted(grid: "TileGrid", options: "CoderOptions") -> "tuple[Mask, Mask]":
    """Return the kept and the unchanged tiles, bool (grid_h, grid_w) each."""
    from ppcli.coding import kernels

    anchored, before = options.anchored, grid.before
    return kernels.pred_2d(grid.pixels, grid.tile, *grid.comparison, anchored, before)
