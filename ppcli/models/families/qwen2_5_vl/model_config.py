"""One Qwen2.5-VL model, as code outside the family sees it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ppcli.models.families.base import Shapes, TensorReader
from ppcli.models.families.mrope_config import MropeConfig
from ppcli.models.families.qwen2_5_vl.operation_counts import decoder_operations, vision_operations
from ppcli.models.families.qwen2_5_vl.patch_positions import patch_positions
from ppcli.models.families.qwen2_5_vl.sizes import TextConfig, VisionConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto

    from ppcli.models.graphs.graph_builder import GraphBuilder


@dataclass(frozen=True, slots=True, kw_only=True)
class Qwen25VLConfig(MropeConfig):
    """A Qwen2.5-VL model.

    Attributes:
        vision: sizes of the vision transformer.
        text: sizes of the language model.
    """

    vision: VisionConfig
    text: TextConfig

    def tensor_shapes(self) -> Shapes:
        """Names and shapes of all tensors of the two graphs."""
        from ppcli.models.families.qwen2_5_vl.decoder_graph import decoder_shapes
        from ppcli.models.families.qwen2_5_vl.vision_graph import vision_shapes

        return vision_shapes(self.vision) | decoder_shapes(self.text)

    def vision_graph(self, graph: "GraphBuilder", tensor: TensorReader) -> "ModelProto":
        """Build the vision transformer."""
        from ppcli.models.families.qwen2_5_vl.vision_graph import vision_model

        return vision_model(self.vision, graph, tensor)

    def decoder_graph(self, graph: "GraphBuilder", tensor: TensorReader) -> "ModelProto":
        """Build the language model."""
        from ppcli.models.families.qwen2_5_vl.decoder_graph import decoder_model

        return decoder_model(self, graph, tensor)

    def vision_inputs(self, keep: "NDArray[np.bool_]") -> "dict[str, NDArray[Any]]":
        """Positions for the rotary embedding, and windows."""
        return patch_positions(keep, self.merge_size, self.vision.window_tiles).as_inputs()

    def vision_operations(self, patches: int) -> int:
        """Multiplications and additions of the vision transformer over N patches of one image."""
        return vision_operations(self.vision, patches)

    def decoder_operations(self, tokens: int, past: int = 0) -> int:
        """Multiplications and additions of the language model over S tokens."""
        return decoder_operations(self.text, tokens, past)
