"""`config.json` of Qwen3.5, read as transformers reads it."""

from dataclasses import fields
from typing import Any

import pytest
from transformers.models.qwen3_5.configuration_qwen3_5 import (
    Qwen3_5Config,
    Qwen3_5TextConfig,
    Qwen3_5VisionConfig,
)
from transformers.models.qwen3_5.modeling_qwen3_5 import Qwen3_5TextRotaryEmbedding

from ppcli.errors import ModelError
from ppcli.models.families.config_keys import HARMLESS
from ppcli.models.families.family_registry import family_of_config, parse_config, published_config
from ppcli.models.families.qwen3_5.configuration import CONFIG_KEYS
from ppcli.models.families.qwen3_5.family import Qwen35
from ppcli.models.families.qwen3_5.published_sizes import SIZES
from ppcli.models.families.rope_parameters import inverse_frequencies
from tests.models.families.qwen3_5.tiny_qwen3_5 import FULL, LINEAR, TinyQwen35

pytestmark = pytest.mark.oracle

CLASSES = {
    "": Qwen3_5Config,
    "text_config": Qwen3_5TextConfig,
    "vision_config": Qwen3_5VisionConfig,
}
OLDER = {"torch_dtype", "rope_scaling", "rope_theta", "tie_word_embeddings", "per_layer_config"}


def tiny(**text: Any) -> dict[str, Any]:
    config = TinyQwen35().config()
    config["text_config"] |= text
    config["text_config"] = {k: v for k, v in config["text_config"].items() if v is not ...}
    return config


@pytest.mark.parametrize("section", CLASSES)
def test_every_key_of_transformers_is_sorted(section: str) -> None:
    kind = CLASSES[section]
    keys = {field.name for field in fields(kind)} | set(kind().to_dict()) | set(kind.attribute_map)
    known = CONFIG_KEYS.read[section] | HARMLESS | CONFIG_KEYS.neutral.keys()
    known |= CONFIG_KEYS.harmless.get(section, set())
    assert (keys | OLDER) - known == set()


def test_no_key_is_sorted_twice() -> None:
    for read in CONFIG_KEYS.read.values():
        assert not read & CONFIG_KEYS.neutral.keys()


def test_a_published_file() -> None:
    """With the keys that transformers does not read."""
    text = {
        "attn_output_gate": True,
        "full_attention_interval": 4,
        "mamba_ssm_dtype": "float32",
        "mlp_only_layers": [],
        "mtp_num_hidden_layers": 1,
        "mtp_use_dedicated_embeddings": False,
        "output_gate_type": "swish",
        "partial_rotary_factor": 0.5,
    }
    config = tiny(**text) | {"language_model_only": False}
    config["vision_config"]["deepstack_visual_indexes"] = []
    assert CONFIG_KEYS.check(config) == []
    assert parse_config(config) == parse_config(tiny())


@pytest.mark.parametrize(
    "text",
    [
        {},
        {"layer_types": ...},
        {"layer_types": ..., "full_attention_interval": 2},
        {"layer_types": None, "num_hidden_layers": 6, "full_attention_interval": 3},
        {"layer_types": [FULL, LINEAR, FULL, LINEAR], "full_attention_interval": 2},
        {"layer_types": ..., "full_attention_interval": 1},
    ],
)
def test_types_of_layers(text: dict) -> None:
    ours = parse_config(tiny(**text)).text.layer_types
    assert list(ours) == Qwen3_5Config.from_dict(tiny(**text)).text_config.layer_types


@pytest.mark.parametrize(
    "parameters",
    [
        {"rope_theta": 5e6, "partial_rotary_factor": 0.5},
        {"rope_theta": 5e6},
        {"rope_theta": 5e6, "rope_type": "default", "mrope_section": [11, 11, 10]},
        {
            "rope_theta": 1e7,
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 262_144,
            "partial_rotary_factor": 0.25,
        },
    ],
)
@pytest.mark.parametrize("beside", [{}, {"partial_rotary_factor": 0.5}])
def test_rotated_channels(parameters: dict, beside: dict) -> None:
    """A share beside the parameters is read if they have none."""
    within = parameters.get("partial_rotary_factor")
    share = within or beside.get("partial_rotary_factor", 0.25)
    section = [11, 11, 10] if share == 0.25 else [22, 21, 21]
    text = {"head_dim": 256, "rope_parameters": parameters | {"mrope_section": section}, **beside}
    config = tiny(**text)
    if beside and within not in (None, beside["partial_rotary_factor"]):
        with pytest.raises(ModelError, match="two values of partial_rotary_factor"):
            parse_config(config)
        return
    ours = parse_config(config).text
    theirs = Qwen3_5TextRotaryEmbedding(Qwen3_5Config.from_dict(config).text_config)
    frequencies = inverse_frequencies(ours.rope_theta, ours.rotary_size, ours.yarn)
    assert frequencies == pytest.approx(theirs.inv_freq.numpy(), rel=1e-6)
    assert list(ours.mrope_section) == list(theirs.mrope_section)
    if ours.yarn is not None:
        assert ours.yarn.attention_factor == pytest.approx(theirs.attention_scaling)


def test_defaults_of_transformers() -> None:
    missing = [
        "num_key_value_heads",
        "head_dim",
        "linear_conv_kernel_dim",
        "linear_key_head_dim",
        "linear_num_key_heads",
        "linear_num_value_heads",
        "linear_value_head_dim",
    ]
    config = tiny(rope_parameters={"rope_theta": 5e6}, **dict.fromkeys(missing, ...))
    ours, theirs = parse_config(config).text, Qwen3_5Config.from_dict(config).text_config
    assert (ours.num_kv_heads, ours.head_size) == (theirs.num_key_value_heads, theirs.head_dim)
    delta = ours.delta
    assert [delta.kernel, delta.key_size, delta.key_heads, delta.value_heads, delta.value_size] == [
        getattr(theirs, name) for name in missing[2:]
    ]
    assert list(ours.mrope_section) == Qwen3_5TextRotaryEmbedding(theirs).mrope_section


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ({"layer_types": [LINEAR, FULL]}, "has 2 layers, num_hidden_layers says 4"),
        ({"layer_types": [LINEAR, "sliding_attention"] * 2}, "must be a list of"),
        ({"layer_types": FULL}, "must be a list of"),
        ({"linear_num_value_heads": 3}, "not a multiple of linear_num_key_heads"),
        ({"linear_conv_kernel_dim": 1}, "at least 2"),
        ({"hidden_act": "gelu"}, "activation gelu is not supported"),
        ({"rope_parameters": {"rope_theta": 5e6}}, "does not add up to 4"),
        (
            {"rope_parameters": {"rope_theta": 5e6, "partial_rotary_factor": 1.5}},
            "must be at most 1",
        ),
    ],
)
def test_what_is_refused(text: dict, message: str) -> None:
    with pytest.raises((ModelError, ValueError), match=message):
        parse_config(tiny(**text))


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("text_config", "attn_output_gate", False),
        ("text_config", "output_gate_type", "sigmoid"),
        ("text_config", "mlp_only_layers", [3]),
        ("vision_config", "deepstack_visual_indexes", [5]),
        ("", "language_model_only", True),
    ],
)
def test_what_makes_another_model_is_refused(section: str, key: str, value: object) -> None:
    config = tiny()
    (config[section] if section else config)[key] = value
    with pytest.raises(ModelError, match=f"{key} is .*, which is not supported"):
        CONFIG_KEYS.check(config)


def test_it_is_recognized_by_either_name() -> None:
    by_architecture = {"architectures": ["Qwen3_5ForConditionalGeneration"]}
    for config in ({"model_type": "qwen3_5"}, by_architecture, tiny()):
        assert isinstance(family_of_config(config), Qwen35)
    with pytest.raises(ModelError, match="qwen3_5_moe is not supported"):
        family_of_config({"model_type": "qwen3_5_moe"})


@pytest.mark.parametrize("size", SIZES)
def test_published_sizes_have_the_parameters_of_their_names(size: str) -> None:
    """Within the rounding of the names; the matrix that gives the logits counts once."""
    shapes = published_config(size).tensor_shapes()
    count = 0
    for shape in shapes.values():
        product = 1
        for side in shape:
            product *= side
        count += product
    named = float(size.removeprefix("qwen3.5-").removesuffix("b"))
    assert 0.95 * named < count / 1e9 < 1.2 * named
