"""Settings of the language model at the top level, in `text_config`, and in both."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from ppcli.errors import ModelError
from ppcli.models.families.family_registry import (
    PUBLISHED_SIZES,
    family_of_config,
    parse_config,
    published_config,
)
from ppcli.models.families.qwen2_5_vl.model_config import Qwen25VLConfig
from tests.models.families.qwen2_5_vl.tiny_qwen25 import TinyQwen25

TINY = TinyQwen25()
Config = dict[str, Any]


def twice() -> Config:
    """transformers 4.52 to 4.57 wrote the settings in both places."""
    config = TINY.flat_config()
    rope = {"mrope_section": list(TINY.section), "rope_type": "default", "type": "default"}
    text = {key: value for key, value in config.items() if key != "vision_config"}
    of_text = {"model_type": "qwen2_5_vl_text", "image_token_id": None, "video_token_id": None}
    config |= {"rope_scaling": rope, "transformers_version": "4.52.4"}
    return config | {"text_config": text | of_text | {"rope_scaling": rope}}


def twice_and_tied_within() -> Config:
    """Some of them have the flag in the inner section only, and in it the token of images."""
    config = twice()
    del config["tie_word_embeddings"]
    config["text_config"]["image_token_id"] = config["image_token_id"]
    return config


@pytest.mark.parametrize("spelling", [TINY.flat_config, twice, twice_and_tied_within])
def test_all_spellings_are_the_same_model(spelling: Callable[[], Config]) -> None:
    config = spelling()
    assert parse_config(config) == parse_config(TINY.config())
    assert parse_config(config).size_signature == parse_config(TINY.config()).size_signature
    assert family_of_config(config).config_keys().check(config) == []


@pytest.mark.parametrize(("top", "text"), [(True, None), (False, True), (None, True), (True, True)])
def test_either_flag_ties(top: bool | None, text: bool | None) -> None:
    config = TinyQwen25(tied=False).config()
    config["tie_word_embeddings"], config["text_config"]["tie_word_embeddings"] = top, text
    parsed = parse_config(config)
    assert isinstance(parsed, Qwen25VLConfig)
    assert parsed.text.tied
    assert family_of_config(config).tied_flags(config)[0]


def test_layers_that_do_not_exist_have_no_attention() -> None:
    parsed = parse_config(TinyQwen25(full_attention=(1, 9, 1)).config())
    assert isinstance(parsed, Qwen25VLConfig)
    assert parsed.vision.full_attention == (1,)


def test_what_is_missing_is_what_transformers_takes() -> None:
    config = TinyQwen25(hidden=1024, heads=8, kv_heads=8, section=(16, 24, 24)).config()
    for key in ("window_size", "fullatt_block_indexes", "in_channels", "rope_parameters"):
        del config["vision_config"][key]
    for key in ("num_key_value_heads", "rope_parameters"):
        del config["text_config"][key]
    parsed = parse_config(config)
    assert isinstance(parsed, Qwen25VLConfig)
    assert (parsed.vision.window_tiles, parsed.vision.full_attention) == (4, ())
    assert (parsed.text.num_kv_heads, parsed.text.mrope_section) == (8, (16, 24, 24))
    assert (parsed.text.rope_theta, parsed.vision.rope_theta) == (1e6, 1e4)


def changed(config: Config, section: str, key: str, value: object) -> Config:
    (config[section] if section else config)[key] = value
    return config


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("", "hidden_size", 128, "text_config differs from the top level in hidden_size;"),
        ("", "rope_theta", 9.0, "differs from the top level in rope_scaling, rope_theta;"),
        ("", "rope_scaling", {"mrope_section": [6, 6, 4]}, "the top level in rope_scaling"),
        ("text_config", "hidden_act", "gelu", "gelu is not supported in text; supported: silu"),
        ("text_config", "head_dim", 64, "head_dim is not hidden_size divided by"),
        ("text_config", "num_attention_heads", 3, "not num_attention_heads times an even"),
        ("text_config", "num_key_value_heads", 4, "not a multiple of num_key_value_heads"),
        ("vision_config", "in_chans", 1, "not 3, the number of colour channels"),
        ("vision_config", "spatial_patch_size", 16, "spatial_patch_size is not patch_size"),
        ("vision_config", "patch_size", [14, 14], "patch_size must be a whole number"),
        ("vision_config", "window_size", 27, "window_size is smaller than a tile"),
        ("vision_config", "fullatt_block_indexes", [-1], "must be a list of whole numbers"),
        ("vision_config", "fullatt_block_indexes", None, "fullatt_block_indexes is missing"),
        ("vision_config", "hidden_act", "gelu", "gelu is not supported in vision"),
        ("vision_config", "num_heads", 3, "not num_heads times a multiple of 4"),
        ("vision_config", "head_dim", 16, "head_dim is not hidden_size divided by num_heads"),
        ("vision_config", "out_hidden_size", 65, "out_hidden_size of vision_config is not"),
    ],
)
def test_what_is_refused(section: str, key: str, value: object, words: str) -> None:
    config = twice()
    if section == "text_config":
        config = TINY.config()
    with pytest.raises((ModelError, ValueError), match=words):
        parse_config(changed(config, section, key, value))


@pytest.mark.parametrize(
    ("rope", "words"),
    [
        ({"mrope_interleaved": True}, "interleaved rotary embeddings are not supported"),
        ({"mrope_section": [8, 8]}, "must be three numbers"),
        ({"mrope_section": [4, 4, 4]}, "does not add up to 16"),
        ({"rope_type": "llama3"}, "config.json.rope_scaling: rotary embeddings of type llama3"),
    ],
)
def test_rotary_embeddings_that_are_refused(rope: Config, words: str) -> None:
    config = TINY.flat_config()
    config["rope_scaling"] = {"mrope_section": [4, 6, 6]} | rope
    with pytest.raises((ModelError, ValueError), match=words):
        parse_config(config)


@pytest.mark.parametrize("section", ["", "text_config"])
@pytest.mark.parametrize(
    ("key", "value"),
    [("use_sliding_window", True), ("layer_types", ["sliding_attention"] * 3)],
)
def test_sliding_windows_of_the_language_model_are_refused(section: str, key: str, value) -> None:
    config = changed(TINY.config(), section, key, value)
    with pytest.raises(ModelError, match=f"{key} is .* not supported"):
        family_of_config(config).config_keys().check(config)


@pytest.mark.parametrize("spelling", [TINY.config, TINY.flat_config, twice])
def test_keys_that_nobody_reads_are_told(spelling: Callable[[], Config]) -> None:
    config = spelling() | {"new_setting": 1}
    config["vision_config"]["deepstack_visual_indexes"] = [1]
    told = family_of_config(config).config_keys().check(config)
    assert sorted(told) == ["new_setting", "vision_config.deepstack_visual_indexes"]


@pytest.mark.parametrize("size", [size for size in PUBLISHED_SIZES if size.startswith("qwen2.5")])
def test_published_sizes(size: str) -> None:
    whole = published_config(size)
    assert isinstance(whole, Qwen25VLConfig)
    assert (whole.vision_layers, whole.vision.full_attention) == (32, (7, 15, 23, 31))
    assert whole.vision.window_tiles == 4
    parameters = sum(math.prod(shape) for shape in whole.tensor_shapes().values())
    billions = {"3b": 3.75, "7b": 8.29, "32b": 33.45, "72b": 73.41}[
        size.rsplit("-", maxsplit=1)[-1]
    ]
    assert abs(parameters / 1e9 - billions) < 0.01
    for layers, full in ((8, (7,)), (3, (2,)), (1, (0,))):
        cut = published_config(size, layers)
        assert isinstance(cut, Qwen25VLConfig)
        assert (cut.vision_layers, cut.text_layers) == (layers, layers)
        assert cut.vision.full_attention == full
