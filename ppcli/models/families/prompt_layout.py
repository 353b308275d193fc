"""Where the tokens of a prompt lie in M-RoPE, with the tokens of pruned tiles left out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ppcli.errors import UsageError

Mask = NDArray[np.bool_]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class PromptLayout:
    """A prompt as the language model takes it.

    Attributes:
        ids: int64 (S,), with one token for each kept tile.
        positions: int64 (axes, S); with M-RoPE time, row and column.
        visual: int64 (V,), the indices of the tokens that stand for tiles.
        next_position: position of the first token of the answer.
    """

    ids: Integers
    positions: Integers
    visual: Integers
    next_position: int

    @property
    def length(self) -> int:
        """Number of tokens."""
        return int(self.ids.size)


def layout_mrope(ids: Sequence[int], image_token: int, keeps: Sequence[Mask]) -> PromptLayout:
    """Lay out a prompt: text tokens in a row, each image as the grid of its tiles.

    Positions are computed for all tiles, then those of pruned tiles are dropped. Every kept token
    has the position that it has in the unpruned prompt.

    Args:
        ids: the prompt, with one image token for each image.
        image_token: its id.
        keeps: of each image, bool (grid_h, grid_w), the kept tiles.

    Raises:
        UsageError: if the number of image tokens is not the number of images.
    """
    _check_image_tokens(list(ids).count(image_token), len(keeps))
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
        of_tiles = np.full((3, len(tiles)), start, dtype=np.int64)
        of_tiles[1:] += tiles.T
        positions.append(of_tiles)
        start += max(keep.shape)
    all_ids = np.concatenate(out_ids)
    visual = np.flatnonzero(all_ids == image_token)
    return PromptLayout(all_ids, np.concatenate(positions, axis=1), visual, start)


def _check_image_tokens(found: int, images: int) -> None:
    if found > images:
        raise UsageError(
            f"the prompt has {found} image tokens for {images} images; remove them from the text, "
            "they are inserted for each image"
        )
    if found < images:
        raise UsageError(
            f"the chat template of the model writes {found} image tokens for {images} images; "
            "ask about the images one by one, or use another model"
        )
