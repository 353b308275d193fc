"""Builds the ONNX graph of Qwen2.5-VL's language model."""

from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.typing import NDArray

from ppcli.models.families.base import Shapes, TensorReader
from ppcli.models.families.decoder_builder import PREFIX, DecoderBuilder, shared_shapes
from ppcli.models.families.qwen2_5_vl.sizes import TextConfig
from ppcli.models.graphs.graph_builder import GraphBuilder

if TYPE_CHECKING:
    from ppcli.models.families.qwen2_5_vl.model_config import Qwen25VLConfig

_BIASED = ("q_proj", "k_proj", "v_proj")


def decoder_shapes(text: TextConfig) -> Shapes:
    """Names and shapes of the checkpoint tensors that the graph needs."""
    hidden, keys = text.hidden_size, text.num_kv_heads * text.head_size
    shapes = shared_shapes(text)
    sizes = {
        "q_proj": (hidden, hidden),
        "k_proj": (keys, hidden),
        "v_proj": (keys, hidden),
        "o_proj": (hidden, hidden),
    }
    for layer in range(text.num_layers):
        for part, shape in sizes.items():
            name = f"{PREFIX}layers.{layer}.self_attn.{part}"
            shapes[f"{name}.weight"] = shape
            if part in _BIASED:
                shapes[f"{name}.bias"] = shape[:1]
    return shapes


def decoder_model(
    config: "Qwen25VLConfig", graph: GraphBuilder, tensor: TensorReader
) -> onnx.ModelProto:
    """Build the graph. It has the features of `DecoderBuilder`."""
    return _Qwen25Decoder(config, graph, tensor).build()


class _Qwen25Decoder(DecoderBuilder):
    """Queries, keys and values have biases, and each axis of M-RoPE rotates a run of channels."""

    def __init__(self, config: "Qwen25VLConfig", graph: GraphBuilder, tensor: TensorReader) -> None:
        super().__init__(config.text, config.caches, graph, tensor)
        self._text = config.text

    def _axis_of_pair(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(3), self._text.mrope_section)

    def _has_bias(self, name: str) -> bool:
        return name.endswith(_BIASED)

    def _mixed(self, layer: int, normed: str) -> tuple[str, str]:
        text, name = self._text, f"layers.{layer}.self_attn"
        query = self._rotated(self._linear(normed, f"{name}.q_proj"), text.num_heads)
        key = self._rotated(self._linear(normed, f"{name}.k_proj"), text.num_kv_heads)
        value = self._linear(normed, f"{name}.v_proj")
        value = self._by_sequence(value, text.num_kv_heads * text.head_size)
        return self._attended(layer, query, key, value), "self_attn.o_proj"
