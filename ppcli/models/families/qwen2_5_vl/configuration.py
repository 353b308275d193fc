"""Reads the `config.json` of a Qwen2.5-VL model.

The published checkpoints have the settings of the language model at the top level. Checkpoints that
newer versions of transformers saved have them in `text_config`, some of them in both places.
"""

from types import MappingProxyType
from typing import Any

from ppcli.errors import ModelError, bounded
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
from ppcli.models.families.qwen2_5_vl.model_config import Qwen25VLConfig
from ppcli.models.families.qwen2_5_vl.sizes import TextConfig, VisionConfig
from ppcli.models.families.rope_parameters import ROPE_KEYS, Rope, read_rope

# What transformers takes for a key that is missing.
_MROPE_SECTION, _KV_HEADS = (16, 24, 24), 8
_VISION_DEFAULTS = {
    "depth": 32,
    "fullatt_block_indexes": [7, 15, 23, 31],
    "hidden_act": "silu",
    "hidden_size": 3584,
    "in_channels": CHANNELS,
    "intermediate_size": 3420,
    "num_heads": 16,
    "out_hidden_size": 3584,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "window_size": 112,
}
_OTHER_NAMES = {"depth": "num_hidden_layers", "num_heads": "num_attention_heads"}
_VISION_THETA, _TEXT_THETA = 10_000.0, 1_000_000.0
_ACTIVATIONS = ("silu",)

_IN_EVERY_SECTION = frozenset(
    {"model_type", "quantization_config", "compression_config", *ROPE_KEYS}
)
_SIZES = frozenset(
    """
    vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads
    num_key_value_heads hidden_act max_position_embeddings rms_norm_eps head_dim
    original_max_position_embeddings
    """.split()  # noqa: SIM905
)
_OF_TEXT = _IN_EVERY_SECTION | _SIZES | {"eos_token_id", "tie_word_embeddings"}
# transformers reads the length of a sliding window with use_sliding_window only.
_PASSED_OVER = frozenset({"sliding_window", "vision_token_id"})
CONFIG_KEYS = ConfigKeys(
    read=MappingProxyType(
        {
            "": _OF_TEXT | {"architectures", "text_config", "vision_config", "image_token_id"},
            "text_config": _OF_TEXT,
            "vision_config": _IN_EVERY_SECTION
            | frozenset(
                """
                depth num_hidden_layers hidden_size hidden_act intermediate_size num_heads
                num_attention_heads head_dim in_channels in_chans patch_size spatial_patch_size
                spatial_merge_size temporal_patch_size out_hidden_size window_size
                fullatt_block_indexes
                """.split()  # noqa: SIM905
            ),
        }
    ),
    harmless=MappingProxyType(
        {
            "": _PASSED_OVER,
            "text_config": _PASSED_OVER | {"image_token_id"},
            "vision_config": frozenset({"tokens_per_second", "tie_word_embeddings"}),
        }
    ),
)


def parse_config(family: Family, config: dict[str, Any]) -> Qwen25VLConfig:
    """Read a parsed `config.json`.

    Args:
        family: Qwen2.5-VL, for the result.
        config: the parsed file.

    Raises:
        ModelError: for a setting that is not supported.
        ValueError: for a value that is missing or out of range.
    """
    vision = _with_defaults(ConfigSection.of("vision_config", config.get("vision_config")))
    text, ends = _text_section(config), config.get("eos_token_id")
    parsed = Qwen25VLConfig(
        family=family,
        vision=_vision(vision),
        text=_text(text, any(tied_flags(config))),
        image_token=image_token(config),
        end_tokens=token_ids(text.get("eos_token_id") if ends is None else ends),
    )
    if parsed.vision.out_hidden_size != parsed.text.hidden_size:
        raise ValueError("out_hidden_size of vision_config is not hidden_size of the text")
    return parsed


def _text_section(config: dict[str, Any]) -> ConfigSection:
    """The section with the sizes of the language model; as in transformers, `text_config` wins.

    Raises:
        ModelError: if both places have a setting, with different values.
    """
    top = ConfigSection("config.json", config)
    if config.get("text_config") is None:
        return top
    text = ConfigSection.of("text_config", config["text_config"])
    differing = [key for key in sorted(_SIZES) if config.get(key) not in (None, text.get(key))]
    if any(config.get(key) is not None for key in ROPE_KEYS) and _rope(top) != _rope(text):
        differing += [key for key in ROPE_KEYS if config.get(key) is not None]
    if differing:
        raise ModelError(
            f"text_config differs from the top level in {bounded(', '.join(differing))}; "
            "remove them at the top level, where transformers does not read them"
        )
    return text


def _with_defaults(section: ConfigSection) -> ConfigSection:
    """The vision section with the keys that some versions of transformers did not save."""
    values = section.values
    missing = {
        key: value
        for key, value in _VISION_DEFAULTS.items()
        if key not in values and _OTHER_NAMES.get(key) not in values
    }
    return ConfigSection(section.name, missing | values)


def _vision(section: ConfigSection) -> VisionConfig:
    depth = aliased(section, "depth", "num_hidden_layers", MAX_LAYERS)
    heads = aliased(section, "num_heads", "num_attention_heads", MAX_SIZE)
    activation(section, "vision", _ACTIVATIONS)
    patch_size = section.integer("patch_size", most=MAX_SIDE)
    merge_size = section.integer("spatial_merge_size", most=MAX_SIDE)
    config = VisionConfig(
        depth=depth,
        hidden_size=section.integer("hidden_size", most=MAX_SIZE),
        intermediate_size=section.integer("intermediate_size", most=MAX_SIZE),
        num_heads=heads,
        in_channels=section.integer("in_channels", most=CHANNELS),
        patch_size=patch_size,
        merge_size=merge_size,
        temporal_patch_size=section.integer("temporal_patch_size", most=MAX_SIDE),
        out_hidden_size=section.integer("out_hidden_size", most=MAX_SIZE),
        window_tiles=section.integer("window_size", most=MAX_SIZE) // merge_size // patch_size,
        full_attention=_full_attention(section, depth),
        rope_theta=read_rope(section, ("default", "axial"), _VISION_THETA).theta,
    )
    _check_vision(section, config)
    return config


def _full_attention(section: ConfigSection, depth: int) -> tuple[int, ...]:
    """The layers that exist of those listed; transformers passes over the others."""
    layers = section.whole_numbers("fullatt_block_indexes")
    return tuple(sorted({layer for layer in layers if layer < depth}))


def _check_vision(section: ConfigSection, config: VisionConfig) -> None:
    if {config.in_channels, section.get("in_chans") or CHANNELS} != {CHANNELS}:
        raise ValueError("in_channels is not 3, the number of colour channels")
    if section.get("spatial_patch_size") not in (None, config.patch_size):
        raise ValueError("vision_config.spatial_patch_size is not patch_size")
    if config.hidden_size % config.num_heads or config.head_size % 4:
        raise ValueError(
            "vision_config.hidden_size is not num_heads times a multiple of 4 channels"
        )
    if section.get("head_dim") not in (None, config.head_size):
        raise ValueError("vision_config.head_dim is not hidden_size divided by num_heads")
    if not config.window_tiles:
        raise ValueError("vision_config.window_size is smaller than a tile")


def _text(section: ConfigSection, tied: bool) -> TextConfig:
    heads = section.integer("num_attention_heads", most=MAX_SIZE)
    rope = _rope(section)
    activation(section, "text", _ACTIVATIONS)
    config = TextConfig(
        vocab_size=section.integer("vocab_size", most=MAX_SIZE),
        hidden_size=section.integer("hidden_size", most=MAX_SIZE),
        intermediate_size=section.integer("intermediate_size", most=MAX_SIZE),
        num_layers=section.integer("num_hidden_layers", most=MAX_LAYERS),
        num_heads=heads,
        num_kv_heads=kv_heads(section, heads, _KV_HEADS),
        rms_norm_eps=section.number("rms_norm_eps"),
        rope_theta=rope.theta,
        mrope_section=mrope_section(rope, _MROPE_SECTION),
        max_positions=section.integer("max_position_embeddings"),
        tied=tied,
        yarn=rope.yarn,
    )
    if config.hidden_size % heads or config.head_size % 2:
        raise ValueError("hidden_size is not num_attention_heads times an even number of channels")
    if section.get("head_dim") not in (None, config.head_size):
        raise ValueError("head_dim is not hidden_size divided by num_attention_heads")
    if 2 * sum(config.mrope_section) != config.head_size:
        half = config.head_size // 2
        raise ValueError(f"mrope_section {config.mrope_section} does not add up to {half}")
    if heads % config.num_kv_heads:
        raise ValueError("num_attention_heads is not a multiple of num_key_value_heads")
    return config


def _rope(section: ConfigSection) -> Rope:
    max_positions = section.integer("max_position_embeddings")
    rope = read_rope(
        section, ("default", "mrope"), _TEXT_THETA, max_positions, default_interleaved=False
    )
    if rope.interleaved:
        raise ModelError("interleaved rotary embeddings are not supported")
    return rope
