"""Training on pruned patches with transformers' own Qwen3-VL."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppcli.models.families.prompt_layout import Mask, layout_mrope
from ppcli.models.families.qwen3_vl.patch_positions import patch_positions
from ppcli.models.families.training_layout import TrainingLayout
from ppcli.models.families.transformers_check import check_arguments_are_used

_SIZES = {"hidden_size": 8, "intermediate_size": 8}
_VISION = _SIZES | {
    "depth": 1,
    "num_heads": 1,
    "patch_size": 2,
    "temporal_patch_size": 1,
    "spatial_merge_size": 2,
    "out_hidden_size": 8,
    "num_position_embeddings": 16,
    "deepstack_visual_indexes": [],
}
_TEXT = _SIZES | {
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "vocab_size": 8,
}


def training_layout(config: Any) -> TrainingLayout:  # noqa: ANN401
    """Describe a model.

    Args:
        config: `model.config` of transformers' Qwen3-VL.
    """
    vision, image_token = config.vision_config, int(config.image_token_id)
    merge_size, side = vision.spatial_merge_size, int(vision.num_position_embeddings**0.5)

    def patch_inputs(keeps: Sequence[Mask]) -> dict[str, NDArray[Any]]:
        positions = [patch_positions(keep, merge_size, side) for keep in keeps]
        return {
            "image_position_ids": np.concatenate([one.pos_hw for one in positions]),
            "image_interp_indices": np.concatenate([one.interp_idx for one in positions]),
            "image_interp_weights": np.concatenate([one.interp_w for one in positions]),
        }

    return TrainingLayout(
        (vision.patch_size, merge_size, vision.temporal_patch_size),
        image_token,
        patch_inputs,
        lambda ids, keeps: layout_mrope(ids, image_token, keeps),
    )


def check_transformers(name: str) -> None:
    """Check with a tiny model that the installed transformers uses the positions of patches.

    Args:
        name: class of the model without its head; its vision transformer is that of Qwen3-VL.

    Raises:
        MissingDependencyError: if it does not use them, or is not installed.
    """
    rotated = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [0, 3], [1, 2], [1, 3]]) * 3
    embedded = {
        "image_interp_indices": np.arange(32).reshape(8, 4) % 16,
        "image_interp_weights": np.full((8, 4), 0.25),
    }
    check_arguments_are_used(
        name,
        {"vision_config": _VISION, "text_config": _TEXT},
        patch_values=12,
        arguments=[{"image_position_ids": rotated}, embedded],
    )
