"""Where tokens and patches lie: for the vision transformer, and for the language model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ppcli.errors import UsageError

Mask = NDArray[np.bool_]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class PatchPlaces:
    """Where the kept patches of one image lie, in merge-block order.

    Attributes:
        pos_hw: int64 (N, 2), row and column among the patches of the whole image.
        interp_idx: int64 (N, 4), rows of the learned position embeddings.
        interp_w: float32 (N, 4), their shares.
    """

    pos_hw: Integers
    interp_idx: Integers
    interp_w: NDArray[np.float32]


def patch_places(keep: Mask, merge_size: int, positions_per_side: int) -> PatchPlaces:
    """The places of the patches of kept tiles.

    Positions are those in the whole image, whatever is pruned: the square of learned embeddings
    is stretched over all its patches, corner on corner, and interpolated bilinearly.

    Args:
        keep: bool (grid_h, grid_w), of tiles.
        merge_size: M, patches along the side of a tile.
        positions_per_side: of the learned square.
    """
    m = merge_size
    tiles = np.argwhere(keep)
    within = np.stack(np.divmod(np.arange(m * m), m), axis=1)
    pos_hw = (tiles[:, None] * m + within).reshape(-1, 2).astype(np.int64)
    rows = _taps(pos_hw[:, 0], keep.shape[0] * m, positions_per_side)
    columns = _taps(pos_hw[:, 1], keep.shape[1] * m, positions_per_side)
    indices = rows[0][:, :, None] * positions_per_side + columns[0][:, None, :]
    shares = rows[1][:, :, None] * columns[1][:, None, :]
    return PatchPlaces(pos_hw, indices.reshape(-1, 4), shares.reshape(-1, 4))


def _taps(place: Integers, size: int, side: int) -> tuple[Integers, NDArray[np.float32]]:
    """The two embeddings next to each place along an axis, and their shares, float32."""
    exact = place.astype(np.float32) * np.float32(side - 1) / np.float32(max(size - 1, 1))
    below = np.floor(exact)
    nearness = np.float32(1) - (exact - below)
    first = below.astype(np.int64)
    taps = np.stack([first, np.minimum(first + 1, side - 1)], axis=1)
    return taps, np.stack([nearness, np.float32(1) - nearness], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class TokenPlaces:
    """A prompt as the language model takes it, pruned tokens left out.

    Attributes:
        ids: int64 (S,), a kept tile being one token.
        positions: int64 (3, S), of M-RoPE: time, row and column.
        visual: int64 (V,), which of them are tiles.
        next_position: of the first token of the answer.
    """

    ids: Integers
    positions: Integers
    visual: Integers
    next_position: int

    @property
    def length(self) -> int:
        """How many tokens are fed."""
        return int(self.ids.size)


def token_places(ids: Sequence[int], image_token: int, keeps: Sequence[Mask]) -> TokenPlaces:
    """Lay a prompt out: text tokens in a row, each image as the grid of its tiles.

    Positions are counted with all tiles in place, and then those of pruned ones are dropped, so
    that every token keeps the place it would have.

    Args:
        ids: the prompt, with one image token for each image.
        image_token: that token.
        keeps: for each image, which tiles are kept, bool (grid_h, grid_w).

    Raises:
        UsageError: when the prompt does not have one image token for each image.
    """
    found, wanted = list(ids).count(image_token), len(keeps)
    if found > wanted:
        raise UsageError(
            f"the prompt holds {found} image tokens for {wanted} images; leave them out of the "
            "text, they are added"
        )
    if found < wanted:
        raise UsageError(
            f"the chat template of the model writes {found} image tokens for {wanted} images, so "
            "that not all would be seen; try them one by one, or another model"
        )
    images = iter(keeps)
    out_ids: list[Integers] = []
    positions: list[Integers] = []
    start = 0
    for token in ids:
        if token != image_token:
            out_ids.append(np.array([token], dtype=np.int64))
            positions.append(np.full((3, 1), start, dtype=np.int64))
            start += 1
            continue
        keep = next(images)
        tiles = np.argwhere(keep)
        out_ids.append(np.full(len(tiles), image_token, dtype=np.int64))
        places = np.full((3, len(tiles)), start, dtype=np.int64)
        places[1:] += tiles.T
        positions.append(places)
        start += max(keep.shape)
    all_ids = np.concatenate(out_ids)
    visual = np.flatnonzero(all_ids == image_token)
    return TokenPlaces(all_ids, np.concatenate(positions, axis=1), visual, start)
