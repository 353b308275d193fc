"""Sizes of the language model of a Qwen3.5 model."""

from dataclasses import dataclass
from enum import StrEnum

from ppcli.models.families.rope_parameters import Yarn

# Datasets store a digest of the representation of this class: a field that is renamed, moved or
# added makes them refuse to resume.


class LayerType(StrEnum):
    """How a layer mixes the tokens of a sequence."""

    LINEAR = "linear_attention"
    FULL = "full_attention"


@dataclass(frozen=True, slots=True)
class DeltaSizes:
    """Sizes of a gated delta net, the linear attention of Qwen3.5.

    Attributes:
        key_heads: heads of queries and keys.
        value_heads: heads of values and of the state, a multiple of `key_heads`.
        key_size: channels of a query or key.
        value_size: channels of a value.
        kernel: tokens that the causal convolution sees.
    """

    key_heads: int
    value_heads: int
    key_size: int
    value_size: int
    kernel: int

    @property
    def keys(self) -> int:
        """Channels of the keys of all heads, and of the queries."""
        return self.key_heads * self.key_size

    @property
    def values(self) -> int:
        """Channels of the values of all heads."""
        return self.value_heads * self.value_size

    @property
    def convolved(self) -> int:
        """Channels of queries, keys and values together."""
        return 2 * self.keys + self.values


@dataclass(frozen=True, slots=True)
class TextConfig:
    """Sizes of the language model, named as in the checkpoint."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layer_types: tuple[LayerType, ...]
    num_heads: int
    num_kv_heads: int
    head_size: int
    delta: DeltaSizes
    rms_norm_eps: float
    rope_theta: float
    rotary_size: int
    mrope_section: tuple[int, int, int]
    attention_bias: bool
    max_positions: int
    tied: bool
    yarn: Yarn | None = None

    @property
    def num_layers(self) -> int:
        """Number of layers."""
        return len(self.layer_types)
