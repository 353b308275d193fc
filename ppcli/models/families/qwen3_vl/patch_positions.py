"""Positions of patches in the vision transformer of Qwen3-VL."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class PatchPositions:
    """Positions of the kept patches of one image, in merge-block order.

    Attributes:
        pos_hw: int64 (N, 2), row and column among the patches of the whole image.
        interp_idx: int64 (N, 4), rows of the learned position embeddings.
        interp_w: float32 (N, 4), their weights.
    """

    pos_hw: Integers
    interp_idx: Integers
    interp_w: NDArray[np.float32]

    def as_inputs(self) -> dict[str, NDArray[Any]]:
        """The positions by the names that the vision graph has for them."""
        return {"pos_hw": self.pos_hw, "interp_idx": self.interp_idx, "interp_w": self.interp_w}


def patch_positions(keep: Mask, merge_size: int, positions_per_side: int) -> PatchPositions:
    """Compute the positions of the patches of kept tiles.

    They are those in the whole image, whatever is pruned. The square of learned embeddings is
    stretched over all patches, corners aligned, and interpolated bilinearly.

    Args:
        keep: bool (grid_h, grid_w), the kept tiles.
        merge_size: M, patches along the side of a tile.
        positions_per_side: rows and columns of the learned square.
    """
    m = merge_size
    tiles = np.argwhere(keep)
    within = np.stack(np.divmod(np.arange(m * m), m), axis=1)
    pos_hw = (tiles[:, None] * m + within).reshape(-1, 2).astype(np.int64)
    rows = _taps(pos_hw[:, 0], keep.shape[0] * m, positions_per_side)
    columns = _taps(pos_hw[:, 1], keep.shape[1] * m, positions_per_side)
    indices = rows[0][:, :, None] * positions_per_side + columns[0][:, None, :]
    weights = rows[1][:, :, None] * columns[1][:, None, :]
    return PatchPositions(pos_hw, indices.reshape(-1, 4), weights.reshape(-1, 4))


def _taps(position: Integers, size: int, side: int) -> tuple[Integers, NDArray[np.float32]]:
    """The two embeddings next to each position along an axis, and their weights."""
    exact = position.astype(np.float32) * np.float32(side - 1) / np.float32(max(size - 1, 1))
    below = np.floor(exact)
    weight_below = np.float32(1) - (exact - below)
    first = below.astype(np.int64)
    taps = np.stack([first, np.minimum(first + 1, side - 1)], axis=1)
    return taps, np.stack([weight_below, np.float32(1) - weight_below], axis=1)
