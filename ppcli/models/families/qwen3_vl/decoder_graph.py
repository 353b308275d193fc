"""Builds the ONNX graph of Qwen3-VL's language model."""

from typing import TYPE_CHECKING

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
from ppcli.models.families.qwen3_vl.sizes import TextConfig
from ppcli.models.graphs.graph_builder import GraphBuilder

if TYPE_CHECKING:
    from ppcli.models.families.qwen3_vl.model_config import Qwen3VLConfig


def decoder_shapes(text: TextConfig) -> Shapes:
    """Names and shapes of the checkpoint tensors that the graph needs."""
    hidden, head = text.hidden_size, text.head_size
    shapes = shared_shapes(text)
    sizes = {
        "q_proj": (text.num_heads * head, hidden),
        "k_proj": (text.num_kv_heads * head, hidden),
        "v_proj": (text.num_kv_heads * head, hidden),
        "o_proj": (hidden, text.num_heads * head),
        "q_norm": (head,),
        "k_norm": (head,),
    }
    for layer in range(text.num_layers):
        for part, shape in sizes.items():
            name = f"{PREFIX}layers.{layer}.self_attn.{part}"
            shapes[f"{name}.weight"] = shape
            if text.attention_bias and part.endswith("_proj"):
                shapes[f"{name}.bias"] = shape[:1]
    return shapes


def decoder_model(
    config: "Qwen3VLConfig", graph: GraphBuilder, tensor: TensorReader
) -> onnx.ModelProto:
    """Build the graph, with DeepStack's `deepstack`, float32 (layers, V, H), as a feature."""
    return _Qwen3Decoder(config, graph, tensor).build()


class _Qwen3Decoder(DecoderBuilder):
    """Heads of queries and keys are normed, and DeepStack adds to the first layers."""

    def __init__(self, config: "Qwen3VLConfig", graph: GraphBuilder, tensor: TensorReader) -> None:
        super().__init__(config.text, config.caches, graph, tensor)
        self._text = config.text
        self._deepstack_layers = len(config.vision.deepstack)

    def _prepare(self) -> None:
        """Read the features that are added to the visual tokens after each of the first layers."""
        g, count = self._graph, min(self._deepstack_layers, self._text.num_layers)
        self._deepstack: list[str] = []
        if not self._deepstack_layers:
            return
        shape: list[int | str] = [self._deepstack_layers, "V", self._text.hidden_size]
        stacked = g.to_graph_type(g.input("deepstack", TensorProto.FLOAT, shape))
        layers = [g.op("Gather", stacked, g.integers(number), axis=0) for number in range(count)]
        self._deepstack = [g.op("Squeeze", layer, g.integers(0)) for layer in layers]

    def _axis_of_pair(self) -> NDArray[np.int64]:
        return interleaved_axes(self._text.mrope_section, self._text.head_size // 2)

    def _has_bias(self, name: str) -> bool:
        return self._text.attention_bias and ".self_attn." in name

    def _needs_all_tokens(self, layer: int) -> bool:
        return layer < len(self._deepstack)

    def _continued(self, layer: int, hidden: str, change: str, following: str) -> tuple[str, str]:
        if layer >= len(self._deepstack):
            return self._added(hidden, change, following)
        hidden = self._with_deepstack(self._graph.op("Add", hidden, change), self._deepstack[layer])
        last = layer + 1 == self._text.num_layers
        hidden = self._last_tokens(hidden) if last else hidden
        return hidden, self._normed(hidden, following)

    def _with_deepstack(self, hidden: str, change: str) -> str:
        g = self._graph
        rows = g.op("Add", g.op("Gather", hidden, self._visual), change)
        return g.op("ScatterND", hidden, self._rows, rows)

    def _mixed(self, layer: int, normed: str) -> tuple[str, str]:
        text, name = self._text, f"layers.{layer}.self_attn"
        query = self._heads(normed, name, "q", text.num_heads)
        key = self._heads(normed, name, "k", text.num_kv_heads)
        value = self._linear(normed, f"{name}.v_proj")
        value = self._by_sequence(value, text.num_kv_heads * text.head_size)
        return self._attended(layer, query, key, value), "self_attn.o_proj"

    def _heads(self, normed: str, name: str, which: str, heads: int) -> str:
        """Queries or keys, each head normed and rotated by its position: (B, S, heads·head)."""
        projected = self._linear(normed, f"{name}.{which}_proj")
        by_head = self._graph.reshape(projected, -1, self._text.head_size)
        return self._rotated(self._normed(by_head, f"{name}.{which}_norm.weight"), heads)
