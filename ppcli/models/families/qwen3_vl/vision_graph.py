"""Builds the ONNX graph of the vision transformer, which takes any set of patches.

Each patch comes with its row and column and with its taps of the learned position embeddings.
Pruning therefore changes only which patches attend to each other.
"""

import onnx
from onnx import TensorProto

from ppcli.models.families.base import Shapes, TensorReader
from ppcli.models.families.qwen3_vl.sizes import VisionConfig
from ppcli.models.families.vision_builder import PREFIX, VisionBuilder
from ppcli.models.graphs.graph_builder import GraphBuilder

_NORM_EPSILON = 1e-6
_INTERPOLATION_TAPS = 4


def vision_shapes(config: VisionConfig) -> Shapes:
    """Names and shapes of the checkpoint tensors that the graph needs."""
    hidden, merged = config.hidden_size, config.hidden_size * config.merge_size**2
    patch = (config.in_channels, config.temporal_patch_size, config.patch_size, config.patch_size)
    shapes: Shapes = {
        "patch_embed.proj.weight": (hidden, *patch),
        "patch_embed.proj.bias": (hidden,),
        "pos_embed.weight": (config.num_position_embeddings, hidden),
    }

    def linear(name: str, inputs: int, outputs: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (outputs, inputs), (outputs,)

    def norm(name: str, size: int) -> None:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (size,)

    for layer in range(config.depth):
        norm(f"blocks.{layer}.norm1", hidden)
        norm(f"blocks.{layer}.norm2", hidden)
        linear(f"blocks.{layer}.attn.qkv", hidden, 3 * hidden)
        linear(f"blocks.{layer}.attn.proj", hidden, hidden)
        linear(f"blocks.{layer}.mlp.linear_fc1", hidden, config.intermediate_size)
        linear(f"blocks.{layer}.mlp.linear_fc2", config.intermediate_size, hidden)
    mergers = [f"deepstack_merger_list.{number}" for number in range(len(config.deepstack))]
    for merger in ("merger", *mergers):
        norm(f"{merger}.norm", hidden if merger == "merger" else merged)
        linear(f"{merger}.linear_fc1", merged, merged)
        linear(f"{merger}.linear_fc2", merged, config.out_hidden_size)
    return {PREFIX + name: shape for name, shape in shapes.items()}


def vision_model(
    config: VisionConfig, graph: GraphBuilder, tensor: TensorReader
) -> onnx.ModelProto:
    """Build the graph.

    Inputs: `pixel_values`, float32 (N, C·Tp·P·P); `pos_hw`, int64 (N, 2); `interp_idx`, int64
    (N, 4); `interp_w`, float32 (N, 4). N is a multiple of M²; the patches of a tile are adjacent.
    Outputs: `image_embeds`, float32 (N/M², D); and, with DeepStack, `deepstack`, float32
    (layers, N/M², D).
    """
    return _VisionBuilder(config, graph, tensor).build()


class _VisionBuilder(VisionBuilder):
    def __init__(self, config: VisionConfig, graph: GraphBuilder, tensor: TensorReader) -> None:
        super().__init__(config, graph, tensor)
        self._config = config

    def build(self) -> onnx.ModelProto:
        config, g = self._config, self._graph
        hidden = g.op("Add", self._embedded(bias=True), self._position_embeddings())
        cos, sin = self._rotations()
        deepstack = []
        for layer in range(config.depth):
            hidden = self._block(f"blocks.{layer}", hidden, cos, sin)
            if layer in config.deepstack:
                number = config.deepstack.index(layer)
                merged = self._merged(f"deepstack_merger_list.{number}", hidden, norm_first=False)
                deepstack.append(g.op("Unsqueeze", merged, g.integers(0)))
        embeds = g.to_float(self._merged("merger", hidden, norm_first=True))
        g.output(embeds, "image_embeds", TensorProto.FLOAT, ["V", config.out_hidden_size])
        if deepstack:
            stacked = g.to_float(g.op("Concat", *deepstack, axis=0))
            shape: list[int | str] = [len(deepstack), "V", config.out_hidden_size]
            g.output(stacked, "deepstack", TensorProto.FLOAT, shape)
        return g.model()

    def _normed(self, value: str, name: str) -> str:
        weight, bias = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self._graph.op(
            "LayerNormalization", value, weight, bias, axis=-1, epsilon=_NORM_EPSILON
        )

    def _position_embeddings(self) -> str:
        """The square of learned embeddings, interpolated at the position of each patch."""
        g = self._graph
        indices = g.input("interp_idx", TensorProto.INT64, ["N", _INTERPOLATION_TAPS])
        weights = g.input("interp_w", TensorProto.FLOAT, ["N", _INTERPOLATION_TAPS])
        table = self._weight("pos_embed.weight")
        total = ""
        for tap in range(_INTERPOLATION_TAPS):
            index = g.op("Gather", indices, g.integers(tap), axis=1)
            weight = g.op("Gather", weights, g.integers(tap), axis=1)
            rows = g.op("Gather", table, g.op("Squeeze", index, g.integers(1)), axis=0)
            term = g.op("Mul", g.to_float(rows), weight)
            total = g.op("Add", total, term) if total else term
        return g.to_graph_type(total)

    def _block(self, name: str, hidden: str, cos: str, sin: str) -> str:
        g = self._graph
        normed = self._normed(hidden, f"{name}.norm1")
        attended = self._attended(*self._queries_keys_values(normed, f"{name}.attn", cos, sin))
        attended = g.op("Squeeze", attended, g.integers(0))
        hidden = g.op("Add", hidden, self._linear(attended, f"{name}.attn.proj"))
        normed = self._normed(hidden, f"{name}.norm2")
        wide = g.op(
            "Gelu", self._linear(normed, f"{name}.mlp.linear_fc1"), approximate=self._gelu()
        )
        return g.op("Add", hidden, self._linear(wide, f"{name}.mlp.linear_fc2"))

    def _gelu(self) -> str:
        return "tanh" if self._config.activation == "gelu_pytorch_tanh" else "none"

    def _merged(self, name: str, hidden: str, norm_first: bool) -> str:
        """The M² patches of each tile as one token."""
        g, wide = self._graph, self._config.hidden_size * self._config.merge_size**2
        if norm_first:
            tiles = g.reshape(self._normed(hidden, f"{name}.norm"), -1, wide)
        else:
            tiles = self._normed(g.reshape(hidden, -1, wide), f"{name}.norm")
        activated = g.op("Gelu", self._linear(tiles, f"{name}.linear_fc1"))
        return self._linear(activated, f"{name}.linear_fc2")
