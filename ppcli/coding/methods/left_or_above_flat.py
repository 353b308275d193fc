"""left_or_above_flat: left_or_above, without tiles that repeat a colour."""

from typing import TYPE_CHECKING

from ppcli.coding.methods.left_or_above import LeftOrAbove, selected

if TYPE_CHECKING:
    from ppcli.coding.coder_options import CoderOptions
    from ppcli.coding.tile_grid import Comparison, Selection, TileGrid
    from ppcli.jit.kernel import Variant


class LeftOrAboveFlat(LeftOrAbove):
    """left_or_above, and then no second tile of one colour."""

    name = "left_or_above_flat"
    help = "left_or_above, and of the kept tiles of one colour only the first of each colour"

    def selection(self, grid: "TileGrid", options: "CoderOptions", image_id: str) -> "Selection":
        """Keep what left_or_above keeps, apart from tiles of a colour that was kept before."""
        from ppcli.coding.flat_colours import without_repeated_colours

        return without_repeated_colours(grid, *selected(grid, options))

    def kernels(self, options: "CoderOptions", comparison: "Comparison") -> "list[Variant]":
        """Return the kernels of the comparison and of the colours."""
        from ppcli.coding.flat_colours import flat_kernels

        return [*super().kernels(options, comparison), *flat_kernels()]
