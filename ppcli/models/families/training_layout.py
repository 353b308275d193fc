"""How a collator lays out pruned images for transformers' own class of a family."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ppcli.models.families.prompt_layout import Mask, PromptLayout


@dataclass(frozen=True, slots=True)
class TrainingLayout:
    """What a collator needs to know of a transformers model.

    Attributes:
        patch_sizes: patch, merge and temporal patch size.
        image_token: id of the token that stands for one tile.
        patch_inputs: of the masks of all images of a batch, bool (grid_h, grid_w) each, makes the
            arguments that transformers takes for their kept patches, by name. The patches of
            the images follow one another, in merge-block order.
        layout_prompt: as `ModelConfig.layout_prompt`.
    """

    patch_sizes: tuple[int, int, int]
    image_token: int
    patch_inputs: Callable[[Sequence[Mask]], dict[str, NDArray[Any]]]
    layout_prompt: Callable[[Sequence[int], Sequence[Mask]], PromptLayout]
