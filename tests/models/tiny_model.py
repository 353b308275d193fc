"""What the tiny checkpoints of all families have in common."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from ppcli.models.families.base import ModelConfig
from ppcli.models.families.family_registry import parse_config

VOCABULARY, INNER = 512, 96
Shapes = dict[str, tuple[int, ...]]


class TinyModel(ABC):
    """The sizes of a tiny model; a frozen dataclass in each family.

    Attributes:
        image_processor: the content of `preprocessor_config.json`.
        seed: of the weights.
        tied: whether the logits come from the token embeddings.
    """

    image_processor: ClassVar[dict[str, Any]]
    seed: int
    tied: bool

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The content of `config.json`, as transformers writes it."""

    @abstractmethod
    def shapes(self) -> Shapes:
        """The shapes of the weights by their names in transformers."""

    def stored_weights(self) -> dict[str, np.ndarray]:
        """The weights by the names under which transformers saves them."""
        return self.weights()

    @property
    def patch_values(self) -> int:
        """Numbers in a flattened patch."""
        settings = self.image_processor
        return 3 * settings["temporal_patch_size"] * settings["patch_size"] ** 2

    def model_config(self) -> ModelConfig:
        """The model as the package reads it."""
        return parse_config(self.config())

    def weights(self) -> dict[str, np.ndarray]:
        """Random weights, large enough that different images give different answers."""
        random = np.random.default_rng(self.seed)
        made = {}
        for name, shape in sorted(self.shapes().items()):
            drawn = random.standard_normal(shape, np.float32)
            if len(shape) == 1:
                made[name] = 0.2 * drawn + float(_is_norm(name) and name.endswith("weight"))
            else:
                scale = 1.0 if "embed" in name else 1.5 / drawn[0].size ** 0.5
                made[name] = np.float32(scale) * drawn
        return made


def affine(name: str, rows: int, *columns: int) -> Shapes:
    """A matrix, or a norm, with its bias."""
    return {f"{name}.weight": (rows, *columns), f"{name}.bias": (rows,)}


def image_processor(
    patch_size: int, mean: list[float], std: list[float], kind: str
) -> dict[str, Any]:
    """The content of a `preprocessor_config.json` with small limits."""
    return {
        "size": {"shortest_edge": 4096, "longest_edge": 16_777_216},
        "patch_size": patch_size,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": mean,
        "image_std": std,
        "image_processor_type": kind,
    }


def _is_norm(name: str) -> bool:
    return "norm" in name or ".ln_q." in name
