"""One Qwen3-VL model, as code outside the family sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ppcli.models.families.base import (
    ImageFeature,
    Shapes,
    TensorReader,
)
from ppcli.models.families.mrope_config import MropeConfig
from ppcli.models.families.qwen3_vl.operation_counts import decoder_operations, vision_operations
from ppcli.models.families.qwen3_vl.patch_positions import patch_positions
from ppcli.models.families.qwen3_vl.sizes import TextConfig, VisionConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto

    from ppcli.models.graphs.graph_builder import GraphBuilder


@dataclass(frozen=True, slots=True, kw_only=True)
class Qwen3VLConfig(MropeConfig):
    """A Qwen3-VL model.

    Attributes:
        vision: sizes of the vision transformer.
        text: sizes of the language model.
    """

    vision: VisionConfig
    text: TextConfig

    def tensor_shapes(self) -> Shapes:
        """Names and shapes of all tensors of the two graphs."""
        from ppcli.models.families.qwen3_vl.decoder_graph import decoder_shapes
        from ppcli.models.families.qwen3_vl.vision_graph import vision_shapes

        return vision_shapes(self.vision) | decoder_shapes(self.text)

    def vision_graph(self, graph: "GraphBuilder", tensor: TensorReader) -> "ModelProto":
        """Build the vision transformer."""
        from ppcli.models.families.qwen3_vl.vision_graph import vision_model

        return vision_model(self.vision, graph, tensor)

    def decoder_graph(self, graph: "GraphBuilder", tensor: TensorReader) -> "ModelProto":
        """Build the language model."""
        from ppcli.models.families.qwen3_vl.decoder_graph import decoder_model

        return decoder_model(self, graph, tensor)

    @property
    def image_features(self) -> Sequence[ImageFeature]:
        """The embeddings, and what DeepStack adds after each of the first decoder layers."""
        embeds = [ImageFeature("image_embeds", (None, self.text.hidden_size))]
        layers = len(self.vision.deepstack)
        if not layers:
            return embeds
        return [*embeds, ImageFeature("deepstack", (layers, None, self.text.hidden_size))]

    def vision_inputs(self, keep: "NDArray[np.bool_]") -> "dict[str, NDArray[Any]]":
        """Positions for the rotary embedding, and taps of the learned position embeddings."""
        positions = patch_positions(keep, self.merge_size, self.vision.positions_per_side)
        return positions.as_inputs()

    def vision_operations(self, patches: int) -> int:
        """Multiplications and additions of the vision transformer over N patches of one image."""
        return vision_operations(self.vision, patches)

    def decoder_operations(self, tokens: int, past: int = 0) -> int:
        """Multiplications and additions of the language model over S tokens."""
        return decoder_operations(self.text, len(self.vision.deepstack), tokens, past)
