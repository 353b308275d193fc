"""The interface that every pruning method implements."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

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

METHOD_OPTIONS = ("skip_ratio", "match_count", "seed")


class PruningMethod(ABC):
    """A way to decide which tiles are kept.

    Attributes:
        name: the value of `--method`, and of `method` in columns and manifests.
        help: what the method does, as a phrase without a full stop.
        used_options: those of `METHOD_OPTIONS` that have an effect.
        has_choices: whether patch sets say how pruned tiles are rebuilt; see `Selection`.
        keeps_every_distinct_tile: whether at threshold 0 every pruned tile equals a kept one.
        is_control: whether it only serves as a control in experiments. A control keeps as many
            tiles as pred_2d and is refused where the inputs of a model are prepared.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    used_options: ClassVar[frozenset[str]] = frozenset()
    has_choices: ClassVar[bool] = False
    keeps_every_distinct_tile: ClassVar[bool] = False
    is_control: ClassVar[bool] = False

    @abstractmethod
    def selection(self, grid: "TileGrid", options: "CoderOptions", image_id: str) -> "Selection":
        """Return which tiles are kept, and what else decoding needs.

        Args:
            grid: the tiles of the image, and how they are compared. There is a frame before only
                with options for which `is_decodable` is true.
            options: the configuration; `options.method` is this one.
            image_id: the identity of the image, for methods that draw at random.

        Returns:
            At least one tile is kept.
        """

    def is_decodable(self, options: "CoderOptions") -> bool:
        """Return whether the raster can be rebuilt from a patch set; by default False.

        At threshold 0 the rebuilt raster must equal the source; `verify --data` checks it.
        """
        return False

    def sources(
        self, keep: "Mask", tiles: "Tiles", choices: "Choices | None", comparison: "Comparison"
    ) -> "Indices":
        """Return the kept tile that each tile of the rebuilt raster is a copy of.

        Only called with options for which `is_decodable` is true. Unchanged tiles of a sequence
        count as kept ones.

        Args:
            keep: bool (grid_h, grid_w); the first tile is kept.
            tiles: the kept tiles in row-major order, uint8 (kept, tile, tile, 3).
            choices: uint32 (pruned,) as from `selection`; None for a method without choices.
            comparison: as it was when the mask was made.

        Returns:
            int64 (grid_h, grid_w), indices into `tiles`.

        Raises:
            DamagedError: the choices are impossible.
        """
        raise NotImplementedError(f"method {self.name} cannot be decoded")

    def kernels(self, options: "CoderOptions", comparison: "Comparison") -> "list[Variant]":
        """Return the kernels that `selection` calls, so that they can be compiled beforehand."""
        return []

    def decoding_kernels(self, comparison: "Comparison") -> "list[Variant]":
        """Return the kernels that `sources` calls."""
        return []
