"""vLLM's processor of Qwen3-VL with pruned images: what a prompt holds, and what the model gets."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from transformers import BatchFeature
from vllm.model_executor.models.qwen3_5 import (
    Qwen3_5MoeProcessingInfo,
    Qwen3_5ProcessingInfo,
)
from vllm.model_executor.models.qwen3_vl import (
    Qwen3VLMultiModalProcessor,
    Qwen3VLProcessingInfo,
)
from vllm.model_executor.models.qwen3_vl_moe import Qwen3VLMoeProcessingInfo
from vllm.multimodal.inputs import MultiModalFieldConfig
from vllm.multimodal.parse import ImageProcessorItems, MultiModalDataItems
from vllm.multimodal.processing import InputProcessingContext, PromptReplacement

from ppcli.coding.sequence_options import Direction
from ppcli.errors import UsageError
from ppcli.imaging.presets import Preset
from ppcli.models.integrations.vllm.vllm_kernels import load_kernels
from ppcli.models.integrations.vllm.vllm_options import (
    OPTION,
    Preparation,
    PruningOptions,
    chained,
)
from ppcli.models.integrations.vllm.vllm_positions import KEEP, longest_span, table_rows
from ppcli.models.integrations.vllm.vllm_preparation import (
    PreparedImage,
    image_settings,
    needed_kernels,
    prepare_images,
    prune_prepared,
)

_IMAGE, _SCOPE = "image", "images_kwargs"
_REMEMBERED = 1 << 16


class _Context(InputProcessingContext):
    """Hides the options of pruning from the processor of Hugging Face."""

    def get_merged_mm_kwargs(
        self,
        kwargs: Mapping[str, object],
        *,
        supported_mm_processor_kwargs: Mapping[str, set[str]] | None = None,
    ) -> dict[str, Any]:
        merged = super().get_merged_mm_kwargs(
            _without_options(kwargs), supported_mm_processor_kwargs=supported_mm_processor_kwargs
        )
        return _without_options(merged)


def _without_options(kwargs: Mapping[str, object]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name != OPTION}


class PrunedProcessingInfo(Qwen3VLProcessingInfo):
    """What vLLM knows of a Qwen3-VL, and how its images are pruned."""

    def __init__(self, ctx: Any) -> None:
        super().__init__(_Context(ctx.model_config, ctx.tokenizer))
        check_engine(ctx.model_config)
        self.pruning({})

    def pruning(self, kwargs: Mapping[str, object]) -> PruningOptions:
        """Return how the images of a request with these `mm_processor_kwargs` are pruned.

        Raises:
            UsageError: the options of engine or request are invalid.
        """
        return PruningOptions.merged(
            getattr(self.ctx.model_config.hf_config, OPTION, None), kwargs.get(OPTION)
        )

    def preset(self, kwargs: Mapping[str, object]) -> Preset:
        """Return how the images of a request with these `mm_processor_kwargs` are prepared.

        Raises:
            UsageError: an option is invalid, or not supported.
        """
        given = self._merge_and_resolve_mm_processor_kwargs(kwargs).get(_SCOPE, {})
        processor = self.get_image_processor()
        size = self._get_vision_size(given, default_size=processor.size)
        return image_settings(processor, given, size)

    def position_rows(self) -> int:
        """Return how many rows the table of M-RoPE positions has at least."""
        config = self.ctx.model_config
        preset = self.preset({})
        return table_rows(
            config.max_model_len,
            config.hf_text_config.max_position_embeddings,
            self.allowed_mm_limits.get(_IMAGE, 0),
            preset.max_pixels,
            preset.patch_size * preset.merge_size,
        )


class PrunedMoeProcessingInfo(PrunedProcessingInfo, Qwen3VLMoeProcessingInfo):
    """The same of a Qwen3-VL-MoE."""


class PrunedQwen35ProcessingInfo(PrunedProcessingInfo, Qwen3_5ProcessingInfo):
    """The same of a Qwen3.5."""


class PrunedQwen35MoeProcessingInfo(PrunedProcessingInfo, Qwen3_5MoeProcessingInfo):
    """The same of a Qwen3.5-MoE."""


def check_engine(model_config: Any) -> None:
    """Refuse settings of an engine that do not go together with pruned images.

    Raises:
        UsageError: for pruned videos.
    """
    multimodal = model_config.get_multimodal_config()
    if multimodal.is_multimodal_pruning_enabled():
        raise UsageError(
            "pixelprune does not go together with --video-pruning-rate; leave one of them out"
        )
    if OPTION in (multimodal.mm_processor_kwargs or {}):
        raise UsageError(
            f"{OPTION} is in --mm-processor-kwargs, which is for requests; put the options of the "
            f"engine into --hf-overrides '{{\"{OPTION}\": {{…}}}}'"
        )


class _MissingImages(ImageProcessorItems):
    """Images of a request that are not in the cache.

    Args of the constructor:
        request: all images of the request.
        numbers: which of them are missing.
    """

    def __init__(self, request: Sequence[Any], numbers: Sequence[int]) -> None:
        super().__init__([request[number] for number in numbers])
        self._request, self._numbers = request, numbers

    def frames(self, sequence: Direction) -> tuple[ImageProcessorItems, list[int]]:
        """Return the images that must be coded, and which of them are missing.

        Raises:
            UsageError: the pixels of such an image are in no cache, and were not sent.
        """
        first = 0 if sequence is Direction.FORWARD else self._numbers[0]
        end = self._numbers[-1] + 1 if sequence is Direction.FORWARD else len(self._request)
        frames = self._request[first:end]
        if any(frame is None for frame in frames):
            raise UsageError(
                "an image came as a uuid alone, and its pixels are needed for another image of "
                "its sequence; send it, or leave out the sequence"
            )
        return ImageProcessorItems(frames), [number - first for number in self._numbers]


class PrunedProcessor(Qwen3VLMultiModalProcessor):
    """Prunes images, and makes room in the prompt for what is kept of them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        vision = self.info.get_hf_config().vision_config
        self._merge = vision.spatial_merge_size
        self._image_token = self.info.get_hf_config().image_token_id
        tile = vision.patch_size * self._merge
        load_kernels(needed_kernels(self.info.pruning({}), tile))
        self._room = self.info.position_rows() - self.info.ctx.model_config.max_model_len
        self._longest_span = longest_span(self.info.preset({}).max_pixels, tile)
        self._spans: dict[str, int] = {}  # by the hash of the image

    def get_dummy_inputs(self, *args: Any, **kwargs: Any) -> Any:
        """Keep every tile of the images that memory is measured with; they are blank."""
        inputs = super().get_dummy_inputs(*args, **kwargs)
        return replace(inputs, hf_processor_mm_kwargs={OPTION: {"enabled": False}})

    def _get_mm_hashes(self, inputs: Any) -> Any:
        kwargs = dict(inputs.hf_processor_mm_kwargs)
        options = self.info.pruning(kwargs)
        kwargs[OPTION] = options.key
        hashes = dict(super()._get_mm_hashes(replace(inputs, hf_processor_mm_kwargs=kwargs)))
        images = inputs.mm_data_items.get(_IMAGE)
        if options.sequence is not None and isinstance(images, ImageProcessorItems):
            hashes[_IMAGE] = chained(hashes[_IMAGE], options.sequence)
        return hashes

    def _get_cache_missing_items(self, cache: Any, mm_data_items: Any, mm_hashes: Any) -> Any:
        """Keep the bytes of the files, which vLLM drops here, and the other images."""
        is_cached, missing = super()._get_cache_missing_items(cache, mm_data_items, mm_hashes)
        images = mm_data_items.get(_IMAGE)
        if _IMAGE in missing and isinstance(images, ImageProcessorItems):
            missing[_IMAGE] = _MissingImages(
                images.get_all_items_for_hash(),
                [index for index, cached in enumerate(is_cached[_IMAGE]) if not cached],
            )
        return is_cached, missing

    def _apply_hf_processor_main(self, mm_items: Any, hf_kwargs: Mapping[str, object]) -> Any:
        options = self.info.pruning(hf_kwargs)
        images = mm_items.get(_IMAGE)
        if not isinstance(images, ImageProcessorItems) or not len(images):
            return super()._apply_hf_processor_main(mm_items, hf_kwargs)
        numbers = list(range(len(images)))
        if options.sequence is not None and isinstance(images, _MissingImages):
            images, numbers = images.frames(options.sequence)
            mm_items = MultiModalDataItems({**mm_items, _IMAGE: images})
        preset = self.info.preset(hf_kwargs)
        if options.preparation is Preparation.HUGGINGFACE:
            out = super()._apply_hf_processor_main(mm_items, hf_kwargs)
            prepared = self._pruned(out, numbers, preset, options)
        else:
            rest = mm_items.select(set(mm_items) - {_IMAGE})
            out = super()._apply_hf_processor_main(rest, hf_kwargs)
            prepared = self._prepared(images, numbers, preset, options, hf_kwargs)
        return BatchFeature(dict(out) | self._fields(prepared))

    def _pruned(
        self, out: Any, numbers: Sequence[int], preset: Preset, options: PruningOptions
    ) -> list[PreparedImage]:
        grids = out["image_grid_thw"].tolist()
        each = out["pixel_values"].split([int(np.prod(grid)) for grid in grids])
        images = list(zip(each, grids, strict=True))
        return prune_prepared(images, numbers, preset, options)

    def _prepared(
        self,
        images: Any,
        numbers: Sequence[int],
        preset: Preset,
        options: PruningOptions,
        kwargs: Mapping[str, object],
    ) -> list[PreparedImage]:
        config = self.info.ctx.model_config
        given = self.info._merge_and_resolve_mm_processor_kwargs(kwargs).get(_SCOPE, {})
        as_levels = given.get("do_normalize") is False and given.get("do_rescale") is False
        items = images.get_all_items_for_hash()
        prepared = prepare_images(items, numbers, preset, options, as_levels=as_levels)
        if as_levels:
            return prepared
        return [replace(one, patches=one.patches.to(config.dtype)) for one in prepared]

    def _fields(self, prepared: Sequence[PreparedImage]) -> dict[str, torch.Tensor]:
        grids = [(1, *(side * self._merge for side in one.keep.shape)) for one in prepared]
        return {
            "pixel_values": torch.cat([one.patches for one in prepared]),
            "image_grid_thw": torch.tensor(grids, dtype=torch.int64),
            KEEP: torch.from_numpy(np.concatenate([one.keep.ravel() for one in prepared])),
        }

    def _get_mm_fields_config(self, hf_inputs: Any, hf_processor_mm_kwargs: Any) -> Any:
        fields = dict(super()._get_mm_fields_config(hf_inputs, hf_processor_mm_kwargs))
        if KEEP in hf_inputs:
            tiles = hf_inputs["image_grid_thw"].prod(-1) // self._merge**2
            kept = torch.stack([one.sum() for one in hf_inputs[KEEP].split(tiles.tolist())])
            of_patches = MultiModalFieldConfig.flat_from_sizes(_IMAGE, kept * self._merge**2)
            fields["pixel_values"] = of_patches
            fields[KEEP] = MultiModalFieldConfig.flat_from_sizes(_IMAGE, tiles, keep_on_cpu=True)
        return fields

    def _get_prompt_updates(
        self, mm_items: Any, hf_processor_mm_kwargs: Any, out_mm_kwargs: Any
    ) -> list[Any]:
        updates = super()._get_prompt_updates(mm_items, hf_processor_mm_kwargs, out_mm_kwargs)
        return [
            self._kept_only(update, out_mm_kwargs) if update.modality == _IMAGE else update
            for update in updates
        ]

    def _kept_only(self, update: Any, out_mm_kwargs: Any) -> Any:
        def replacement(index: int) -> Any:
            item = out_mm_kwargs[_IMAGE][index]
            if KEEP not in item:
                return update.replacement(index)
            return [self._image_token] * int(item[KEEP].data.sum())

        return PromptReplacement(modality=_IMAGE, target=update.target, replacement=replacement)

    def apply(self, inputs: Any, timing_ctx: Any) -> Any:
        """Process a prompt.

        Raises:
            UsageError: options are invalid, an image cannot be used, or the images span more
                positions than the model has.
        """
        out = super().apply(inputs, timing_ctx)
        places = out["mm_placeholders"].get(_IMAGE, ())
        items = out["mm_kwargs"].get(_IMAGE, ())
        spans = map(self._span, out["mm_hashes"].get(_IMAGE, ()), items)
        ahead = sum(spans) - sum(place.length for place in places)
        if ahead > self._room:
            raise UsageError(
                f"the images of the prompt span {ahead:,} positions more than they have tokens "
                f"left, and the model has {self._room:,} beyond --max-model-len; lower that, or "
                "send smaller or fewer images"
            )
        return out

    def _span(self, digest: str, item: Any) -> int:
        """Return how many positions an image spans; vLLM drops items that its engine has cached."""
        if item is not None:
            if len(self._spans) >= _REMEMBERED:
                self._spans.clear()
            self._spans[digest] = max(item["image_grid_thw"].data.tolist()) // self._merge
        return self._spans.get(digest, self._longest_span)
