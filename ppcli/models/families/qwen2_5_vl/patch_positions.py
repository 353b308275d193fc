"""Positions and windows of patches in the vision transformer of Qwen2.5-VL."""

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
        window: int64 (N,), number of the window in the whole image; patches of a window attend to
            each other.
        window_slot: int64 (N, 2), row and column in a table that holds each patch once, and each
            window in one row. Attention is computed row by row.
    """

    pos_hw: Integers
    window: Integers
    window_slot: Integers

    def as_inputs(self) -> dict[str, NDArray[Any]]:
        """The positions by the names that the vision graph has for them."""
        return {"pos_hw": self.pos_hw, "window": self.window, "window_slot": self.window_slot}


def patch_positions(keep: Mask, merge_size: int, window_tiles: int) -> PatchPositions:
    """Compute the positions of the patches of kept tiles.

    Positions and windows are those in the whole image, whatever is pruned. Windows begin in the
    upper left corner; those at the right and lower edges may be cut.

    Args:
        keep: bool (grid_h, grid_w), the kept tiles.
        merge_size: M, patches along the side of a tile.
        window_tiles: tiles along the side of a window.
    """
    m = merge_size
    tiles = np.argwhere(keep).astype(np.int64)
    within = np.stack(np.divmod(np.arange(m * m), m), axis=1)
    pos_hw = (tiles[:, None] * m + within).reshape(-1, 2)
    windows_in_row = -(-keep.shape[1] // window_tiles)
    of_tile = tiles // window_tiles @ np.array([windows_in_row, 1])
    window = np.repeat(of_tile, m * m)
    return PatchPositions(pos_hw, window, _slots(window))


def _slots(window: Integers) -> Integers:
    """Put each patch into a table that has a window in one row, and fills rows with windows."""
    _, of_patch, counts = np.unique(window, return_inverse=True, return_counts=True)
    in_order = np.argsort(of_patch, kind="stable")
    first_of_window = np.cumsum(counts) - counts
    place_in_window = np.empty(len(window), np.int64)
    place_in_window[in_order] = np.arange(len(window)) - first_of_window[of_patch[in_order]]
    slots = packed(counts)[of_patch]
    slots[:, 1] += place_in_window
    return slots


def packed(counts: Integers) -> Integers:
    """Pack windows into rows as long as the largest, the larger ones first, where they fit best.

    Args:
        counts: int64 (windows,), patches of each window.

    Returns:
        int64 (windows, 2), the row of each window and its first column.
    """
    length, rows = int(counts.max(initial=0)), 0
    rows_by_room: dict[int, list[int]] = {}
    found = np.empty((len(counts), 2), np.int64)
    for window in np.argsort(-counts, kind="stable"):
        size = int(counts[window])
        room = min((room for room in rows_by_room if room >= size), default=None)
        if room is None:
            row, room, rows = rows, length, rows + 1
        else:
            row = rows_by_room[room].pop()
            if not rows_by_room[room]:
                del rows_by_room[room]
        found[window] = row, length - room
        if room > size:
            rows_by_room.setdefault(room - size, []).append(row)
    return found
