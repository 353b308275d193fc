"""Sizes of the published Qwen2.5-VL checkpoints, as their `config.json` gives them."""

from typing import Any, NamedTuple


class _Size(NamedTuple):
    vision_intermediate_size: int
    layers: int
    hidden_size: int
    intermediate_size: int
    heads: int
    kv_heads: int
    vocab_size: int
    tied: bool


SIZES = {
    "qwen2.5-vl-3b": _Size(3420, 36, 2048, 11_008, 16, 2, 151_936, True),
    "qwen2.5-vl-7b": _Size(3420, 28, 3584, 18_944, 28, 4, 152_064, False),
    "qwen2.5-vl-32b": _Size(3456, 64, 5120, 27_648, 40, 8, 152_064, False),
    "qwen2.5-vl-72b": _Size(3456, 80, 8192, 29_568, 64, 8, 152_064, False),
}
_DEPTH, _FULL_ATTENTION = 32, (7, 15, 23, 31)


def published_config(name: str, layers: int | None, image_token: int) -> dict[str, Any]:
    """The `config.json` of a size.

    Args:
        name: of the size.
        layers: both transformers are cut to so many; None keeps all. One layer of the vision
            transformer at least keeps full attention.
        image_token: id of the image token.
    """
    size = SIZES[name]
    depth, text_layers = _DEPTH, size.layers
    if layers is not None:
        text_layers, depth = min(layers, text_layers), min(layers, depth)
    full = [layer for layer in _FULL_ATTENTION if layer < depth] or [depth - 1]
    return {
        "vision_config": {
            "depth": depth,
            "hidden_size": 1280,
            "intermediate_size": size.vision_intermediate_size,
            "num_heads": 16,
            "in_channels": 3,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": size.hidden_size,
            "window_size": 112,
            "fullatt_block_indexes": full,
            "hidden_act": "silu",
        },
        "text_config": {
            "vocab_size": size.vocab_size,
            "hidden_size": size.hidden_size,
            "intermediate_size": size.intermediate_size,
            "num_hidden_layers": text_layers,
            "num_attention_heads": size.heads,
            "num_key_value_heads": size.kv_heads,
            "rms_norm_eps": 1e-6,
            "hidden_act": "silu",
            "max_position_embeddings": 128_000,
            "rope_parameters": {"rope_theta": 1_000_000.0, "mrope_section": [16, 24, 24]},
        },
        "tie_word_embeddings": size.tied,
        "image_token_id": image_token,
    }
