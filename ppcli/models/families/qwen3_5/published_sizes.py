"""Sizes of the published dense Qwen3.5 checkpoints, as their `config.json` gives them."""

from typing import Any, NamedTuple


class _Size(NamedTuple):
    vision_depth: int
    vision_hidden_size: int
    vision_intermediate_size: int
    vision_heads: int
    layers: int
    hidden_size: int
    intermediate_size: int
    heads: int
    kv_heads: int
    value_heads: int
    tied: bool


SIZES = {
    "qwen3.5-0.8b": _Size(12, 768, 3072, 12, 24, 1024, 3584, 8, 2, 16, True),
    "qwen3.5-2b": _Size(24, 1024, 4096, 16, 24, 2048, 6144, 8, 2, 16, True),
    "qwen3.5-4b": _Size(24, 1024, 4096, 16, 32, 2560, 9216, 16, 4, 32, True),
    "qwen3.5-9b": _Size(27, 1152, 4304, 16, 32, 4096, 12_288, 16, 4, 32, False),
    "qwen3.5-27b": _Size(27, 1152, 4304, 16, 64, 5120, 17_408, 24, 4, 48, False),
}
_INTERVAL = 4  # every fourth layer is full attention


def published_config(name: str, layers: int | None, image_token: int) -> dict[str, Any]:
    """The `config.json` of a size.

    Args:
        name: of the size.
        layers: both transformers are cut to so many; None keeps all.
        image_token: id of the image token.
    """
    size = SIZES[name]
    depth, text_layers = size.vision_depth, size.layers
    if layers is not None:
        text_layers, depth = min(layers, text_layers), min(layers, depth)
    return {
        "vision_config": {
            "depth": depth,
            "hidden_size": size.vision_hidden_size,
            "intermediate_size": size.vision_intermediate_size,
            "num_heads": size.vision_heads,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": size.hidden_size,
            "num_position_embeddings": 2304,
            "hidden_act": "gelu_pytorch_tanh",
        },
        "text_config": {
            "vocab_size": 248_320,
            "hidden_size": size.hidden_size,
            "intermediate_size": size.intermediate_size,
            "num_hidden_layers": text_layers,
            "num_attention_heads": size.heads,
            "num_key_value_heads": size.kv_heads,
            "head_dim": 256,
            "full_attention_interval": _INTERVAL,
            "linear_conv_kernel_dim": 4,
            "linear_key_head_dim": 128,
            "linear_num_key_heads": 16,
            "linear_num_value_heads": size.value_heads,
            "linear_value_head_dim": 128,
            "rms_norm_eps": 1e-6,
            "hidden_act": "silu",
            "max_position_embeddings": 262_144,
            "rope_parameters": {
                "rope_theta": 10_000_000.0,
                "partial_rotary_factor": 0.25,
                "mrope_section": [11, 11, 10],
            },
        },
        "tie_word_embeddings": size.tied,
        "image_token_id": image_token,
    }
