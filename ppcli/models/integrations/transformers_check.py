"""Whether the transformers that is installed can be told where patches are."""

from typing import Any

from ppcli.errors import MissingDependencyError

_HINT = 'pip install "pixelprune[train]"'
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


def check_transformers() -> None:
    """Try on a tiny vision transformer of transformers' whether it sees patches where it is told.

    Names of these arguments have changed between versions, and one that is not known is ignored
    without a word: the model would be trained with patches in other places.

    Raises:
        MissingDependencyError: where it does not, or is not installed.
    """
    try:
        import torch
        import transformers
        from transformers import Qwen3VLConfig, Qwen3VLModel
    except ImportError as error:
        raise MissingDependencyError(f"training needs {_HINT}: {error}") from error
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = Qwen3VLModel(
            Qwen3VLConfig(vision_config=_VISION, text_config=_TEXT | {"vocab_size": 8})
        )
        for weight in model.parameters():
            torch.nn.init.normal_(weight)
        if not _takes_places(model.double()):
            raise MissingDependencyError(
                f"transformers {transformers.__version__} cannot be told where patches are, or by "
                f"other names; training needs {_HINT}"
            )


def _takes_places(model: Any) -> bool:  # noqa: ANN401
    """Whether each of the two kinds of places changes what is seen."""
    import torch

    patches = torch.randn(8, 12, dtype=torch.float64)
    places = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [0, 3], [1, 2], [1, 3]])

    def seen(**told: torch.Tensor) -> torch.Tensor:
        grid = torch.tensor([[1, 2, 4]])
        return torch.cat([*model.get_image_features(patches, grid, **told).pooler_output])

    try:
        plain = seen()
        turned = seen(image_position_ids=places * 3)
        embedded = seen(
            image_interp_indices=torch.arange(32).reshape(8, 4) % 16,
            image_interp_weights=torch.full((8, 4), 0.25, dtype=torch.float64),
        )
    except (TypeError, AttributeError):
        return False
    return not torch.allclose(plain, turned) and not torch.allclose(plain, embedded)
