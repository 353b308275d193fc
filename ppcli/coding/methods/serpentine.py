"""serpentine: as raster, along a boustrophedon scan."""

from typing import TYPE_CHECKING

from ppcli.coding.methods.raster import Raster

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


class Serpentine(Raster):
    """One-dimensional prediction, even rows left to right and odd rows right to left."""

    name = "serpentine"
    help = "as raster, every second row from right to left"

    def selection(self, grid: "TileGrid", options: "CoderOptions", image_id: str) -> "Selection":
        """Keep the tiles that differ from the last kept one (sliding: from their predecessor)."""
        from ppcli.coding import kernels

        anchored, before = options.anchored, grid.before
        masks = kernels.scan(grid.pixels, grid.tile, *grid.comparison, anchored, True, before)
        return grid.selection(*masks)

    def sources(
        self, keep: "Mask", tiles: "Tiles", choices: "Choices | None", comparison: "Comparison"
    ) -> "Indices":
        """Repeat the last kept tile along the scan, as an index into the row-major tiles."""
        import numpy as np

        in_scan_order = np.where(keep, np.cumsum(keep).reshape(keep.shape) - 1, -1)
        in_scan_order[1::2] = in_scan_order[1::2, ::-1]
        scan = in_scan_order.ravel()
        last_kept = np.maximum.accumulate(np.where(scan >= 0, np.arange(scan.size), 0))
        sources = scan[last_kept].reshape(keep.shape)
        sources[1::2] = sources[1::2, ::-1].copy()
        return sources
