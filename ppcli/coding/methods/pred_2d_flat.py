"""pred_2d_flat: pred_2d, without tiles that repeat a colour."""

from typing import TYPE_CHECKING

from ppcli.coding.methods.pred_2d import Pred2D, predicted

if TYPE_CHECKING:
    from ppcli.coding.coder_options import CoderOptions
    from ppcli.coding.tile_grid import Comparison, Selection, TileGrid
    from ppcli.jit.kernel import Variant


class Pred2DFlat(Pred2D):
    """pred_2d, and then no second tile of one colour."""

    name = "pred_2d_flat"
    help = "pred_2d, and of the kept tiles of one colour only the first of each colour"
    has_choices = True

    def selection(self, grid: "TileGrid", options: "CoderOptions", image_id: str) -> "Selection":
        """Keep what pred_2d keeps, apart from tiles of a colour that was kept before."""
        from ppcli.coding.flat_colours import without_repeated_colours

        return without_repeated_colours(grid, *predicted(grid, options))

    def kernels(self, options: "CoderOptions", comparison: "Comparison") -> "list[Variant]":
        """Return the kernels of the prediction and of the colours."""
        from ppcli.coding.flat_colours import flat_kernels

        return [*super().kernels(options, comparison), *flat_kernels()]
