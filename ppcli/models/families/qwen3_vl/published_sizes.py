"""Sizes of the published Qwen3-VL checkpoints, as their `config.json` gives them."""

from typing import Any, NamedTuple


class _Size(NamedTuple):
    vision_depth: int
    vision_hidden_size: int
    vision_intermediate_size: int
    deepstack: tuple[int, ...]
    layers: int
    hidden_size: int
    intermediate_size: int
    heads: int
    tied: bool


SIZES = {
    "qwen3-vl-2b": _Size(24, 1024, 4096, (5, 11, 17), 28, 2048, 6144, 16, True),
    "qwen3-vl-4b": _Size(24, 1024, 4096, (5, 11, 17), 36, 2560, 9728, 32, True),
    "qwen3-vl-8b": _Size(27, 1152, 4304, (8, 16, 24), 36, 4096, 12_288, 32, False),
}


def published_config(name: str, layers: int | None, image_token: int) -> dict[str, Any]:
    """The `config.json` of a size.

    Args:
        name: of the size.
        layers: both transformers are cut to so many; None keeps all.
        image_token: id of the image token.
    """
    size = SIZES[name]
    depth, text_layers, deepstack = size.vision_depth, size.layers, size.deepstack
    if layers is not None:
        text_layers, depth = min(layers, text_layers), min(layers, depth)
        deepstack = tuple(sorted({layer * depth // size.vision_depth for layer in deepstack}))
    return {
        "vision_config": {
            "depth": depth,
            "hidden_size": size.vision_hidden_size,
            "intermediate_size": size.vision_intermediate_size,
            "num_heads": 16,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": size.hidden_size,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": list(deepstack),
            "hidden_act": "gelu_pytorch_tanh",
        },
        "text_config": {
            "vocab_size": 151_936,
            "hidden_size": size.hidden_size,
            "intermediate_size": size.intermediate_size,
            "num_hidden_layers": text_layers,
            "num_attention_heads": size.heads,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "rms_norm_eps": 1e-6,
            "hidden_act": "silu",
            "max_position_embeddings": 262_144,
            "rope_parameters": {"rope_theta": 5_000_000.0, "mrope_section": [24, 20, 20]},
        },
        "tie_word_embeddings": size.tied,
        "image_token_id": image_token,
    }
