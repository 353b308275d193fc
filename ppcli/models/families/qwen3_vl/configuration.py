"""Reads the `config.json` of a Qwen3-VL model."""

from types import MappingProxyType
from typing import Any

from ppcli.errors import ModelError, bounded
from ppcli.models.config_section import ConfigSection, flags_in, token_ids
from ppcli.models.families.base import Family
from ppcli.models.families.config_keys import ConfigKeys
from ppcli.models.families.qwen3_vl.model_config import Qwen3VLConfig
from ppcli.models.families.qwen3_vl.sizes import TextConfig, VisionConfig
from ppcli.models.families.rope_parameters import ROPE_KEYS, Rope, read_rope, refuse_top_level_rope

_ACTIVATIONS = {"vision": ("gelu_pytorch_tanh", "gelu"), "text": ("silu",)}
_MROPE_SECTION, _HEAD_SIZE, _KV_HEADS = (24, 20, 20), 128, 32  # transformers' defaults
_MAX_LAYERS, _MAX_SIZE, _MAX_SIDE = 1000, 1 << 24, 1 << 10
_VISION_THETA, _CHANNELS = 10_000.0, 3

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
        vision=_vision(vision),
        text=_text(text, any(tied_flags(config)[:1])),
        image_token=_image_token(config),
        end_tokens=token_ids(text.get("eos_token_id") if ends is None else ends),
    )
    if parsed.vision.out_hidden_size != parsed.text.hidden_size:
        raise ValueError("out_hidden_size of vision_config is not hidden_size of text_config")
    return parsed


def tied_flags(config: dict[str, Any]) -> list[bool]:
    """Read `tie_word_embeddings`, which may be set at the top level, in `text_config`, or in both.

    Args:
        config: the parsed file.

    Returns:
        The flags that are set; the first is the one that transformers reads.

    Raises:
        ValueError: if one is neither true nor false.
    """
    text = ConfigSection.of("text_config", config.get("text_config"))
    return flags_in([ConfigSection("", config), text], "tie_word_embeddings")


def _image_token(config: dict[str, Any]) -> int:
    token = config.get("image_token_id")
    if type(token) is not int or token < 0:
        raise ValueError("image_token_id is missing, or not the id of a token")
    return token


def _vision(section: ConfigSection) -> VisionConfig:
    depth = _aliased(section, "depth", "num_hidden_layers", _MAX_LAYERS)
    heads = _aliased(section, "num_heads", "num_attention_heads", _MAX_SIZE)
    config = VisionConfig(
        depth=depth,
        hidden_size=section.integer("hidden_size", most=_MAX_SIZE),
        intermediate_size=section.integer("intermediate_size", most=_MAX_SIZE),
        num_heads=heads,
        in_channels=section.integer("in_channels", _CHANNELS, _CHANNELS),
        patch_size=section.integer("patch_size", most=_MAX_SIDE),
        merge_size=section.integer("spatial_merge_size", most=_MAX_SIDE),
        temporal_patch_size=section.integer("temporal_patch_size", most=_MAX_SIDE),
        out_hidden_size=section.integer("out_hidden_size", most=_MAX_SIZE),
        num_position_embeddings=section.integer("num_position_embeddings", most=_MAX_SIZE),
        deepstack=section.whole_numbers("deepstack_visual_indexes"),
        rope_theta=read_rope(section, ("default", "axial"), _VISION_THETA).theta,
        activation=_activation("vision", section),
    )
    if config.in_channels != _CHANNELS:
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
    heads = section.integer("num_attention_heads", most=_MAX_SIZE)
    max_positions = section.integer("max_position_embeddings")
    rope = read_rope(section, ("default", "mrope"), max_positions=max_positions)
    if not rope.interleaved:
        raise ModelError("rotary embeddings that are not interleaved are not supported")
    _activation("text", section)
    config = TextConfig(
        vocab_size=section.integer("vocab_size", most=_MAX_SIZE),
        hidden_size=section.integer("hidden_size", most=_MAX_SIZE),
        intermediate_size=section.integer("intermediate_size", most=_MAX_SIZE),
        num_layers=section.integer("num_hidden_layers", most=_MAX_LAYERS),
        num_heads=heads,
        num_kv_heads=_kv_heads(section, heads),
        head_size=section.integer("head_dim", _HEAD_SIZE, _MAX_SIZE),
        rms_norm_eps=section.number("rms_norm_eps"),
        rope_theta=rope.theta,
        mrope_section=_mrope_section(rope),
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


def _kv_heads(section: ConfigSection, heads: int) -> int:
    """Null means one for each attention head; a missing key means transformers' default."""
    default = _KV_HEADS if "num_key_value_heads" not in section.values else heads
    return section.integer("num_key_value_heads", default, _MAX_SIZE)


def _mrope_section(rope: Rope) -> tuple[int, int, int]:
    match rope.section:
        case None:
            return _MROPE_SECTION
        case (time, row, column):
            return time, row, column
    raise ValueError("mrope_section must be three numbers")


def _aliased(section: ConfigSection, name: str, alias: str, most: int) -> int:
    """A number that transformers accepts under two names."""
    if section.get(alias) is None:
        return section.integer(name, most=most)
    value = section.integer(alias, most=most)
    if section.get(name) not in (None, value):
        raise ModelError(f"{section.name} has two values, {name} and {alias}; remove one")
    return value


def _activation(part: str, section: ConfigSection) -> str:
    name = section.get("hidden_act")
    if name not in _ACTIVATIONS[part]:
        known = ", ".join(_ACTIVATIONS[part])
        raise ModelError(
            f"the activation {bounded(str(name))} is not supported in {part}; supported: {known}"
        )
    return str(name)
