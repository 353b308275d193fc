"""Builds the ONNX graph of Qwen3.5's language model.

Most of its layers are gated delta nets (arXiv 2412.06464): they read a state of fixed size, which
each token changes. They see the order of tokens and no positions.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from ppcli.models.families.base import Shapes, TensorReader
from ppcli.models.families.decoder_builder import (
    PREFIX,
    DecoderBuilder,
    interleaved_axes,
    shared_shapes,
)
from ppcli.models.families.qwen3_5.sizes import LayerType, TextConfig
from ppcli.models.graphs.graph_builder import CONTRIB, GraphBuilder

if TYPE_CHECKING:
    from ppcli.models.families.qwen3_5.model_config import Qwen35Config

_L2_EPSILON = 1e-6


def decoder_shapes(text: TextConfig) -> Shapes:
    """Names and shapes of the checkpoint tensors that the graph needs."""
    shapes = shared_shapes(text)
    for layer, kind in enumerate(text.layer_types):
        of_layer = _delta_shapes(text) if kind is LayerType.LINEAR else _attention_shapes(text)
        for name, shape in of_layer.items():
            shapes[f"{PREFIX}layers.{layer}.{name}"] = shape
    return shapes


def _delta_shapes(text: TextConfig) -> Shapes:
    hidden, sizes = text.hidden_size, text.delta
    return {
        "linear_attn.in_proj_qkv.weight": (sizes.convolved, hidden),
        "linear_attn.in_proj_z.weight": (sizes.values, hidden),
        "linear_attn.in_proj_b.weight": (sizes.value_heads, hidden),
        "linear_attn.in_proj_a.weight": (sizes.value_heads, hidden),
        "linear_attn.conv1d.weight": (sizes.convolved, 1, sizes.kernel),
        "linear_attn.A_log": (sizes.value_heads,),
        "linear_attn.dt_bias": (sizes.value_heads,),
        "linear_attn.norm.weight": (sizes.value_size,),
        "linear_attn.out_proj.weight": (hidden, sizes.values),
    }


def _attention_shapes(text: TextConfig) -> Shapes:
    hidden, head = text.hidden_size, text.head_size
    projections = {
        "q_proj": (2 * text.num_heads * head, hidden),  # queries, and gates of the output
        "k_proj": (text.num_kv_heads * head, hidden),
        "v_proj": (text.num_kv_heads * head, hidden),
        "o_proj": (hidden, text.num_heads * head),
    }
    shapes: Shapes = {
        "self_attn.q_norm.weight": (head,),
        "self_attn.k_norm.weight": (head,),
    }
    for name, shape in projections.items():
        shapes[f"self_attn.{name}.weight"] = shape
        if text.attention_bias:
            shapes[f"self_attn.{name}.bias"] = shape[:1]
    return shapes


def decoder_model(
    config: "Qwen35Config", graph: GraphBuilder, tensor: TensorReader
) -> onnx.ModelProto:
    """Build the graph. It has the features of `DecoderBuilder`."""
    return _Qwen35Decoder(config, graph, tensor).build()


class _Qwen35Decoder(DecoderBuilder):
    """Norms scale by 1 + w; attention has a gate for its output and is rotated in part."""

    def __init__(self, config: "Qwen35Config", graph: GraphBuilder, tensor: TensorReader) -> None:
        super().__init__(config.text, config.caches, graph, tensor)
        self._text = config.text

    def _axis_of_pair(self) -> NDArray[np.int64]:
        return interleaved_axes(self._text.mrope_section, self._text.rotary_size // 2)

    def _has_bias(self, name: str) -> bool:
        return self._text.attention_bias and ".self_attn." in name

    def _mixed(self, layer: int, normed: str) -> tuple[str, str]:
        if self._text.layer_types[layer] is LayerType.LINEAR:
            return self._delta_net(layer, normed), "linear_attn.out_proj"
        return self._gated_attention(layer, normed), "self_attn.o_proj"

    # Norms. bfloat16 is too coarse for 1 + w with a small w.

    def _norm_weight(self, norm: str) -> NDArray[Any]:
        weight: NDArray[Any] = np.float32(1) + self._tensor(PREFIX + norm).astype(np.float32)
        return weight

    def _normed(self, value: str, norm: str) -> str:
        g = self._graph
        if g.type != TensorProto.BFLOAT16:
            return super()._normed(value, norm)
        weight = g.float_weight(PREFIX + norm, self._norm_weight(norm))
        return g.to_graph_type(self._rms(g.to_float(value), weight))

    def _added(self, hidden: str, change: str, norm: str) -> tuple[str, str]:
        if self._graph.type != TensorProto.BFLOAT16:
            return super()._added(hidden, change, norm)
        total = self._graph.op("Add", hidden, change)
        return total, self._normed(total, norm)

    # Attention

    def _gated_attention(self, layer: int, normed: str) -> str:
        """Attention times the sigmoid of the gates, (B·S, heads·head)."""
        g, text, name = self._graph, self._text, f"layers.{layer}.self_attn"
        query, gate = self._queries_and_gates(normed, f"{name}.q_proj")
        query = self._heads(query, f"{name}.q_norm.weight", text.num_heads)
        key = self._linear(normed, f"{name}.k_proj")
        key = self._heads(key, f"{name}.k_norm.weight", text.num_kv_heads)
        value = self._linear(normed, f"{name}.v_proj")
        value = self._by_sequence(value, text.num_kv_heads * text.head_size)
        attended = self._attended(layer, query, key, value)
        return g.op("Mul", attended, g.op("Sigmoid", gate))

    def _queries_and_gates(self, normed: str, name: str) -> list[str]:
        """Two projections, whose rows alternate by head in the matrix of the checkpoint."""
        g, text = self._graph, self._text
        by_head = (text.num_heads, 2, text.head_size)
        weight = self._tensor(f"{PREFIX}{name}.weight").reshape(*by_head, text.hidden_size)
        biases = None
        if self._has_bias(name):
            biases = self._tensor(f"{PREFIX}{name}.bias").reshape(by_head)
        made = []
        for half, part in enumerate(("query", "gate")):
            matrix = weight[:, half].reshape(-1, text.hidden_size)
            bias = None
            if biases is not None:
                bias = g.weight(f"{PREFIX}{name}.{part}.bias", biases[:, half].reshape(-1))
            made.append(g.quantizable_linear(normed, f"{PREFIX}{name}.{part}", matrix, bias))
        return made

    def _heads(self, projected: str, norm: str, heads: int) -> str:
        """Queries or keys, each head normed and rotated by its position: (B, S, heads·head)."""
        by_head = self._graph.reshape(projected, -1, self._text.head_size)
        return self._rotated(self._normed(by_head, norm), heads)

    # Linear attention, in float32 as in transformers

    def _delta_net(self, layer: int, normed: str) -> str:
        """The gated delta net before its output projection, (B·S, value heads·value)."""
        g, sizes, name = self._graph, self._text.delta, f"layers.{layer}.linear_attn"
        query, key, value = self._convolved(layer, normed)
        past, present = self._cache(layer, "recurrent")
        attended, _ = g.add(
            "LinearAttention",
            self._unit(query, sizes.keys),
            self._unit(key, sizes.keys),
            value,
            past,
            self._by_sequence(self._decay(normed, name), sizes.value_heads),
            self._by_sequence(self._update_rate(normed, name), sizes.value_heads),
            domain=CONTRIB,
            outputs=[f"{name}/attended", present],
            q_num_heads=sizes.key_heads,
            kv_num_heads=sizes.value_heads,
            update_rule="gated_delta",
        )
        gated = g.op(
            "GatedRMSNorm",
            g.reshape(attended, -1, sizes.values),
            self._float_weight(f"{name}.norm.weight"),
            g.to_float(self._linear(normed, f"{name}.in_proj_z")),
            domain=CONTRIB,
            activation="silu",
            epsilon=self._text.rms_norm_eps,
        )
        return g.to_graph_type(gated)

    def _convolved(self, layer: int, normed: str) -> list[str]:
        """Queries, keys and values after the causal convolution, float32 (B, S, channels) each."""
        g, sizes, name = self._graph, self._text.delta, f"layers.{layer}.linear_attn"
        packed = self._linear(normed, f"{name}.in_proj_qkv")
        past, present = self._cache(layer, "convolution")
        convolved, _ = g.add(
            "CausalConvWithState",
            self._by_sequence(g.to_float(packed), sizes.convolved),
            self._float_weight(f"{name}.conv1d.weight"),
            "",
            past,
            domain=CONTRIB,
            outputs=[f"{name}/convolved", present],
            activation="silu",
            channels_last=1,
        )
        parts = g.integers(sizes.keys, sizes.keys, sizes.values)
        return g.add("Split", convolved, parts, outputs=3, axis=2)

    def _unit(self, value: str, channels: int) -> str:
        """Each head of queries or keys with length one: v / √(Σv² + ε)."""
        g, size = self._graph, self._text.delta.key_size
        weight = np.full(size, size**-0.5, dtype=np.float32)
        normed = g.op(
            "SimplifiedLayerNormalization",
            g.reshape(value, -1, size),
            g.constant(weight),
            axis=-1,
            epsilon=_L2_EPSILON / size,
            stash_type=1,
        )
        return self._by_sequence(normed, channels)

    def _decay(self, normed: str, name: str) -> str:
        """The logarithm of what is left of the state after a token: −exp(A)·softplus(a + b)."""
        g = self._graph
        raw = g.to_float(g.linear(normed, self._weight(f"{name}.in_proj_a.weight")))
        steps = g.op("Softplus", g.op("Add", raw, self._float_weight(f"{name}.dt_bias")))
        rates = -np.exp(self._tensor(f"{PREFIX}{name}.A_log").astype(np.float32))
        return g.op("Mul", steps, g.float_weight(f"{PREFIX}{name}.decay", rates))

    def _update_rate(self, normed: str, name: str) -> str:
        """How much of its value a token writes to the state, from 0 to 1."""
        g = self._graph
        raw = g.linear(normed, self._weight(f"{name}.in_proj_b.weight"))
        return g.op("Sigmoid", g.to_float(raw))

    def _float_weight(self, name: str) -> str:
        return self._graph.float_weight(PREFIX + name, self._tensor(PREFIX + name))

    def _cache(self, layer: int, kind: str) -> tuple[str, str]:
        """The names of the past and the present of a state."""
        (tensor,) = (one for one in self._caches[layer] if one.name == f"{layer}.{kind}")
        return self._graph.cache(tensor)
