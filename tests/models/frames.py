"""Images that follow one another, and what is kept of them by the public functions of the coder."""

from collections.abc import Sequence

import numpy as np

from ppcli import prune
from tests.coding.rasters import of_letters

TILE = 32
LEVELS = 3  # by which a tile may change from frame to frame


def frames() -> list[np.ndarray]:
    """Six images of three grids: tiles repeat within an image, and in its neighbours."""
    first = of_letters(["AAAA", "ABCA", "ADEA"], TILE)
    second = of_letters(["AAAA", "AFCA", "ADEA"], TILE)
    third = second.copy()
    third[64:, 64:96] += LEVELS
    small = of_letters(["GH", "GI"], TILE)
    changed = of_letters(["GH", "JI"], TILE)
    return [first, second, third, small, changed, of_letters(["KLMN"], TILE)]


def chained_keeps(
    images: Sequence[np.ndarray], sequence: str | None, threshold: float = 0.0
) -> list[np.ndarray]:
    """The keep masks, each image pruned by `prune` with the rebuilt one before."""
    keeps = []
    before = None
    for image in images[::-1] if sequence == "reverse" else images:
        if sequence is None or (before is not None and before.shape != image.shape):
            before = None
        kept = prune(image, TILE, threshold=threshold, before=before)
        keeps.append(kept.keep)
        before = kept.reconstruct(before)
    return keeps[::-1] if sequence == "reverse" else keeps
