"""Reads the `config.json` of a Qwen3.5 model."""

from types import MappingProxyType
from typing import Any

from ppcli.errors import ModelError
from ppcli.models.config_section import ConfigSection, token_ids
from ppcli.models.families.base import Family
from ppcli.models.families.config_keys import NEUTRAL, ConfigKeys
from ppcli.models.families.config_readers import (
    MAX_LAYERS,
    MAX_SIZE,
    activation,
    image_token,
    tied_flags,
)
from ppcli.models.families.qwen3_5.model_config import Qwen35Config
from ppcli.models.families.qwen3_5.sizes import DeltaSizes, LayerType, TextConfig
from ppcli.models.families.qwen3_vl.configuration import CONFIG_KEYS as QWEN3_VL_KEYS
from ppcli.models.families.qwen3_vl.configuration import read_vision
from ppcli.models.families.rope_parameters import read_rope, refuse_top_level_rope

# What transformers takes for a key that is missing.
_KV_HEADS, _HEAD_SIZE, _INTERVAL, _ROTATED_SHARE = 4, 256, 4, 0.25
_MROPE_SECTION = (11, 11, 10)
_DELTA_KERNEL, _DELTA_SIZE, _DELTA_KEY_HEADS, _DELTA_VALUE_HEADS = 4, 128, 16, 32

_LAYER_KEYS = frozenset(
    """
    layer_types full_attention_interval linear_conv_kernel_dim linear_key_head_dim
    linear_value_head_dim linear_num_key_heads linear_num_value_heads
    """.split()  # noqa: SIM905
)
# The head that guesses further tokens (MTP) is passed over. The recurrent state is in float32,
# whatever mamba_ssm_dtype says.
_PASSED_OVER = frozenset(
    "mtp_num_hidden_layers mtp_use_dedicated_embeddings mamba_ssm_dtype".split()  # noqa: SIM905
)
CONFIG_KEYS = ConfigKeys(
    read=MappingProxyType(
        {
            **QWEN3_VL_KEYS.read,
            "text_config": QWEN3_VL_KEYS.read["text_config"] | _LAYER_KEYS,
            "vision_config": QWEN3_VL_KEYS.read["vision_config"] - {"deepstack_visual_indexes"},
        }
    ),
    harmless=MappingProxyType({**QWEN3_VL_KEYS.harmless, "text_config": _PASSED_OVER}),
    neutral=MappingProxyType(
        {
            **{key: test for key, test in NEUTRAL.items() if key not in _LAYER_KEYS},
            "attn_output_gate": lambda value: value is True,
            "output_gate_type": lambda value: value in ("swish", "silu"),
            "mlp_only_layers": lambda value: value == [],
            "deepstack_visual_indexes": lambda value: value == [],
            "language_model_only": lambda value: value is False,
        }
    ),
)


def parse_config(family: Family, config: dict[str, Any]) -> Qwen35Config:
    """Read a parsed `config.json`.

    Args:
        family: Qwen3.5, for the result.
        config: the parsed file.

    Raises:
        ModelError: for a setting that is not supported.
        ValueError: for a value that is missing or out of range.
    """
    vision = ConfigSection.of("vision_config", config.get("vision_config"))
    text = ConfigSection.of("text_config", config.get("text_config"))
    refuse_top_level_rope(config, text.values)
    ends = config.get("eos_token_id")
    parsed = Qwen35Config(
        family=family,
        vision=read_vision(vision),
        text=_text(text, any(tied_flags(config)[:1])),
        image_token=image_token(config),
        end_tokens=token_ids(text.get("eos_token_id") if ends is None else ends),
    )
    if parsed.vision.out_hidden_size != parsed.text.hidden_size:
        raise ValueError("out_hidden_size of vision_config is not hidden_size of text_config")
    return parsed


def _text(section: ConfigSection, tied: bool) -> TextConfig:
    heads = section.integer("num_attention_heads", most=MAX_SIZE)
    head_size = section.integer("head_dim", _HEAD_SIZE, MAX_SIZE)
    max_positions = section.integer("max_position_embeddings")
    rope = read_rope(
        section,
        ("default", "mrope"),
        max_positions=max_positions,
        default_share=_ROTATED_SHARE,
    )
    if not rope.interleaved:
        raise ModelError("rotary embeddings that are not interleaved are not supported")
    activation(section, "text", ("silu",))
    config = TextConfig(
        vocab_size=section.integer("vocab_size", most=MAX_SIZE),
        hidden_size=section.integer("hidden_size", most=MAX_SIZE),
        intermediate_size=section.integer("intermediate_size", most=MAX_SIZE),
        layer_types=_layer_types(section),
        num_heads=heads,
        num_kv_heads=section.integer("num_key_value_heads", _KV_HEADS, MAX_SIZE),
        head_size=head_size,
        delta=_delta(section),
        rms_norm_eps=section.number("rms_norm_eps"),
        rope_theta=rope.theta,
        rotary_size=int(head_size * rope.share),
        mrope_section=_three(rope.section or _MROPE_SECTION),
        attention_bias=section.flag("attention_bias", False),
        max_positions=max_positions,
        tied=tied,
        yarn=rope.yarn,
    )
    if 2 * sum(config.mrope_section) != config.rotary_size:
        half = config.rotary_size / 2
        raise ValueError(f"mrope_section {config.mrope_section} does not add up to {half:g}")
    if heads % config.num_kv_heads:
        raise ValueError("num_attention_heads is not a multiple of num_key_value_heads")
    return config


def _layer_types(section: ConfigSection) -> tuple[LayerType, ...]:
    """The type of each layer, as listed or by the interval of full attention."""
    count = section.integer("num_hidden_layers", most=MAX_LAYERS)
    listed = section.get("layer_types")
    if listed is None:
        interval = section.integer("full_attention_interval", _INTERVAL, MAX_LAYERS)
        return tuple(
            LayerType.LINEAR if (layer + 1) % interval else LayerType.FULL for layer in range(count)
        )
    names = [kind.value for kind in LayerType]
    if not isinstance(listed, list) or any(one not in names for one in listed):
        raise ValueError(f"{section.name}.layer_types must be a list of {' and '.join(names)}")
    if len(listed) != count:
        raise ValueError(
            f"{section.name}.layer_types has {len(listed)} layers, num_hidden_layers says {count}"
        )
    return tuple(LayerType(one) for one in listed)


def _delta(section: ConfigSection) -> DeltaSizes:
    sizes = DeltaSizes(
        key_heads=section.integer("linear_num_key_heads", _DELTA_KEY_HEADS, MAX_SIZE),
        value_heads=section.integer("linear_num_value_heads", _DELTA_VALUE_HEADS, MAX_SIZE),
        key_size=section.integer("linear_key_head_dim", _DELTA_SIZE, MAX_SIZE),
        value_size=section.integer("linear_value_head_dim", _DELTA_SIZE, MAX_SIZE),
        kernel=section.integer("linear_conv_kernel_dim", _DELTA_KERNEL, MAX_SIZE),
    )
    if sizes.value_heads % sizes.key_heads:
        raise ValueError("linear_num_value_heads is not a multiple of linear_num_key_heads")
    if sizes.kernel < 2:
        raise ValueError(f"{section.name}.linear_conv_kernel_dim must be at least 2")
    return sizes


def _three(section: tuple[int, ...]) -> tuple[int, int, int]:
    match section:
        case (time, row, column):
            return time, row, column
    raise ValueError("mrope_section must be three numbers")
