"""What the models of the families with M-RoPE have in common."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

from ppcli.models.families.base import ImageFeature, KeyValueCache, LayerCache, ModelConfig
from ppcli.models.families.prompt_layout import PromptLayout, layout_mrope

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class VisionSizes(Protocol):
    """The sizes of a vision transformer that code outside of its family asks for."""

    @property
    def depth(self) -> int:
        """Number of layers."""

    @property
    def patch_size(self) -> int:
        """Side of a patch in pixels."""

    @property
    def merge_size(self) -> int:
        """Patches along the side of a tile."""

    @property
    def temporal_patch_size(self) -> int:
        """Frames in a patch."""


class TextSizes(Protocol):
    """The sizes of a language model that code outside of its family asks for."""

    @property
    def num_layers(self) -> int:
        """Number of layers."""

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""

    @property
    def max_positions(self) -> int:
        """Length of the context in positions."""

    @property
    def hidden_size(self) -> int:
        """Channels of the residual stream."""

    @property
    def num_kv_heads(self) -> int:
        """Heads of the keys and values of an attention layer."""

    @property
    def head_size(self) -> int:
        """Channels of such a head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MropeConfig(ModelConfig):
    """A model of two transformers, whose positions are those of M-RoPE.

    Attributes:
        vision: sizes of the vision transformer.
        text: sizes of the language model.
    """

    vision: VisionSizes
    text: TextSizes

    @property
    def patch_size(self) -> int:
        """Side of a patch in pixels."""
        return self.vision.patch_size

    @property
    def merge_size(self) -> int:
        """Patches along the side of a tile."""
        return self.vision.merge_size

    @property
    def temporal_patch_size(self) -> int:
        """Frames in a patch."""
        return self.vision.temporal_patch_size

    @property
    def vision_layers(self) -> int:
        """Layers of the vision transformer."""
        return self.vision.depth

    @property
    def text_layers(self) -> int:
        """Layers of the language model."""
        return self.text.num_layers

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return self.text.vocab_size

    @property
    def max_positions(self) -> int:
        """Length of the context in positions."""
        return self.text.max_positions

    @property
    def size_signature(self) -> str:
        """The representation of both sizes, as datasets of all versions have it."""
        return repr((self.vision, self.text))

    def with_tied_head(self, tied: bool) -> Self:
        """The same model with logits from the embedding matrix, or from a matrix of its own."""
        text: Any = self.text  # a dataclass in every family
        return replace(self, text=replace(text, tied=tied))

    @property
    def caches(self) -> Sequence[LayerCache]:
        """Keys and values of every layer."""
        heads, size = self.text.num_kv_heads, self.text.head_size
        return [KeyValueCache(layer, heads, size) for layer in range(self.text.num_layers)]

    @property
    def image_features(self) -> Sequence[ImageFeature]:
        """The embeddings."""
        return [ImageFeature("image_embeds", (None, self.text.hidden_size))]

    def layout_prompt(
        self, ids: Sequence[int], keeps: "Sequence[NDArray[np.bool_]]"
    ) -> PromptLayout:
        """Expand image tokens to the kept tiles, with the M-RoPE positions of the whole prompt."""
        return layout_mrope(ids, self.image_token, keeps)
