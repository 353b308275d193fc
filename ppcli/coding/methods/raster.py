"""raster: compare each tile with the last kept one, row by row."""

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


class Raster(PruningMethod):
    """One-dimensional prediction in row-major order."""

    name = "raster"
    help = "compare a tile with the last kept one, row by row"
    keeps_every_distinct_tile = True

    def selection(self, grid: "TileGrid", options: "CoderOptions", image_id: str) -> "Selection":
        """Keep the tiles that differ from the last kept one (sliding: from their predecessor)."""
        from ppcli.coding import kernels

        anchored, before = options.anchored, grid.before
        masks = kernels.scan(grid.pixels, grid.tile, *grid.comparison, anchored, False, before)
        return grid.selection(*masks)

    def is_decodable(self, options: "CoderOptions") -> bool:
        """Return True: the mask alone says which kept tile is repeated."""
        return True

    def sources(
        self, keep: "Mask", tiles: "Tiles", choices: "Choices | None", comparison: "Comparison"
    ) -> "Indices":
        """Repeat the last kept tile."""
        import numpy as np

        return (np.cumsum(keep) - 1).reshape(keep.shape)

    def kernels(self, options: "CoderOptions", comparison: "Comparison") -> "list[Variant]":
        """Return the kernel of the scan."""
        from ppcli.coding import kernels

        return [kernels.scan_into.of(*comparison.constants)]
