"""The pipeline without pixelprune: transformers' image processor, and the predictor in torch."""

from functools import cache

import torch
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from ppcli.models.families.family_registry import PRESETS

PRESET = PRESETS["qwen3-vl"]


@cache
def processor() -> Qwen2VLImageProcessorPil:
    """The processor with the numbers of Qwen3-VL; torch keeps to one core."""
    torch.set_num_threads(1)
    return Qwen2VLImageProcessorPil(
        patch_size=PRESET.patch_size,
        merge_size=PRESET.merge_size,
        temporal_patch_size=PRESET.temporal_patch_size,
        size={"shortest_edge": PRESET.min_pixels, "longest_edge": PRESET.max_pixels},
        image_mean=list(PRESET.mean),
        image_std=list(PRESET.std),
    )


def keep_mask(path: str) -> torch.Tensor:
    """pred_2d at τ = 0 on the patches that the processor makes, bool (grid_h, grid_w).

    At τ = 0 the rebuilt tiles are the source tiles, so that the recursion becomes two
    comparisons of whole grids: with the left neighbour, and with the one above.
    """
    with Image.open(path) as image:
        made = processor()(images=image.convert("RGB"), return_tensors="pt")
    _, patches_h, patches_w = made["image_grid_thw"][0].tolist()
    merge = PRESET.merge_size
    tiles = made["pixel_values"].reshape(patches_h // merge, patches_w // merge, -1)
    as_left = torch.zeros(tiles.shape[:2], dtype=torch.bool)
    as_above = torch.zeros_like(as_left)
    as_left[:, 1:] = (tiles[:, 1:] == tiles[:, :-1]).all(-1)
    as_above[1:] = (tiles[1:] == tiles[:-1]).all(-1)
    from_above = torch.zeros_like(as_left)
    from_above[1:, 0] = True
    from_above[1:, 1:] = as_above[1:, :-1] & ~as_left[:-1, 1:]
    return ~torch.where(from_above, as_above, as_left)
