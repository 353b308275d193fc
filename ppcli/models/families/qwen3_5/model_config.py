"""One Qwen3.5 model, as code outside the family sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ppcli.models.families.base import (
    KeyValueCache,
    LayerCache,
    RecurrentState,
    Shapes,
    TensorReader,
)
from ppcli.models.families.mrope_config import MropeConfig
from ppcli.models.families.qwen3_5.operation_counts import decoder_operations
from ppcli.models.families.qwen3_5.sizes import LayerType, TextConfig
from ppcli.models.families.qwen3_vl.operation_counts import vision_operations
from ppcli.models.families.qwen3_vl.patch_positions import patch_positions
from ppcli.models.families.qwen3_vl.sizes import VisionConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto

    from ppcli.models.graphs.graph_builder import GraphBuilder


@dataclass(frozen=True, slots=True, kw_only=True)
class Qwen35Config(MropeConfig):
    """A Qwen3.5 model. Its vision transformer is that of Qwen3-VL without DeepStack.

    Attributes:
        vision: sizes of the vision transformer.
        text: sizes of the language model.
    """

    vision: VisionConfig
    text: TextConfig

    def tensor_shapes(self) -> Shapes:
        """Names and shapes of all tensors of the two graphs."""
        from ppcli.models.families.qwen3_5.decoder_graph import decoder_shapes
        from ppcli.models.families.qwen3_vl.vision_graph import vision_shapes

        return vision_shapes(self.vision) | decoder_shapes(self.text)

    def vision_graph(self, graph: "GraphBuilder", tensor: TensorReader) -> "ModelProto":
        """Build the vision transformer."""
        from ppcli.models.families.qwen3_vl.vision_graph import vision_model

        return vision_model(self.vision, graph, tensor)

    def decoder_graph(self, graph: "GraphBuilder", tensor: TensorReader) -> "ModelProto":
        """Build the language model."""
        from ppcli.models.families.qwen3_5.decoder_graph import decoder_model

        return decoder_model(self, graph, tensor)

    @property
    def caches(self) -> Sequence[LayerCache]:
        """Keys and values of attention; two states of each gated delta net, in float32."""
        text, delta, found = self.text, self.text.delta, list[LayerCache]()
        states = {
            "convolution": (delta.kernel - 1, delta.convolved),
            "recurrent": (delta.value_heads, delta.key_size, delta.value_size),
        }
        for layer, kind in enumerate(text.layer_types):
            if kind is LayerType.FULL:
                found.append(KeyValueCache(layer, text.num_kv_heads, text.head_size))
            else:
                for name, shape in states.items():
                    found.append(RecurrentState(layer, name, shape, "float32"))
        return found

    def vision_inputs(self, keep: "NDArray[np.bool_]") -> "dict[str, NDArray[Any]]":
        """Positions for the rotary embedding, and taps of the learned position embeddings."""
        positions = patch_positions(keep, self.merge_size, self.vision.positions_per_side)
        return positions.as_inputs()

    def vision_operations(self, patches: int) -> int:
        """Multiplications and additions of the vision transformer over N patches of one image."""
        return vision_operations(self.vision, patches)

    def decoder_operations(self, tokens: int, past: int = 0) -> int:
        """Multiplications and additions of the language model over S tokens."""
        return decoder_operations(self.text, tokens, past)
