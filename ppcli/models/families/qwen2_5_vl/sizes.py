"""Sizes of the two transformers of a Qwen2.5-VL model."""

from dataclasses import dataclass

from ppcli.models.families.rope_parameters import Yarn

# Datasets store a digest of the representation of these two classes: a field that is renamed,
# moved or added makes them refuse to resume.


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """Sizes of the vision transformer.

    Attributes:
        window_tiles: tiles along the side of a window.
        full_attention: the layers in which all patches of an image attend to each other; in the
            others those of a window do.

    The others are named as in the checkpoint.
    """

    depth: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    in_channels: int
    patch_size: int
    merge_size: int
    temporal_patch_size: int
    out_hidden_size: int
    window_tiles: int
    full_attention: tuple[int, ...]
    rope_theta: float

    @property
    def head_size(self) -> int:
        """Channels of an attention head."""
        return self.hidden_size // self.num_heads

    @property
    def patch_values(self) -> int:
        """Numbers in a flattened patch."""
        return self.in_channels * self.temporal_patch_size * self.patch_size**2


@dataclass(frozen=True, slots=True)
class TextConfig:
    """Sizes of the language model, named as in the checkpoint."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    rms_norm_eps: float
    rope_theta: float
    mrope_section: tuple[int, int, int]
    max_positions: int
    tied: bool
    yarn: Yarn | None = None

    @property
    def head_size(self) -> int:
        """Channels of an attention head."""
        return self.hidden_size // self.num_heads
