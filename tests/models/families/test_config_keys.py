"""Every key of the configuration is known: the list is held against transformers' own classes."""

import json
from dataclasses import fields
from pathlib import Path

import pytest
from transformers import GenerationConfig
from transformers.models.qwen3_vl.configuration_qwen3_vl import (
    Qwen3VLConfig,
    Qwen3VLTextConfig,
    Qwen3VLVisionConfig,
)

from ppcli.errors import ModelError
from ppcli.models.families.config_keys import HARMLESS, NEUTRAL
from ppcli.models.families.qwen3_vl.configuration import CONFIG_KEYS
from ppcli.models.onnx.directory import SMALL_MODEL
from ppcli.models.onnx.export import Export
from tests.models.tiny_checkpoint import Tiny, write_checkpoint, write_json

pytestmark = pytest.mark.oracle

CLASSES = {
    "": Qwen3VLConfig,
    "text_config": Qwen3VLTextConfig,
    "vision_config": Qwen3VLVisionConfig,
}
OLDER = {"torch_dtype", "rope_scaling", "rope_theta", "tie_word_embeddings", "per_layer_config"}


@pytest.mark.parametrize("section", CLASSES)
def test_every_key_of_transformers_is_sorted(section: str) -> None:
    kind = CLASSES[section]
    keys = {field.name for field in fields(kind)} | set(kind().to_dict()) | set(kind.attribute_map)
    keys |= OLDER
    known = CONFIG_KEYS.read[section] | HARMLESS | NEUTRAL.keys()
    known |= CONFIG_KEYS.harmless.get(section, set())
    assert keys - known == set()


def test_no_key_is_sorted_twice() -> None:
    for read in CONFIG_KEYS.read.values():
        assert not read & NEUTRAL.keys()
    assert not HARMLESS & NEUTRAL.keys()


def test_defaults_are_never_told() -> None:
    assert CONFIG_KEYS.check(Qwen3VLConfig().to_dict()) == []
    assert CONFIG_KEYS.check(GenerationConfig._get_default_generation_params()) == []
    assert CONFIG_KEYS.check(json.loads((Path(SMALL_MODEL) / "config.json").read_text())) == []


def test_the_file_that_qwen_publishes() -> None:
    common = {"hidden_act": "silu", "initializer_range": 0.02, "model_type": "qwen3_vl_text"}
    text = common | {
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 151643,
        "dtype": "bfloat16",
        "eos_token_id": 151645,
        "head_dim": 128,
        "rope_scaling": {"mrope_interleaved": True, "rope_type": "default"},
        "rope_theta": 5000000,
        "use_cache": True,
    }
    top = {"architectures": ["x"], "video_token_id": 1, "vision_end_token_id": 2}
    told = CONFIG_KEYS.check(top | {"text_config": text, "transformers_version": "4.57.0.dev0"})
    assert told == []


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("text_config", "sliding_window", 4096),
        ("text_config", "use_sliding_window", True),
        ("text_config", "layer_types", ["full_attention", "sliding_attention"]),
        ("text_config", "per_layer_config", {"0": {"num_attention_heads": 2}}),
        ("", "is_encoder_decoder", True),
        ("", "transformers_weights", "other.safetensors"),
        ("", "configuration_files", ["config.4.0.0.json"]),
    ],
)
def test_what_makes_another_model_is_refused(section: str, key: str, value: object) -> None:
    config: dict = {"text_config": {}, "vision_config": {}}
    (config[section] if section else config)[key] = value
    with pytest.raises(ModelError, match=f"{key} is .*, which is not supported"):
        CONFIG_KEYS.check(config)
    (config[section] if section else config)[key] = None
    assert CONFIG_KEYS.check(config) == []


def test_other_keys_are_told_by_name_once(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint", Tiny(layers=1, depth=1, deepstack=()))
    config = json.loads((checkpoint / "config.json").read_text())
    config |= {"repetition_penalty": 1.05, "top_k": 20, "do_sample": False, "hidden_size": 8}
    config["vision_config"] |= {"window_size": 112}
    config["text_config"] |= {"layer_types": ["full_attention"], "use_sliding_window": False}
    config["x" * 1_000_000] = 1
    write_json(checkpoint / "config.json", config)
    (said,) = Export(str(checkpoint), "float32", "a test").warnings
    for name in ("repetition_penalty", "hidden_size", "vision_config.window_size"):
        assert name in said
    assert "top_k" not in said
    assert "layer_types" not in said
    assert len(said) < 1000
