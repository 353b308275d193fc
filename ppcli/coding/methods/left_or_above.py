"""left_or_above: prune a tile that is similar to its left or its upper neighbour."""

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


class LeftOrAbove(PruningMethod):
    """Two candidates for each tile; patch sets say which one it is."""

    name = "left_or_above"
    help = "prune a tile that is similar to its left or its upper neighbour"
    has_choices = True
    keeps_every_distinct_tile = True

    def selection(self, grid: "TileGrid", options: "CoderOptions", image_id: str) -> "Selection":
        """Keep the tiles that are similar to neither neighbour."""
        return grid.selection(*selected(grid, options))

    def is_decodable(self, options: "CoderOptions") -> bool:
        """Return True: the choices say which neighbour is repeated."""
        return True

    def sources(
        self, keep: "Mask", tiles: "Tiles", choices: "Choices | None", comparison: "Comparison"
    ) -> "Indices":
        """Follow the choices."""
        from ppcli.coding.tile_kernels import left_or_above_sources

        assert choices is not None
        return left_or_above_sources(keep, choices)

    def kernels(self, options: "CoderOptions", comparison: "Comparison") -> "list[Variant]":
        """Return the kernel of the comparison."""
        from ppcli.coding import kernels

        return [kernels.left_or_above_into.of(*comparison.constants)]

    def decoding_kernels(self, comparison: "Comparison") -> "list[Variant]":
        """Return the kernel that follows the choices."""
        from ppcli.coding.tile_kernels import left_or_above_sources_into

        return [left_or_above_sources_into.of()]


def selected(grid: "TileGrid", options: "CoderOptions") -> "tuple[Mask, Mask, Choices]":
    """Return the kept and the unchanged tiles and the choices, (grid_h, grid_w) each."""
    from ppcli.coding import kernels

    anchored, before = options.anchored, grid.before
    return kernels.left_or_above(grid.pixels, grid.tile, *grid.comparison, anchored, before)
