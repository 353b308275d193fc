"""The vision transformer of Qwen3-VL in vLLM, called with the kept patches of images alone."""

from collections.abc import Sequence
from typing import Any

import torch

from ppcli.errors import MissingDependencyError

Grid = Sequence[int]


class KeptGrid(tuple[int, int, int]):
    """(1, M, M·kept): the patches of an image as vLLM counts them, and where they lie.

    Attributes:
        whole: (1, rows, columns) of patches of the whole image.
        keep: bool (tiles,), row by row, on the CPU.
    """

    whole: Grid
    keep: torch.Tensor

    @classmethod
    def of(cls, whole: Grid, keep: torch.Tensor, merge: int) -> "KeptGrid":
        """Return the grid of an image whose M is `merge`."""
        grid = cls((1, merge, merge * int(keep.sum())))
        grid.whole, grid.keep = whole, keep
        return grid


class KeptTower:
    """Stands for a vision transformer where grids are `KeptGrid`."""

    def __init__(self, visual: Any) -> None:
        self._visual = visual

    def __getattr__(self, name: str) -> Any:
        return getattr(self._visual, name)

    def __call__(self, pixel_values: torch.Tensor, grids: Sequence[KeptGrid]) -> torch.Tensor:
        """Return the embeddings of the kept tiles, (tiles, width·(1 + deepstack levels))."""
        metadata = _KeptPositions(self._visual, grids).metadata()
        seen: torch.Tensor = self._visual(pixel_values, None, encoder_metadata=metadata)
        return seen


class _KeptPositions:
    """Stands for a vision transformer while vLLM collects what its blocks take beside patches.

    Positions are computed for the whole images and then selected; all else follows from the
    number of kept patches.
    """

    def __init__(self, visual: Any, grids: Sequence[KeptGrid]) -> None:
        self._visual = visual
        self._grids = grids
        self._whole = [list(grid.whole) for grid in grids]
        keep = torch.cat([grid.keep for grid in grids])
        patches = keep.repeat_interleave(visual.spatial_merge_unit)
        self._rows = patches.nonzero().squeeze(1).to(visual.device, non_blocking=True)
        self._asked: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._visual, name)

    def metadata(self) -> dict[str, Any]:
        """Return what `prepare_encoder_metadata` gives, for the kept patches."""
        prepare = type(self._visual).prepare_encoder_metadata
        metadata: dict[str, Any] = prepare(self, self._grids)
        if len(self._asked) != 2:  # or the positions would be those of another image
            raise MissingDependencyError(
                "the installed vLLM computes the positions of patches in a way that pixelprune "
                "does not know; install a release of vLLM that pixelprune supports"
            )
        return metadata

    def fast_pos_embed_interpolate(self, grid_thw: object) -> torch.Tensor:
        """Return the learned position embeddings of the kept patches."""
        self._asked.add("embeddings")
        whole: torch.Tensor = self._visual.fast_pos_embed_interpolate(self._whole)
        return whole[self._rows]

    def rot_pos_emb(self, grid_thw: object) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosines and sines of the kept patches."""
        self._asked.add("rotary")
        cos, sin = self._visual.rot_pos_emb(self._whole)
        return cos[self._rows], sin[self._rows]
