"""Training on pruned patches with transformers' own Qwen3-VL."""

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ppcli.errors import MissingDependencyError
from ppcli.models.families.prompt_layout import Mask, layout_mrope
from ppcli.models.families.qwen3_vl.patch_positions import patch_positions
from ppcli.models.families.training_layout import TrainingLayout

if TYPE_CHECKING:
    from torch import Tensor

_PIP_LINE = 'pip install "pixelprune[train]"'
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

    def patch_inputs(keep: Mask) -> dict[str, NDArray[Any]]:
        positions = patch_positions(keep, merge_size, side)
        return {
            "image_position_ids": positions.pos_hw,
            "image_interp_indices": positions.interp_idx,
            "image_interp_weights": positions.interp_w,
        }

    return TrainingLayout(
        (vision.patch_size, merge_size, vision.temporal_patch_size),
        image_token,
        patch_inputs,
        lambda ids, keeps: layout_mrope(ids, image_token, keeps),
    )


def check_transformers() -> None:
    """Check with a tiny model that the installed transformers uses the positions of patches.

    Their arguments have had other names, and an unknown one is ignored silently: the model would
    be trained with patches in the wrong positions.

    Raises:
        MissingDependencyError: if it does not use them, or is not installed.
    """
    try:
        import torch
        import transformers
        from transformers import Qwen3VLConfig, Qwen3VLModel
    except ImportError as error:
        raise MissingDependencyError(f"training needs {_PIP_LINE}: {error}") from error
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = Qwen3VLModel(
            Qwen3VLConfig(vision_config=_VISION, text_config=_TEXT | {"vocab_size": 8})
        )
        for weight in model.parameters():
            torch.nn.init.normal_(weight)
        if not _uses_positions(model.double()):
            raise MissingDependencyError(
                f"transformers {transformers.__version__} does not take the positions of patches, "
                f"or under other names; training needs {_PIP_LINE}"
            )


def _uses_positions(model: Any) -> bool:  # noqa: ANN401
    """Whether both kinds of positions change the features of an image."""
    import torch

    patches = torch.randn(8, 12, dtype=torch.float64)
    positions = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [0, 3], [1, 2], [1, 3]])

    def features(**given: "Tensor") -> "Tensor":
        grid = torch.tensor([[1, 2, 4]])
        return torch.cat([*model.get_image_features(patches, grid, **given).pooler_output])

    try:
        plain = features()
        rotated = features(image_position_ids=positions * 3)
        embedded = features(
            image_interp_indices=torch.arange(32).reshape(8, 4) % 16,
            image_interp_weights=torch.full((8, 4), 0.25, dtype=torch.float64),
        )
    except (TypeError, AttributeError):
        return False
    return not torch.allclose(plain, rotated) and not torch.allclose(plain, embedded)
