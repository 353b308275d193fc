"""Reads the `config.json` of a Qwen3-VL model."""

from types import MappingProxyType
from typing import Any

from ppcli.errors import ModelError
from ppcli.models.config_section import ConfigSection, token_ids
from ppcli.models.families.base import Family
from ppcli.models.families.config_keys import ConfigKeys
from ppcli.models.families.config_readers import (
    CHANNELS,
    MAX_LAYERS,
    MAX_SIDE,
    MAX_SIZE,
    activation,
    aliased,
    image_token,
    kv_heads,
    mrope_section,
    tied_flags,
)
from ppcli.models.families.qwen3_vl.model_config import Qwen3VLConfig
from ppcli.models.families.qwen3_vl.sizes import TextConfig, VisionConfig
from ppcli.models.families.rope_parameters import ROPE_KEYS, read_rope, refuse_top_level_rope

_VISION_ACTIVATIONS, _TEXT_ACTIVATIONS = ("gelu_pytorch_tanh", "gelu"), ("silu",)
_MROPE_SECTION, _HEAD_SIZE, _KV_HEADS = (24, 20, 20), 128, 32  # transformers' defaults
_VISION_THETA = 10_000.0

_IN_EVERY_SECTION = frozenset(
    {"model_type", "quantization_config", "compression_config", *ROPE_KEYS}
)
CONFIG_KEYS = ConfigKeys(
    read=MappingProxyType(
        {
            "": _IN_EVERY_SECTION
            | frozenset(
                """
                architectures text_config vision_config image_token_id eos_token_id
                tie_word_embeddings
                """.split()  # noqa: SIM905
            ),
            "text_config": _IN_EVERY_SECTION
            | frozenset(
                """
                vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads
                num_key_value_heads head_dim hidden_act max_position_embeddings rms_norm_eps
                attention_bias original_max_position_embeddings eos_token_id tie_word_embeddings
                """.split()  # noqa: SIM905
            ),
            "vision_config": _IN_EVERY_SECTION
            | frozenset(
                """
                depth num_hidden_layers hidden_size hidden_act intermediate_size num_heads
                num_attention_heads head_dim in_channels patch_size spatial_merge_size
                temporal_patch_size out_hidden_size num_position_embeddings
                deepstack_visual_indexes
                """.split()  # noqa: SIM905
            ),
        }
    ),
    harmless=MappingProxyType({"vision_config": frozenset({"tie_word_embeddings"})}),
)


def parse_config(family: Family, config: dict[str, Any]) -> Qwen3VLConfig:
    """Read a parsed `config.json`.

    Args:
        family: Qwen3-VL, for the result.
        config: the parsed file.

    Raises:
        ModelError: for a setting that is not supported.
        ValueError: for a value that is missing or out of range.
    """
    vision = ConfigSection.of("vision_config", config.get("vision_config"))
    text = ConfigSection.of("text_config", config.get("text_config"))
    refuse_top_level_rope(config, text.values)
    ends = config.get("eos_token_id")
    parsed = Qwen3VLConfig(
        family=family,
        vision=read_vision(vision, vision.whole_numbers("deepstack_visual_indexes")),
        text=_text(text, any(tied_flags(config)[:1])),
        image_token=image_token(config),
        end_tokens=token_ids(text.get("eos_token_id") if ends is None else ends),
    )
    if parsed.vision.out_hidden_size != parsed.text.hidden_size:
        raise ValueError("out_hidden_size of vision_config is not hidden_size of text_config")
    return parsed


def read_vision(section: ConfigSection, deepstack: tuple[int, ...] = ()) -> VisionConfig:
    """Read the sizes of the vision transformer.

    Args:
        section: `vision_config`.
        deepstack: the layers whose features are given to the first layers of the language model.

    Raises:
        ModelError: for a setting that is not supported.
        ValueError: for a value that is missing or out of range.
    """
    depth = aliased(section, "depth", "num_hidden_layers", MAX_LAYERS)
    heads = aliased(section, "num_heads", "num_attention_heads", MAX_SIZE)
    config = VisionConfig(
        depth=depth,
        hidden_size=section.integer("hidden_size", most=MAX_SIZE),
        intermediate_size=section.integer("intermediate_size", most=MAX_SIZE),
        num_heads=heads,
        in_channels=section.integer("in_channels", CHANNELS, CHANNELS),
        patch_size=section.integer("patch_size", most=MAX_SIDE),
        merge_size=section.integer("spatial_merge_size", most=MAX_SIDE),
        temporal_patch_size=section.integer("temporal_patch_size", most=MAX_SIDE),
        out_hidden_size=section.integer("out_hidden_size", most=MAX_SIZE),
        num_position_embeddings=section.integer("num_position_embeddings", most=MAX_SIZE),
        deepstack=deepstack,
        rope_theta=read_rope(section, ("default", "axial"), _VISION_THETA).theta,
        activation=activation(section, "vision", _VISION_ACTIVATIONS),
    )
    if config.in_channels != CHANNELS:
        raise ValueError("in_channels is not 3, the number of colour channels")
    if config.hidden_size % heads or config.head_size % 4:
        raise ValueError(
            "vision_config.hidden_size is not num_heads times a multiple of 4 channels"
        )
    if section.get("head_dim") not in (None, config.head_size):
        raise ValueError("vision_config.head_dim is not hidden_size divided by num_heads")
    if config.positions_per_side**2 != config.num_position_embeddings:
        raise ValueError("num_position_embeddings is not a square number")
    if any(layer >= depth for layer in config.deepstack):
        raise ValueError("deepstack_visual_indexes names a layer that does not exist")
    if len(set(config.deepstack)) < len(config.deepstack):
        raise ValueError("deepstack_visual_indexes names a layer twice")
    return config


def _text(section: ConfigSection, tied: bool) -> TextConfig:
    heads = section.integer("num_attention_heads", most=MAX_SIZE)
    max_positions = section.integer("max_position_embeddings")
    rope = read_rope(section, ("default", "mrope"), max_positions=max_positions)
    if not rope.interleaved:
        raise ModelError("rotary embeddings that are not interleaved are not supported")
    activation(section, "text", _TEXT_ACTIVATIONS)
    config = TextConfig(
        vocab_size=section.integer("vocab_size", most=MAX_SIZE),
        hidden_size=section.integer("hidden_size", most=MAX_SIZE),
        intermediate_size=section.integer("intermediate_size", most=MAX_SIZE),
        num_layers=section.integer("num_hidden_layers", most=MAX_LAYERS),
        num_heads=heads,
        num_kv_heads=kv_heads(section, heads, _KV_HEADS),
        head_size=section.integer("head_dim", _HEAD_SIZE, MAX_SIZE),
        rms_norm_eps=section.number("rms_norm_eps"),
        rope_theta=rope.theta,
        mrope_section=mrope_section(rope, _MROPE_SECTION),
        attention_bias=section.flag("attention_bias", False),
        max_positions=max_positions,
        tied=tied,
        yarn=rope.yarn,
    )
    if sum(config.mrope_section) != config.head_size // 2 or config.head_size % 2:
        half = config.head_size / 2
        raise ValueError(f"mrope_section {config.mrope_section} does not add up to {half:g}")
    if heads % config.num_kv_heads:
        raise ValueError("num_attention_heads is not a multiple of num_key_value_heads")
    return config
