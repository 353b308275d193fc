"""conncomp: prune a share of each connected component of similar tiles."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ppcli.coding.methods.interface import PruningMethod

if TYPE_CHECKING:
    from ppcli.coding.coder_options import CoderOptions
    from ppcli.coding.tile_grid import Comparison, Indices, Selection, TileGrid
    from ppcli.jit.kernel import Variant


class Conncomp(PruningMethod):
    """Members spread evenly over each 4-connected component of similar neighbours."""

    name = "conncomp"
    help = "keep a share of each connected component of similar tiles"
    used_options = frozenset({"skip_ratio", "match_count"})
    keeps_every_distinct_tile = True

    def selection(self, grid: "TileGrid", options: "CoderOptions", image_id: str) -> "Selection":
        """Keep max(1, n − round(n·skip_ratio)) of the n members, rounding half to even."""
        import numpy as np

        from ppcli.coding import kernels, tile_kernels
        from ppcli.coding.methods.pred_2d import predicted
        from ppcli.coding.tile_grid import Selection

        labels = kernels.components(grid.pixels, grid.tile, *grid.comparison)
        members = np.argsort(labels, kind="stable")
        sizes = np.unique(labels, return_counts=True)[1]

        def kept(skip_ratio: float) -> "Indices":
            pruned = np.rint(sizes * skip_ratio).astype(np.int64)
            return np.asarray(np.maximum(1, sizes - pruned))

        skip_ratio = options.skip_ratio
        if options.match_count:
            model, _ = predicted(grid, options)
            target = int(model.sum())
            skip_ratio = _matching_skip_ratio(lambda ratio: int(kept(ratio).sum()), target)
        keep = tile_kernels.spread(members, sizes, kept(skip_ratio))
        return Selection(keep.reshape(grid.shape))

    def kernels(self, options: "CoderOptions", comparison: "Comparison") -> "list[Variant]":
        """Return the kernels of the components, and that of pred_2d where its count is needed."""
        from ppcli.coding import kernels, tile_kernels

        constants = comparison.constants
        needed = [kernels.components_into.of(*constants), tile_kernels.spread_into.of()]
        return [*needed, kernels.pred_2d_into.of(*constants)] if options.match_count else needed


def _matching_skip_ratio(kept: Callable[[float], int], target: int) -> float:
    """Return the ratio whose count is nearest to `target`; of two equally near, the larger count.

    The count falls with the ratio in steps, so bisection finds the step at the target.
    """
    low, high = 0.0, 1.0
    if kept(high) >= target:
        return high
    while (middle := (low + high) / 2) not in (low, high):
        if kept(middle) >= target:
            low = middle
        else:
            high = middle
    return low if kept(low) - target <= target - kept(high) else high
