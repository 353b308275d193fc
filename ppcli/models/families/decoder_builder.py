"""The part of a decoder's ONNX graph that the families share.

It is that of a transformer with RMS norms, SwiGLU and M-RoPE. A family adds how a layer mixes its
tokens. The graph serves for prefill, chunks of it, and single steps. Keys and values are read from
and written to the same buffers of fixed length, so that nothing is copied as an answer grows.
Positions are an input: a kept token has its position in the unpruned prompt.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from ppcli.models.families.base import LayerCache, Shapes, TensorReader
from ppcli.models.families.mrope_config import TextSizes
from ppcli.models.families.rope_parameters import Yarn, inverse_frequencies
from ppcli.models.graphs.cache_tensor import CacheTensor
from ppcli.models.graphs.graph_builder import CONTRIB, GraphBuilder

PREFIX = "model.language_model."
HEAD = "lm_head.weight"
_EMBEDDING = "embed_tokens.weight"
EMBEDDING = PREFIX + _EMBEDDING


class DecoderSizes(TextSizes, Protocol):
    """What the shared part needs to know of a language model."""

    @property
    def intermediate_size(self) -> int:
        """Channels within the feed-forward network."""

    @property
    def num_heads(self) -> int:
        """Heads of an attention layer."""

    @property
    def rms_norm_eps(self) -> float:
        """Added to the mean of squares."""

    @property
    def rope_theta(self) -> float:
        """Base of the rotary embedding."""

    @property
    def yarn(self) -> Yarn | None:
        """Scaling of its frequencies."""

    @property
    def tied(self) -> bool:
        """Whether the logits come from the token embeddings."""


def shared_shapes(text: DecoderSizes) -> Shapes:
    """Names and shapes of the checkpoint tensors that the shared part needs."""
    hidden, wide = text.hidden_size, text.intermediate_size
    shapes: Shapes = {
        EMBEDDING: (text.vocab_size, hidden),
        PREFIX + "norm.weight": (hidden,),
    }
    if not text.tied:
        shapes[HEAD] = (text.vocab_size, hidden)
    for layer in range(text.num_layers):
        name = f"{PREFIX}layers.{layer}"
        shapes[f"{name}.mlp.gate_proj.weight"] = wide, hidden
        shapes[f"{name}.mlp.up_proj.weight"] = wide, hidden
        shapes[f"{name}.mlp.down_proj.weight"] = hidden, wide
        shapes[f"{name}.input_layernorm.weight"] = (hidden,)
        shapes[f"{name}.post_attention_layernorm.weight"] = (hidden,)
    return shapes


class DecoderBuilder(ABC):
    """Builds the graph of a language model.

    Inputs and outputs are those of `ModelConfig.decoder_graph`, with `image_embeds`, float32
    (V, H), as a feature.

    Args of the constructor:
        text: sizes of the language model.
        caches: what its layers carry from step to step.
        graph: to which operators are added.
        tensor: reads a tensor of the checkpoint.
    """

    def __init__(
        self,
        text: DecoderSizes,
        caches: Sequence[LayerCache],
        graph: GraphBuilder,
        tensor: TensorReader,
    ) -> None:
        self._sizes = text
        self._graph, self._tensor = graph, tensor
        self._caches: dict[int, list[CacheTensor]] = defaultdict(list)
        for cache in caches:
            self._caches[cache.layer] += cache.tensors

    def build(self) -> onnx.ModelProto:
        """Build the graph."""
        text, g = self._sizes, self._graph
        self._ids = g.input("input_ids", TensorProto.INT64, ["B", "S"])
        self._visual = g.input("visual_idx", TensorProto.INT64, ["V"])
        embeds = g.input("image_embeds", TensorProto.FLOAT, ["V", text.hidden_size])
        self._lengths = g.input("seqlens_k", TensorProto.INT32, ["B"])
        self._longest = g.input("total_seq_len", TensorProto.INT32, [])
        self._rows = g.op("Unsqueeze", self._visual, g.integers(1))
        self._batch = g.op("Shape", self._ids)
        self._cos, self._sin = self._rotations()
        count = g.op("Size", self._ids)
        zero, one = (g.constant(np.array(n, dtype=np.int64)) for n in (0, 1))
        self._order = g.op("Reshape", g.op("Range", zero, count, one), self._batch)
        self._prepare()

        table = self._weight(_EMBEDDING)
        embedded = g.op("Gather", table, g.reshape(self._ids, -1))
        hidden = g.op("ScatterND", embedded, self._rows, g.to_graph_type(embeds))
        normed = self._normed(hidden, "layers.0.input_layernorm.weight")
        for layer in range(text.num_layers):
            hidden, normed = self._layer(layer, hidden, normed)
        logits = g.to_float(self._head(normed, table))
        g.output(logits, "logits", TensorProto.FLOAT, ["B", text.vocab_size])
        return g.model()

    # What families add or change

    @abstractmethod
    def _mixed(self, layer: int, normed: str) -> tuple[str, str]:
        """Mix the tokens of each sequence, (B·S, H) → (B·S, n).

        Returns:
            The value before the output projection, and the name of the projection in the layer.
        """

    @abstractmethod
    def _axis_of_pair(self) -> NDArray[np.int64]:
        """By which axis of the position each pair of rotated channels is rotated, int64 (pairs,).

        0 is the time, 1 the row, 2 the column.
        """

    def _prepare(self) -> None:  # noqa: B027
        """Declare more inputs."""

    def _needs_all_tokens(self, layer: int) -> bool:
        """Whether a layer must compute all tokens, even if it is the last one."""
        return False

    def _continued(self, layer: int, hidden: str, change: str, following: str) -> tuple[str, str]:
        """The residual stream after a layer, and normed by the weight that follows."""
        return self._added(hidden, change, following)

    def _has_bias(self, name: str) -> bool:
        """Whether a projection has a bias."""
        return False

    def _norm_weight(self, norm: str) -> NDArray[Any]:
        """By what a norm scales."""
        return self._tensor(PREFIX + norm)

    def _normed(self, value: str, norm: str) -> str:
        """The value divided by its root mean square, and scaled."""
        return self._rms(value, self._graph.weight(PREFIX + norm, self._norm_weight(norm)))

    def _added(self, hidden: str, change: str, norm: str) -> tuple[str, str]:
        """The sum, and the sum normed."""
        normed, _, _, total = self._graph.add(
            "SkipSimplifiedLayerNormalization",
            hidden,
            change,
            self._graph.weight(PREFIX + norm, self._norm_weight(norm)),
            domain=CONTRIB,
            outputs=[f"{norm}/normed", "", "", f"{norm}/sum"],
            epsilon=self._sizes.rms_norm_eps,
        )
        return total, normed

    # Parts

    def _layer(self, layer: int, hidden: str, normed: str) -> tuple[str, str]:
        """The residual stream after a layer, and normed for the next layer or the head."""
        last = layer + 1 == self._sizes.num_layers
        mixed, projection = self._mixed(layer, normed)
        if last and not self._needs_all_tokens(layer):  # logits need only the last token
            mixed, hidden = self._last_tokens(mixed), self._last_tokens(hidden)
        mixed = self._linear(mixed, f"layers.{layer}.{projection}")
        between = f"layers.{layer}.post_attention_layernorm.weight"
        hidden, normed = self._added(hidden, mixed, between)
        change = self._mlp(f"layers.{layer}.mlp", normed)
        following = "norm.weight" if last else f"layers.{layer + 1}.input_layernorm.weight"
        return self._continued(layer, hidden, change, following)

    def _head(self, normed: str, table: str) -> str:
        g, tied = self._graph, self._sizes.tied
        if tied and g.bits is None:
            return g.linear(normed, table)
        name = EMBEDDING if tied else HEAD
        return g.quantizable_linear(normed, HEAD, self._tensor(name))

    def _weight(self, name: str) -> str:
        return self._graph.weight(PREFIX + name, self._tensor(PREFIX + name))

    def _linear(self, value: str, name: str) -> str:
        bias = self._weight(f"{name}.bias") if self._has_bias(name) else None
        weight = f"{PREFIX}{name}.weight"
        return self._graph.quantizable_linear(value, weight, self._tensor(weight), bias)

    def _rms(self, value: str, weight: str) -> str:
        return self._graph.op(
            "SimplifiedLayerNormalization",
            value,
            weight,
            axis=-1,
            epsilon=self._sizes.rms_norm_eps,
            stash_type=1,
        )

    def _rotations(self) -> tuple[str, str]:
        """Cosines and sines of the angles of M-RoPE, (B·S, pairs)."""
        g, text, axis_of = self._graph, self._sizes, self._axis_of_pair()
        frequencies = inverse_frequencies(text.rope_theta, 2 * len(axis_of), text.yarn)
        positions = g.input("position_ids", TensorProto.INT64, [3, "B", "S"])
        by_token = g.op("Transpose", g.cast(positions, TensorProto.FLOAT), perm=[1, 2, 0])
        chosen = g.op("Gather", by_token, g.constant(axis_of), axis=2)
        angles = g.op("Mul", g.reshape(chosen, -1, len(axis_of)), g.constant(frequencies))
        return self._scaled("Cos", angles), self._scaled("Sin", angles)

    def _scaled(self, kind: str, angles: str) -> str:
        """Cosines or sines, multiplied by the attention factor of YaRN."""
        g, yarn = self._graph, self._sizes.yarn
        value = g.op(kind, angles)
        if yarn is not None:
            factor = np.array(yarn.attention_factor, dtype=np.float32)
            value = g.op("Mul", value, g.constant(factor))
        return g.to_graph_type(value)

    def _last_tokens(self, value: str) -> str:
        """The rows of the last token of each sequence: (B·S, n) → (B, n)."""
        g = self._graph
        rows = g.op("Gather", self._order, g.constant(np.array(-1, dtype=np.int64)), axis=1)
        return g.op("Gather", value, rows)

    def _rotated(self, value: str, heads: int) -> str:
        """Queries or keys of any shape, rotated by their positions: (B, S, heads·head)."""
        text, rotated = self._sizes, 2 * len(self._axis_of_pair())
        partly = {"rotary_embedding_dim": rotated} if rotated < text.head_size else {}
        return self._graph.op(
            "RotaryEmbedding",
            self._by_sequence(value, heads * text.head_size),
            self._order,
            self._cos,
            self._sin,
            domain=CONTRIB,
            num_heads=heads,
            **partly,
        )

    def _attended(self, layer: int, query: str, key: str, value: str) -> str:
        """Causal attention to all tokens that the sequences have had, (B·S, heads·head).

        Args:
            layer: whose keys and values are kept.
            query: (B, S, heads·head).
            key: (B, S, key-value heads·head).
            value: as the keys.
        """
        g, text = self._graph, self._sizes
        past, present = zip(*map(g.cache, self._caches[layer]), strict=True)
        attended, *_ = g.add(
            "GroupQueryAttention",
            query,
            key,
            value,
            *past,
            self._lengths,
            self._longest,
            domain=CONTRIB,
            outputs=[f"layers.{layer}.self_attn/attended", *present],
            num_heads=text.num_heads,
            kv_num_heads=text.num_kv_heads,
        )
        return g.reshape(attended, -1, text.num_heads * text.head_size)

    def _by_sequence(self, value: str, channels: int) -> str:
        """Channels of tokens in any shape as (B, S, channels)."""
        g = self._graph
        shape = g.op("Concat", self._batch, g.integers(channels), axis=0)
        return g.op("Reshape", value, shape)

    def _mlp(self, name: str, normed: str) -> str:
        g = self._graph
        activated = self._silu(self._linear(normed, f"{name}.gate_proj"))
        wide = g.op("Mul", activated, self._linear(normed, f"{name}.up_proj"))
        return self._linear(wide, f"{name}.down_proj")

    def _silu(self, value: str) -> str:
        return self._graph.op("QuickGelu", value, domain=CONTRIB, alpha=1.0)


def interleaved_axes(section: Sequence[int], pairs: int) -> NDArray[np.int64]:
    """By which axis each pair of channels is rotated if the axes of M-RoPE alternate.

    Of each three pairs one follows the time, one the row and one the column, as far as the
    sections of row and column reach. Other pairs follow the time.

    Args:
        section: pairs of time, row and column.
        pairs: number of rotated pairs.

    Returns:
        int64 (pairs,): 0 for the time, 1 for the row, 2 for the column.
    """
    axis_of = np.zeros(pairs, dtype=np.int64)
    for axis in (1, 2):
        axis_of[axis : section[axis] * 3 : 3] = axis
    return axis_of
