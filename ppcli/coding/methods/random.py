"""random: as many tiles as pred_2d keeps, drawn at random."""

from typing import TYPE_CHECKING

from ppcli.coding.methods.interface import PruningMethod

if TYPE_CHECKING:
    from ppcli.coding.coder_options import CoderOptions
    from ppcli.coding.tile_grid import Comparison, Selection, TileGrid
    from ppcli.jit.kernel import Variant


class Random(PruningMethod):
    """The control for experiments: pred_2d's number of tiles, without its choice."""

    name = "random"
    help = "draw as many tiles as pred_2d keeps, as a control"
    used_options = frozenset({"seed"})
    is_control = True

    def selection(self, grid: "TileGrid", options: "CoderOptions", image_id: str) -> "Selection":
        """Draw without replacement, seeded with `options.seed` and the hash of `image_id`."""
        import numpy as np
        import xxhash

        from ppcli.coding.methods.pred_2d import predicted
        from ppcli.coding.tile_grid import Selection

        model, _ = predicted(grid, options)
        identity = xxhash.xxh3_64_intdigest(image_id.encode("utf-8", "surrogatepass"))
        generator = np.random.Generator(np.random.PCG64([options.seed, identity]))
        keep = np.zeros(model.size, dtype=np.bool_)
        keep[generator.choice(model.size, size=int(model.sum()), replace=False)] = True
        return Selection(keep.reshape(model.shape))

    def kernels(self, options: "CoderOptions", comparison: "Comparison") -> "list[Variant]":
        """Return the kernel of pred_2d, whose count is drawn."""
        from ppcli.coding import kernels

        return [kernels.pred_2d_into.of(*comparison.constants)]
