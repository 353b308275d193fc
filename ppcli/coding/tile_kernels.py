"""Kernels that choose and copy tiles without comparing them by a metric."""

import numpy as np
from numpy.typing import NDArray

from ppcli.coding.kernels import ABOVE, REPEATS, Choices, Indices, Mask
from ppcli.coding.similarity import Bytes
from ppcli.errors import DamagedError
from ppcli.jit.kernel import helper, kernel

Table = NDArray[np.int64]


def spread(members: Indices, sizes: Indices, kept: Indices) -> Mask:
    """Keep tiles spread evenly over each component: bool (grid_h·grid_w,), row-major.

    Args:
        members: tile indices, component by component, in row-major order within each, int64.
        sizes: number of members of each component, int64.
        kept: number of members to keep of each, int64, between 1 and the size.
    """
    keep = np.zeros(members.size, dtype=np.bool_)
    spread_into(members, sizes, kept, keep)
    return keep


@kernel("int64[:] int64[:] int64[:] bool[:]")
def spread_into(members: Indices, sizes: Indices, kept: Indices, keep: Mask) -> int:
    """Mark the kept tiles in `keep`, which is all False at first."""
    start = 0
    for component in range(sizes.size):
        n, m = sizes[component], kept[component]
        keep[members[start]] = True
        for i in range(1, m):
            keep[members[start + i * (n - 1) // (m - 1)]] = True
        start += n
    return 0


def gather(raster: Bytes, keep: Mask, tile: int, lanes: int) -> Bytes:
    """Return the kept tiles, stacked vertically: uint8 (kept·tile, tile·3)."""
    tiles = np.empty((int(np.count_nonzero(keep)) * tile, tile * 3), dtype=np.uint8)
    gather_into(raster, np.ascontiguousarray(keep), tile, lanes, tiles)
    return tiles


@kernel("uint8[:,:] bool[:,:] int const uint8[:,:]")
def gather_into(raster: Bytes, keep: Mask, tile: int, lanes: int, tiles: Bytes) -> int:
    """Copy the kept tiles into `tiles`."""
    n = np.uint64(lanes)
    width = tile * 3
    row = np.uint64(0)
    for r in range(keep.shape[0]):
        for c in range(keep.shape[1]):
            if keep[r, c]:
                top, left = np.uint64(r * tile), np.uint64(c * width)
                for y in range(np.uint64(tile)):
                    source, target = raster[top + y], tiles[row]
                    for x in range(np.uint64(0), np.uint64(width), n):
                        for i in range(n):
                            target[x + i] = source[left + x + i]
                    row += np.uint64(1)
    return 0


def repeat_colours(
    raster: Bytes, tile: int, before: Bytes, keep: Mask, unchanged: Mask, choices: Choices
) -> None:
    """Prune the kept tiles of one colour for which a tile of exactly that colour was kept before.

    Args:
        raster: uint8 (grid_h·tile, grid_w·tile·3).
        tile: side of a tile in pixels.
        before: the rebuilt frame before, of the same shape; without rows if there is none.
        keep: bool (grid_h, grid_w), cleared where a tile is pruned.
        unchanged: bool (grid_h, grid_w), tiles of the frame before, which count as kept ones:
            cleared where a tile repeats a colour.
        choices: uint32 (grid_h, grid_w); a tile that is pruned gets `REPEATS` plus the number of
            the kept or unchanged tile that it repeats.
    """
    rebuilt = int(np.count_nonzero(keep) + np.count_nonzero(unchanged))
    slots = 2 << rebuilt.bit_length()  # at most half of them are used
    table = np.full((slots, 2), -1, dtype=np.int64)
    repeat_colours_into(raster, tile, before, keep, unchanged, choices, table)


@helper
def _has_one_colour(raster: Bytes, top: np.uint64, left: np.uint64, tile: int) -> bool:
    """Return whether all pixels of a tile are equal; its first row tells most that are not."""
    width = np.uint64(3 * tile)
    first = raster[top]
    for x in range(np.uint64(3), width):
        if first[left + x] != first[left + x - np.uint64(3)]:
            return False
    for y in range(np.uint64(1), np.uint64(tile)):
        row = raster[top + y]
        different = np.uint8(0)
        for x in range(width):
            different |= np.uint8(row[left + x] ^ first[left + x])
        if different != 0:
            return False
    return True


@kernel("uint8[:,:] int uint8[:,:] bool[:,:] bool[:,:] uint32[:,:] int64[:,:]")
def repeat_colours_into(
    raster: Bytes,
    tile: int,
    before: Bytes,
    keep: Mask,
    unchanged: Mask,
    choices: Choices,
    table: Table,
) -> int:
    """Clear `keep` and `unchanged`, and set `choices`.

    `table` is a hash table of colours, with -1 where it is empty.
    """
    last = table.shape[0] - 1
    count = 0
    for r in range(keep.shape[0]):
        for c in range(keep.shape[1]):
            if not keep[r, c] and not unchanged[r, c]:
                continue
            top, left = np.uint64(r * tile), np.uint64(c * tile * 3)
            shown = before if unchanged[r, c] else raster
            if _has_one_colour(shown, top, left, tile):
                pixel = shown[top]
                colour = np.int64(pixel[left]) << 16
                colour |= np.int64(pixel[left + np.uint64(1)]) << 8
                colour |= np.int64(pixel[left + np.uint64(2)])
                slot = (colour * 2654435761 >> 8) & last
                while table[slot, 0] >= 0 and table[slot, 0] != colour:
                    slot = (slot + 1) & last
                if table[slot, 0] < 0:
                    table[slot, 0] = colour
                    table[slot, 1] = count
                else:
                    keep[r, c] = unchanged[r, c] = False
                    choices[r, c] = REPEATS + table[slot, 1]
                    continue
            count += 1
    return 0


def left_or_above_sources(keep: Mask, choices: Choices) -> Indices:
    """Return the kept tile that each tile is rebuilt from: int64 (grid_h, grid_w).

    Args:
        keep: bool (grid_h, grid_w); keep[0, 0] is True.
        choices: uint32 (pruned,), for each pruned tile 0 for its left neighbour (the upper one in
            the first column), `ABOVE` for its upper one, or `REPEATS` plus the number of a kept
            tile.

    Raises:
        DamagedError: a choice is none of these.
    """
    source = np.empty(keep.shape, dtype=np.int64)
    if left_or_above_sources_into(np.ascontiguousarray(keep), choices, source):
        raise DamagedError("a pruned tile repeats a tile that is not there")
    return source


@kernel("bool[:,:] uint32[:] int64[:,:]")
def left_or_above_sources_into(keep: Mask, choices: Choices, source: Indices) -> int:
    """Write the indices of the kept tiles into `source`; return 1 for a choice that is invalid."""
    count = pruned = 0
    for r in range(keep.shape[0]):
        for c in range(keep.shape[1]):
            if keep[r, c]:
                source[r, c] = count
                count += 1
                continue
            choice = np.int64(choices[pruned])
            pruned += 1
            if choice >= REPEATS:
                if choice - REPEATS >= count:
                    return 1
                source[r, c] = choice - REPEATS
            elif choice == ABOVE:
                if r == 0 or c == 0:
                    return 1
                source[r, c] = source[r - 1, c]
            elif c > 0:
                source[r, c] = source[r, c - 1]
            elif r > 0:
                source[r, c] = source[r - 1, c]
            else:
                return 1
    return 0
