"""The rule of flat colours, on top of another method."""

import numpy as np

from ppcli.coding.tile_grid import Choices, Mask, Selection, TileGrid
from ppcli.coding.tile_kernels import repeat_colours, repeat_colours_into
from ppcli.jit.kernel import Variant


def without_repeated_colours(
    grid: TileGrid, keep: Mask, unchanged: Mask, choices: Choices | None = None
) -> Selection:
    """Prune kept tiles of one colour for which a tile of exactly that colour was kept before.

    Args:
        grid: the tiles of the image.
        keep: bool (grid_h, grid_w), the mask of the other method, which is changed.
        unchanged: bool (grid_h, grid_w), its unchanged tiles, which count as kept; changed, too.
        choices: uint32 (grid_h, grid_w), its choices, which are changed; None for all 0.
    """
    if choices is None:
        choices = np.zeros(keep.shape, dtype=np.uint32)
    repeat_colours(grid.pixels, grid.tile, grid.before, keep, unchanged, choices)
    return grid.selection(keep, unchanged, choices)


def flat_kernels() -> list[Variant]:
    """Return the kernel of the rule."""
    return [repeat_colours_into.of()]
