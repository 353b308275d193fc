"""The parts of a vision transformer's ONNX graph that families share.

The graph takes any set of patches. Each comes with its row and column in the whole image, so that
pruning changes only which patches attend to each other.
"""

from typing import Protocol

from onnx import TensorProto

from ppcli.models.families.base import TensorReader
from ppcli.models.families.rope_parameters import inverse_frequencies
from ppcli.models.graphs.graph_builder import CONTRIB, GraphBuilder

PREFIX = "model.visual."


class VisionSizes(Protocol):
    """What the shared parts need to know of a vision transformer."""

    @property
    def hidden_size(self) -> int:
        """Channels of the residual stream."""

    @property
    def num_heads(self) -> int:
        """Heads of an attention layer."""

    @property
    def head_size(self) -> int:
        """Channels of such a head."""

    @property
    def rope_theta(self) -> float:
        """Base of the rotary embedding."""

    @property
    def patch_values(self) -> int:
        """Numbers in a flattened patch."""


class VisionBuilder:
    """Adds the shared parts to a graph.

    Args of the constructor:
        sizes: of the vision transformer.
        graph: to which operators are added.
        tensor: reads a tensor of the checkpoint.
    """

    def __init__(self, sizes: VisionSizes, graph: GraphBuilder, tensor: TensorReader) -> None:
        self._sizes, self._graph, self._tensor = sizes, graph, tensor

    def _weight(self, name: str, reshaped: tuple[int, ...] | None = None) -> str:
        array = self._tensor(PREFIX + name)
        return self._graph.weight(name, array if reshaped is None else array.reshape(reshaped))

    def _linear(self, value: str, name: str) -> str:
        weight, bias = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self._graph.linear(value, weight, bias)

    def _embedded(self, bias: bool) -> str:
        """Project each patch: (N, H).

        Declare `pixel_values`, float32 (N, C·Tp·P·P), and `pos_hw`, int64 (N, 2): row and column.
        """
        sizes, g, name = self._sizes, self._graph, "patch_embed.proj"
        pixels = g.input("pixel_values", TensorProto.FLOAT, ["N", sizes.patch_values])
        self._positions = g.input("pos_hw", TensorProto.INT64, ["N", 2])
        weight = self._weight(f"{name}.weight", (sizes.hidden_size, sizes.patch_values))
        added = self._weight(f"{name}.bias") if bias else None
        return g.linear(g.to_graph_type(pixels), weight, added)

    def _rotations(self) -> tuple[str, str]:
        """Cosines and sines, float32 (N, head/2): of the row, then of the column."""
        g, half = self._graph, self._sizes.head_size // 2
        frequencies = inverse_frequencies(self._sizes.rope_theta, half)
        as_float = g.op("Unsqueeze", g.cast(self._positions, TensorProto.FLOAT), g.integers(2))
        angles = g.reshape(g.op("Mul", as_float, g.constant(frequencies)), 0, half)
        return g.op("Cos", angles), g.op("Sin", angles)

    def _queries_keys_values(
        self, normed: str, name: str, cos: str, sin: str
    ) -> tuple[str, str, str]:
        """Queries and keys, rotated by their positions, and values, (1, N, H) each."""
        g = self._graph
        packed = g.op("Unsqueeze", self._linear(normed, f"{name}.qkv"), g.integers(0))
        query, key, value = g.add("Split", packed, outputs=3, axis=2, num_outputs=3)
        return self._rotated(query, cos, sin), self._rotated(key, cos, sin), value

    def _rotated(self, value: str, cos: str, sin: str) -> str:
        """Queries or keys rotated by their positions, in float32 as in transformers."""
        g = self._graph
        rotated = g.op(
            "RotaryEmbedding",
            g.to_float(value),
            g.integers(0),
            cos,
            sin,
            domain=CONTRIB,
            num_heads=self._sizes.num_heads,
        )
        return g.to_graph_type(rotated)

    def _attended(self, query: str, key: str, value: str, bias: str | None = None) -> str:
        """Attention within each row, (B, L, H).

        Args:
            query: (B, L, H).
            key: as the queries.
            value: as the queries.
            bias: added to the products of queries and keys, (B, 1, L, L).
        """
        added = () if bias is None else ("", "", bias)
        return self._graph.op(
            "MultiHeadAttention",
            query,
            key,
            value,
            *added,
            domain=CONTRIB,
            num_heads=self._sizes.num_heads,
        )
