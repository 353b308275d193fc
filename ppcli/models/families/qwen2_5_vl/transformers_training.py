"""Training on pruned patches with transformers' own Qwen2.5-VL."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppcli.models.families.prompt_layout import Mask, layout_mrope
from ppcli.models.families.qwen2_5_vl.patch_positions import patch_positions
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
    "window_size": 8,
    "fullatt_block_indexes": [],
}
_TEXT = _SIZES | {
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "vocab_size": 8,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


def training_layout(config: Any) -> TrainingLayout:  # noqa: ANN401
    """Describe a model.

    Args:
        config: `model.config` of transformers' Qwen2.5-VL.
    """
    vision, image_token = config.vision_config, int(config.image_token_id)
    merge_size = vision.spatial_merge_size
    window_tiles = vision.window_size // merge_size // vision.patch_size

    def patch_inputs(keeps: Sequence[Mask]) -> dict[str, NDArray[Any]]:
        positions = [patch_positions(keep, merge_size, window_tiles) for keep in keeps]
        windows = [one.window[:: merge_size**2] for one in positions]
        return {
            "image_position_ids": np.concatenate([one.pos_hw for one in positions]),
            **_window_arguments(windows, merge_size**2),
        }

    return TrainingLayout(
        (vision.patch_size, merge_size, vision.temporal_patch_size),
        image_token,
        patch_inputs,
        lambda ids, keeps: layout_mrope(ids, image_token, keeps),
    )


def _window_arguments(
    windows: Sequence[NDArray[np.int64]], patches_of_tile: int
) -> dict[str, NDArray[Any]]:
    """The order of the kept tiles window by window, and where each window begins.

    Args:
        windows: of each image int64 (tiles,), the window of each kept tile.
        patches_of_tile: M².
    """
    order, lengths, start = [], [], 0
    for of_tiles in windows:
        order.append(start + np.argsort(of_tiles, kind="stable"))
        lengths.append(np.unique(of_tiles, return_counts=True)[1] * patches_of_tile)
        start += len(of_tiles)
    bounds = np.cumsum(np.concatenate([[0], *lengths]), dtype=np.int32)
    return {"image_window_index": np.concatenate(order), "image_cu_window_seqlens": bounds}


def check_transformers() -> None:
    """Check with a tiny model that the installed transformers uses positions and windows.

    Raises:
        MissingDependencyError: if it does not use them, or is not installed.
    """
    rotated = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [0, 3], [1, 2], [1, 3]]) * 3
    check_arguments_are_used(
        "Qwen2_5_VLModel",
        {"vision_config": _VISION, "text_config": _TEXT},
        patch_values=12,
        arguments=[
            {"image_position_ids": rotated},
            _window_arguments([np.array([0, 1])], patches_of_tile=4),
        ],
    )
