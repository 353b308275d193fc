"""Checks that the installed transformers uses what a collator gives it for pruned images."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from ppcli.errors import MissingDependencyError

_PIP_LINE = 'pip install "pixelprune[train]"'
Arguments = dict[str, NDArray[Any]]


def check_arguments_are_used(
    name: str, sizes: dict[str, Any], patch_values: int, arguments: Sequence[Arguments]
) -> None:
    """Check with a tiny model that arguments change the features of an image of 2 × 4 patches.

    Their names have been others, and an unknown one is ignored silently: the model would be
    trained with patches in the wrong positions.

    Args:
        name: class of the inner model in transformers.
        sizes: arguments of its configuration.
        patch_values: numbers in a flattened patch.
        arguments: each group must change the features by itself.

    Raises:
        MissingDependencyError: if one does not, or transformers is not installed.
    """
    try:
        import torch
        import transformers

        kind = getattr(transformers, name)
    except (ImportError, AttributeError) as error:
        raise MissingDependencyError(f"training needs {_PIP_LINE}: {error}") from error
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = kind(kind.config_class(**sizes))
        for weight in model.parameters():
            torch.nn.init.normal_(weight)
        patches = torch.randn(8, patch_values, dtype=torch.float64)
        if not _all_used(model.double(), patches, arguments):
            raise MissingDependencyError(
                f"transformers {transformers.__version__} does not take the positions of patches, "
                f"or under other names; training needs {_PIP_LINE}"
            )


def _all_used(model: Any, patches: Any, arguments: Sequence[Arguments]) -> bool:  # noqa: ANN401
    import torch

    grid = torch.tensor([[1, 2, 4]])

    def features(given: Arguments) -> Any:  # noqa: ANN401
        tensors = {name: torch.from_numpy(array) for name, array in given.items()}
        return torch.cat([*model.get_image_features(patches, grid, **tensors).pooler_output])

    try:
        plain = features({})
        return not any(torch.allclose(plain, features(given)) for given in arguments)
    except (TypeError, AttributeError):
        return False
