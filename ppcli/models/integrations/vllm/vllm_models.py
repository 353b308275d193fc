"""The architectures that prune. vLLM imports this module when one of them is chosen."""

from dataclasses import replace
from typing import Any

import torch

from ppcli.errors import UsageError
from ppcli.models.integrations.vllm.vllm_requirements import check_vllm

check_vllm()  # before anything is imported that may be missing

from vllm.model_executor.models.qwen3_5 import (  # noqa: E402
    Qwen3_5ForConditionalGeneration,
    Qwen3_5MoeForConditionalGeneration,
)
from vllm.model_executor.models.qwen3_vl import (  # noqa: E402
    Qwen3VLDummyInputsBuilder,
    Qwen3VLForConditionalGeneration,
)
from vllm.model_executor.models.qwen3_vl_moe import (  # noqa: E402
    Qwen3VLMoeForConditionalGeneration,
)
from vllm.model_executor.models.vision import run_dp_sharded_mrope_vision_model  # noqa: E402
from vllm.multimodal import MULTIMODAL_REGISTRY  # noqa: E402

from ppcli.models.integrations.vllm.vllm_positions import (  # noqa: E402
    KEEP,
    enlarge_tables,
    whole_prompt,
)
from ppcli.models.integrations.vllm.vllm_processor import (  # noqa: E402
    PrunedMoeProcessingInfo,
    PrunedProcessingInfo,
    PrunedProcessor,
    PrunedQwen35MoeProcessingInfo,
    PrunedQwen35ProcessingInfo,
    check_engine,
)
from ppcli.models.integrations.vllm.vllm_tower import KeptGrid, KeptTower  # noqa: E402

_WITHOUT_DRAFT_MODEL = ("ngram", "ngram_gpu", "suffix")


class _Pruned(Qwen3VLForConditionalGeneration):
    """What all architectures share."""

    def __init__(self, *, vllm_config: Any, prefix: str = "model") -> None:
        check_engine(vllm_config.model_config)
        drafts = vllm_config.speculative_config
        if drafts is not None and drafts.method not in _WITHOUT_DRAFT_MODEL:
            raise UsageError(
                f"pixelprune does not go together with speculative decoding by {drafts.method}, "
                "whose model knows nothing of the positions of pruned prompts; use ngram or none"
            )
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        info = MULTIMODAL_REGISTRY.get_processing_info(vllm_config.model_config)
        enlarge_tables(self.language_model, info.position_rows())

    def embed_multimodal(self, **kwargs: Any) -> Any:
        """Return the embeddings of each image and video; of images those of the kept tiles.

        Raises:
            UsageError: an image comes without its keep mask, so that nothing would be pruned.
        """
        keep = kwargs.pop(KEEP, None)
        pixel_values = kwargs.get("pixel_values")
        if pixel_values is None:
            return super().embed_multimodal(**kwargs)
        if keep is None:
            raise UsageError(
                "an image was not prepared by pixelprune's processor; leave out what replaces "
                "vLLM's own processor in Python, such as VLLM_USE_RUST_FRONTEND"
            )
        visual = self.visual
        whole = kwargs["image_grid_thw"].tolist()
        tiles = [rows * columns // visual.spatial_merge_unit for _, rows, columns in whole]
        grids = [
            KeptGrid.of(grid, mask, visual.spatial_merge_size)
            for grid, mask in zip(whole, keep.cpu().split(tiles), strict=True)
        ]
        tower = KeptTower(visual)
        if self.use_data_parallel:
            return run_dp_sharded_mrope_vision_model(
                tower, pixel_values, grids, rope_type="rope_3d"
            )
        kept = [int(grid.keep.sum()) for grid in grids]
        return torch.split(tower(pixel_values, grids), kept)

    def get_mrope_input_positions(
        self,
        input_tokens: list[int],
        mm_features: list[Any],
    ) -> tuple[torch.Tensor, int]:
        """Return the positions that the tokens have in the whole prompt, int64 (3, S).

        The second value is the position of the first token of the answer, less S.
        """
        image_token = self.config.image_token_id
        whole, features, stays = whole_prompt(input_tokens, mm_features, image_token)
        positions, delta = super().get_mrope_input_positions(whole, features)
        return positions[:, torch.from_numpy(stays)], delta + len(whole) - len(input_tokens)

    def get_encoder_cudagraph_config(self) -> Any:
        """Leave out graphs for images: the number of kept patches does not follow from a grid."""
        config = super().get_encoder_cudagraph_config()
        return replace(config, modalities=[one for one in config.modalities if one != "image"])


@MULTIMODAL_REGISTRY.register_processor(
    PrunedProcessor, info=PrunedProcessingInfo, dummy_inputs=Qwen3VLDummyInputsBuilder
)
class PixelPruneQwen3VLForConditionalGeneration(_Pruned):
    """Qwen3-VL with pruned images."""


@MULTIMODAL_REGISTRY.register_processor(
    PrunedProcessor, info=PrunedMoeProcessingInfo, dummy_inputs=Qwen3VLDummyInputsBuilder
)
class PixelPruneQwen3VLMoeForConditionalGeneration(_Pruned, Qwen3VLMoeForConditionalGeneration):
    """Qwen3-VL-MoE with pruned images."""


@MULTIMODAL_REGISTRY.register_processor(
    PrunedProcessor, info=PrunedQwen35ProcessingInfo, dummy_inputs=Qwen3VLDummyInputsBuilder
)
class PixelPruneQwen3_5ForConditionalGeneration(  # noqa: N801
    _Pruned, Qwen3_5ForConditionalGeneration
):
    """Qwen3.5 with pruned images."""


@MULTIMODAL_REGISTRY.register_processor(
    PrunedProcessor, info=PrunedQwen35MoeProcessingInfo, dummy_inputs=Qwen3VLDummyInputsBuilder
)
class PixelPruneQwen3_5MoeForConditionalGeneration(  # noqa: N801
    _Pruned, Qwen3_5MoeForConditionalGeneration
):
    """Qwen3.5-MoE with pruned images."""
