"""Builds the ONNX graph of Qwen2.5-VL's vision transformer, which takes any set of patches.

Each patch comes with its row, its column and its window in the whole image. Pruning therefore
changes only which patches attend to each other: in most layers those of a window, in some all.
"""

import numpy as np
import onnx
from onnx import TensorProto

from ppcli.models.families.base import Shapes, TensorReader
from ppcli.models.families.qwen2_5_vl.sizes import VisionConfig
from ppcli.models.families.vision_builder import PREFIX, VisionBuilder
from ppcli.models.graphs.graph_builder import CONTRIB, GraphBuilder

_NORM_EPSILON = 1e-6
_OTHER_WINDOW = -65_504.0  # the lowest number of float16: no patch attends to that


def vision_shapes(config: VisionConfig) -> Shapes:
    """Names and shapes of the checkpoint tensors that the graph needs."""
    hidden, wide = config.hidden_size, config.intermediate_size
    merged = hidden * config.merge_size**2
    patch = (config.in_channels, config.temporal_patch_size, config.patch_size, config.patch_size)
    shapes: Shapes = {
        "patch_embed.proj.weight": (hidden, *patch),
        "merger.ln_q.weight": (hidden,),
    }

    def linear(name: str, inputs: int, outputs: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (outputs, inputs), (outputs,)

    for layer in range(config.depth):
        name = f"blocks.{layer}"
        shapes[f"{name}.norm1.weight"] = shapes[f"{name}.norm2.weight"] = (hidden,)
        linear(f"{name}.attn.qkv", hidden, 3 * hidden)
        linear(f"{name}.attn.proj", hidden, hidden)
        linear(f"{name}.mlp.gate_proj", hidden, wide)
        linear(f"{name}.mlp.up_proj", hidden, wide)
        linear(f"{name}.mlp.down_proj", wide, hidden)
    linear("merger.mlp.0", merged, merged)
    linear("merger.mlp.2", merged, config.out_hidden_size)
    return {PREFIX + name: shape for name, shape in shapes.items()}


def vision_model(
    config: VisionConfig, graph: GraphBuilder, tensor: TensorReader
) -> onnx.ModelProto:
    """Build the graph.

    Inputs: `pixel_values`, float32 (N, C·Tp·P·P), and those of `PatchPositions`. N is a multiple of
    M²; the patches of a tile are adjacent. Output: `image_embeds`, float32 (N/M², D).
    """
    return _VisionBuilder(config, graph, tensor).build()


class _VisionBuilder(VisionBuilder):
    def __init__(self, config: VisionConfig, graph: GraphBuilder, tensor: TensorReader) -> None:
        super().__init__(config, graph, tensor)
        self._config = config

    def build(self) -> onnx.ModelProto:
        config, g = self._config, self._graph
        hidden = self._embedded(bias=False)
        self._cos, self._sin = self._rotations()
        self._declare_windows()
        normed = g.op(
            "SimplifiedLayerNormalization",
            hidden,
            self._weight("blocks.0.norm1.weight"),
            axis=-1,
            epsilon=_NORM_EPSILON,
            stash_type=1,
        )
        for layer in range(config.depth):
            last = layer + 1 == config.depth
            following = "merger.ln_q.weight" if last else f"blocks.{layer + 1}.norm1.weight"
            hidden, normed = self._block(layer, hidden, normed, following)
        tiles = g.reshape(normed, -1, config.hidden_size * config.merge_size**2)
        embeds = self._linear(g.op("Gelu", self._linear(tiles, "merger.mlp.0")), "merger.mlp.2")
        out: list[int | str] = ["V", config.out_hidden_size]
        g.output(g.to_float(embeds), "image_embeds", TensorProto.FLOAT, out)
        return g.model()

    def _declare_windows(self) -> None:
        """Lay out the table of `window_slot`, and say which of its patches attend to which."""
        g = self._graph
        window = g.input("window", TensorProto.INT64, ["N"])
        slots = g.input("window_slot", TensorProto.INT64, ["N", 2])
        sizes = g.op("ReduceMax", slots, g.integers(0), keepdims=0)
        self._table = g.op("Add", sizes, g.integers(1))  # rows and columns
        columns = g.op("Gather", self._table, g.integers(1))
        row, column = g.add("Split", slots, outputs=2, axis=1, num_outputs=2)
        places = g.op("Add", g.op("Mul", row, columns), column)
        self._places = g.op("Squeeze", places, g.integers(1))
        count = g.op("Size", window)
        zero, one = (g.constant(np.array(n, dtype=np.int64)) for n in (0, 1))
        self._patches = self._tabulated(places, g.op("Range", zero, count, one), 0)
        windows = self._tabulated(places, window, -1)  # -1 is no window
        across, down = (g.op("Unsqueeze", windows, g.integers(axis)) for axis in (1, 2))
        allowed = (g.constant(np.array(n, dtype=np.float32)) for n in (0, _OTHER_WINDOW))
        bias = g.op("Where", g.op("Equal", down, across), *allowed)
        self._bias = g.to_graph_type(g.op("Unsqueeze", bias, g.integers(1)))

    def _tabulated(self, places: str, values: str, filler: int) -> str:
        """Integers of the patches in the table, and a filler where there is no patch."""
        g = self._graph
        count = g.op("ReduceProd", self._table, keepdims=1)
        fill = onnx.numpy_helper.from_array(np.array([filler], dtype=np.int64))
        empty = g.op("ConstantOfShape", count, value=fill)
        return g.op("Reshape", g.op("ScatterND", empty, places, values), self._table)

    def _block(self, layer: int, hidden: str, normed: str, following: str) -> tuple[str, str]:
        """The residual stream after a layer, and normed by the weight that follows."""
        g, name = self._graph, f"blocks.{layer}"
        given = self._queries_keys_values(normed, f"{name}.attn", self._cos, self._sin)
        if layer in self._config.full_attention:
            attended = g.op("Squeeze", self._attended(*given), g.integers(0))
        else:
            attended = self._attended_in_windows(*given)
        change = self._linear(attended, f"{name}.attn.proj")
        hidden, normed = self._added(hidden, change, f"{name}.norm2.weight")
        gate = self._linear(normed, f"{name}.mlp.gate_proj")
        gate = g.op("QuickGelu", gate, domain=CONTRIB, alpha=1.0)
        wide = g.op("Mul", gate, self._linear(normed, f"{name}.mlp.up_proj"))
        return self._added(hidden, self._linear(wide, f"{name}.mlp.down_proj"), following)

    def _attended_in_windows(self, query: str, key: str, value: str) -> str:
        """Attention of each patch to those of its window, (1, N, H) → (N, H)."""
        g = self._graph
        query, key, value = (
            g.op("Squeeze", g.op("Gather", one, self._patches, axis=1), g.integers(0))
            for one in (query, key, value)
        )
        attended = self._attended(query, key, value, self._bias)
        return g.op("Gather", g.reshape(attended, -1, self._config.hidden_size), self._places)

    def _added(self, hidden: str, change: str, norm: str) -> tuple[str, str]:
        """The sum, and the sum normed."""
        normed, _, _, total = self._graph.add(
            "SkipSimplifiedLayerNormalization",
            hidden,
            change,
            self._weight(norm),
            domain=CONTRIB,
            outputs=[f"{norm}/normed", "", "", f"{norm}/sum"],
            epsilon=_NORM_EPSILON,
        )
        return total, normed
