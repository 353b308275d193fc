"""The vision transformer of Qwen2.5-VL of transformers, on a selection of the tiles."""

import torch
from transformers import PreTrainedModel
from transformers.vision_utils import get_vision_position_ids, get_vision_window_index

from tests.models.random_images import Image


def seen_by_qwen25_vl(
    model: PreTrainedModel, image: Image
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """What the vision transformer gives of the kept tiles: embeddings, and nothing for DeepStack.

    Positions and windows of the whole image are those of transformers; then the kept are selected.
    """
    visual, grid = model.model.visual, torch.tensor([image.grid])
    order, bounds = get_vision_window_index(
        grid, visual.spatial_merge_size, visual.window_size, visual.patch_size
    )
    kept = torch.tensor(image.patches_kept)
    of_tiles = torch.tensor(image.keep.reshape(-1))
    lengths = [
        int(one.sum()) * visual.spatial_merge_unit
        for one in of_tiles[order].split((bounds.diff() // visual.spatial_merge_unit).tolist())
    ]
    place_among_kept = of_tiles.cumsum(0) - 1
    out = visual(
        torch.tensor(image.pixel_values)[kept],
        grid_thw=grid,
        cu_seqlens=torch.tensor([0, int(kept.sum())], dtype=torch.int32),
        position_ids=get_vision_position_ids(grid, visual.spatial_merge_size)[kept],
        window_index=place_among_kept[order[of_tiles[order]]],
        cu_window_seqlens=torch.tensor([0, *(one for one in lengths if one)]).cumsum(0).int(),
    )
    return out.pooler_output, []
