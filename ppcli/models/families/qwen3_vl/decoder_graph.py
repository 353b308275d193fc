"""Builds the ONNX graph of the language model, for prefill, chunks of it, and single steps.

Keys and values are read from and written to the same buffers of fixed length, so that nothing is
copied as an answer grows. Positions are an input: a kept token has its position in the unpruned
prompt.
"""

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto

from ppcli.models.families.base import Shapes, TensorReader
from ppcli.models.families.qwen3_vl.sizes import TextConfig
from ppcli.models.families.rope_parameters import inverse_frequencies
from ppcli.models.graphs.graph_builder import CONTRIB, GraphBuilder

if TYPE_CHECKING:
    from ppcli.models.families.qwen3_vl.model_config import Qwen3VLConfig

PREFIX = "model.language_model."
HEAD = "lm_head.weight"
_EMBEDDING = "embed_tokens.weight"
EMBEDDING = PREFIX + _EMBEDDING


def decoder_shapes(text: TextConfig) -> Shapes:
    """Names and shapes of the checkpoint tensors that the graph needs."""
    hidden, head = text.hidden_size, text.head_size
    shapes: Shapes = {
        EMBEDDING: (text.vocab_size, hidden),
        PREFIX + "norm.weight": (hidden,),
    }
    if not text.tied:
        shapes[HEAD] = (text.vocab_size, hidden)
    sizes = {
        "self_attn.q_proj": (text.num_heads * head, hidden),
        "self_attn.k_proj": (text.num_kv_heads * head, hidden),
        "self_attn.v_proj": (text.num_kv_heads * head, hidden),
        "self_attn.o_proj": (hidden, text.num_heads * head),
        "mlp.gate_proj": (text.intermediate_size, hidden),
        "mlp.up_proj": (text.intermediate_size, hidden),
        "mlp.down_proj": (hidden, text.intermediate_size),
        "self_attn.q_norm": (head,),
        "self_attn.k_norm": (head,),
        "input_layernorm": (hidden,),
        "post_attention_layernorm": (hidden,),
    }
    for layer in range(text.num_layers):
        for name, shape in sizes.items():
            shapes[f"{PREFIX}layers.{layer}.{name}.weight"] = shape
            if text.attention_bias and name.endswith(("q_proj", "k_proj", "v_proj", "o_proj")):
                shapes[f"{PREFIX}layers.{layer}.{name}.bias"] = shape[:1]
    return shapes


def decoder_model(
    config: "Qwen3VLConfig", graph: GraphBuilder, tensor: TensorReader
) -> onnx.ModelProto:
    """Build the graph.

    Inputs and outputs are those of `ModelConfig.decoder_graph`, with `image_embeds`, float32
    (V, H), and with DeepStack `deepstack`, float32 (layers, V, H), as features.
    """
    return _DecoderBuilder(config, graph, tensor).build()


class _DecoderBuilder:
    def __init__(self, config: "Qwen3VLConfig", graph: GraphBuilder, tensor: TensorReader) -> None:
        self._text, self._graph, self._tensor = config.text, graph, tensor
        self._caches = config.caches
        self._deepstack_layers = len(config.vision.deepstack)

    def build(self) -> onnx.ModelProto:
        text, g = self._text, self._graph
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
        deepstack = self._deepstack()

        table = self._weight(_EMBEDDING)
        embedded = g.op("Gather", table, g.reshape(self._ids, -1))
        hidden = g.op("ScatterND", embedded, self._rows, g.to_graph_type(embeds))
        normed = self._rms(hidden, self._weight("layers.0.input_layernorm.weight"))
        for layer in range(text.num_layers):
            hidden, normed = self._layer(layer, hidden, normed, deepstack)
        logits = g.to_float(self._head(normed, table))
        g.output(logits, "logits", TensorProto.FLOAT, ["B", text.vocab_size])
        return g.model()

    def _layer(self, layer: int, hidden: str, normed: str, deepstack: list[str]) -> tuple[str, str]:
        """The residual stream after a layer, and normed for the next layer or the head."""
        g, last = self._graph, layer + 1 == self._text.num_layers
        attended = self._attention(layer, normed)
        if last and layer >= len(deepstack):  # logits need only the last token
            attended, hidden = self._last_tokens(attended), self._last_tokens(hidden)
        attended = self._linear(attended, f"layers.{layer}.self_attn.o_proj")
        hidden, normed = self._added(
            hidden, attended, f"layers.{layer}.post_attention_layernorm.weight"
        )
        change = self._mlp(f"layers.{layer}.mlp", normed)
        following = "norm.weight" if last else f"layers.{layer + 1}.input_layernorm.weight"
        if layer >= len(deepstack):
            return self._added(hidden, change, following)
        hidden = self._with_deepstack(g.op("Add", hidden, change), deepstack[layer])
        hidden = self._last_tokens(hidden) if last else hidden
        return hidden, self._rms(hidden, self._weight(following))

    def _head(self, normed: str, table: str) -> str:
        g, tied = self._graph, self._text.tied
        if tied and g.bits is None:
            return g.linear(normed, table)
        name = EMBEDDING if tied else HEAD
        return g.quantizable_linear(normed, HEAD, self._tensor(name))

    def _weight(self, name: str) -> str:
        return self._graph.weight(PREFIX + name, self._tensor(PREFIX + name))

    def _linear(self, value: str, name: str) -> str:
        biased = self._text.attention_bias and ".self_attn." in name
        bias = self._weight(f"{name}.bias") if biased else None
        weight = f"{PREFIX}{name}.weight"
        return self._graph.quantizable_linear(value, weight, self._tensor(weight), bias)

    def _rms(self, value: str, weight: str) -> str:
        return self._graph.op(
            "SimplifiedLayerNormalization",
            value,
            weight,
            axis=-1,
            epsilon=self._text.rms_norm_eps,
            stash_type=1,
        )

    def _added(self, hidden: str, change: str, norm: str) -> tuple[str, str]:
        """The sum, and the sum normed."""
        normed, _, _, total = self._graph.add(
            "SkipSimplifiedLayerNormalization",
            hidden,
            change,
            self._weight(norm),
            domain=CONTRIB,
            outputs=[f"{norm}/normed", "", "", f"{norm}/sum"],
            epsilon=self._text.rms_norm_eps,
        )
        return total, normed

    def _rotations(self) -> tuple[str, str]:
        """Cosines and sines of the angles of M-RoPE, (B·S, head/2).

        The axes alternate: of each three pairs of channels one follows the time, one the row and
        one the column, as far as the sections of row and column reach. Other pairs follow the time.
        """
        g, half = self._graph, self._text.head_size // 2
        axis_of = np.zeros(half, dtype=np.int64)
        for axis in (1, 2):
            axis_of[axis : self._text.mrope_section[axis] * 3 : 3] = axis
        frequencies = inverse_frequencies(self._text.rope_theta, 2 * half, self._text.yarn)
        positions = g.input("position_ids", TensorProto.INT64, [3, "B", "S"])
        by_token = g.op("Transpose", g.cast(positions, TensorProto.FLOAT), perm=[1, 2, 0])
        chosen = g.reshape(g.op("Gather", by_token, g.constant(axis_of), axis=2), -1, half)
        angles = g.op("Mul", chosen, g.constant(frequencies))
        return self._scaled("Cos", angles), self._scaled("Sin", angles)

    def _scaled(self, kind: str, angles: str) -> str:
        """Cosines or sines, multiplied by the attention factor of YaRN."""
        g, yarn = self._graph, self._text.yarn
        value = g.op(kind, angles)
        if yarn is not None:
            factor = np.array(yarn.attention_factor, dtype=np.float32)
            value = g.op("Mul", value, g.constant(factor))
        return g.to_graph_type(value)

    def _deepstack(self) -> list[str]:
        """The features that are added to the visual tokens after each of the first layers."""
        g, count = self._graph, min(self._deepstack_layers, self._text.num_layers)
        if not self._deepstack_layers:
            return []
        shape: list[int | str] = [self._deepstack_layers, "V", self._text.hidden_size]
        stacked = g.to_graph_type(g.input("deepstack", TensorProto.FLOAT, shape))
        layers = [g.op("Gather", stacked, g.integers(number), axis=0) for number in range(count)]
        return [g.op("Squeeze", layer, g.integers(0)) for layer in layers]

    def _with_deepstack(self, hidden: str, change: str) -> str:
        g = self._graph
        rows = g.op("Add", g.op("Gather", hidden, self._visual), change)
        return g.op("ScatterND", hidden, self._rows, rows)

    def _last_tokens(self, value: str) -> str:
        """The rows of the last token of each sequence: (B·S, n) → (B, n)."""
        g = self._graph
        rows = g.op("Gather", self._order, g.constant(np.array(-1, dtype=np.int64)), axis=1)
        return g.op("Gather", value, rows)

    def _attention(self, layer: int, normed: str) -> str:
        """Attention before the output projection, (B·S, heads·head)."""
        g, text, name = self._graph, self._text, f"layers.{layer}.self_attn"
        query = self._heads(normed, name, "q", text.num_heads)
        key = self._heads(normed, name, "k", text.num_kv_heads)
        value = self._by_sequence(self._linear(normed, f"{name}.v_proj"), text.num_kv_heads)
        past, present = zip(*map(g.cache, self._caches[layer].tensors), strict=True)
        attended, *_ = g.add(
            "GroupQueryAttention",
            query,
            key,
            value,
            *past,
            self._lengths,
            self._longest,
            domain=CONTRIB,
            outputs=[f"{name}/attended", *present],
            num_heads=text.num_heads,
            kv_num_heads=text.num_kv_heads,
        )
        return g.reshape(attended, -1, text.num_heads * text.head_size)

    def _heads(self, normed: str, name: str, which: str, heads: int) -> str:
        """Queries or keys, each head normed and rotated by its position: (B, S, heads·head)."""
        g, head = self._graph, self._text.head_size
        projected = g.reshape(self._linear(normed, f"{name}.{which}_proj"), -1, head)
        projected = self._rms(projected, self._weight(f"{name}.{which}_norm.weight"))
        return g.op(
            "RotaryEmbedding",
            self._by_sequence(projected, heads),
            self._order,
            self._cos,
            self._sin,
            domain=CONTRIB,
            num_heads=heads,
        )

    def _by_sequence(self, value: str, heads: int) -> str:
        """Heads in any shape as (B, S, heads·head)."""
        g = self._graph
        shape = g.op("Concat", self._batch, g.integers(heads * self._text.head_size), axis=0)
        return g.op("Reshape", value, shape)

    def _mlp(self, name: str, normed: str) -> str:
        g = self._graph
        gate = self._linear(normed, f"{name}.gate_proj")
        activated = g.op("QuickGelu", gate, domain=CONTRIB, alpha=1.0)  # SiLU
        wide = g.op("Mul", activated, self._linear(normed, f"{name}.up_proj"))
        return self._linear(wide, f"{name}.down_proj")
