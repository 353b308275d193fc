"""Checkpoints of Qwen2.5-VL in the wild, against transformers on the same files."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from ppcli.errors import ModelError
from ppcli.models.checkpoints.preprocessor_config import image_preset
from ppcli.models.families.config_keys import HARMLESS, NEUTRAL
from ppcli.models.families.family_registry import PRESETS, parse_config, read_config
from ppcli.models.families.qwen2_5_vl.configuration import CONFIG_KEYS
from ppcli.models.model_choices import Head
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.onnx.export import Export
from tests.models.families.qwen2_5_vl.reference_qwen25 import seen_by_qwen25_vl
from tests.models.families.qwen2_5_vl.tiny_qwen25 import TinyQwen25
from tests.models.parity import assert_equal, difference, images_of, laid_out, opened, our_answer
from tests.models.random_images import ONE, patches
from tests.models.reference import Answer, pruned_answer
from tests.models.tiny_checkpoint import write_checkpoint, write_json

pytestmark = pytest.mark.oracle

TINY = TinyQwen25(tied=False, layers=2, depth=2, full_attention=(1,))
IMAGES = images_of(TINY, [(5, 4)], 0.6)
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
STEPS = 8


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """As the published ones: names of tensors and settings of transformers 4."""
    folder = write_checkpoint(tmp_path / "checkpoint", TINY)
    write_json(folder / "config.json", TINY.flat_config())
    return folder


def ours(checkpoint: Path, out: Path, head: Head | None = None) -> Answer:
    runner = opened(checkpoint, out, head)
    return our_answer(runner, laid_out(ONE, IMAGES), patches(IMAGES, TINY), STEPS)


def theirs(checkpoint: Path) -> Answer:
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    return pruned_answer(model.eval(), ONE, IMAGES, STEPS, seen_by_qwen25_vl)


def configured(checkpoint: Path, **changes: Any) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    write_json(checkpoint / "config.json", config | changes)


def test_a_published_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    assert Export(str(checkpoint), "float32", "a test").warnings == ()
    assert_equal(ours(checkpoint, tmp_path / "out"), theirs(checkpoint))
    opened_again = ModelDirectory.open(str(tmp_path / "out"))
    assert opened_again.config == TINY.model_config()
    assert opened_again.end_tokens == {2}


def in_memory(name: str) -> str:
    """As transformers 5 has it, and transformers 4.52 and later saved some."""
    if name.startswith("visual."):
        return f"model.{name}"
    return name if name == HEAD else name.replace("model.", "model.language_model.")


def wrapped(name: str) -> str:
    return f"module._orig_mod.{name}"


def of_the_inner_model(name: str) -> str:
    return name if name == HEAD else name.replace("model.", "language_model.")


@pytest.mark.parametrize("rename", [in_memory, wrapped, of_the_inner_model])
def test_names_of_tensors(checkpoint: Path, tmp_path: Path, rename) -> None:
    expected = ours(checkpoint, tmp_path / "published")
    path = checkpoint / "model.safetensors"
    save_file({rename(name): one for name, one in load_file(path).items()}, path)
    assert Export(str(checkpoint), "float32", "a test").warnings == ()
    assert_equal(ours(checkpoint, tmp_path / "out"), expected)


def test_yarn_in_the_spelling_of_its_readme(checkpoint: Path, tmp_path: Path) -> None:
    plain = ours(checkpoint, tmp_path / "plain")
    yarn = {"type": "yarn", "mrope_section": list(TINY.section), "factor": 4}
    configured(checkpoint, rope_scaling=yarn | {"original_max_position_embeddings": 8192})
    scaled = ours(checkpoint, tmp_path / "out")
    assert_equal(scaled, theirs(checkpoint))
    assert difference(scaled, plain) > 0.01


def test_tied_and_another_head_in_the_file(checkpoint: Path, tmp_path: Path) -> None:
    configured(checkpoint, tie_word_embeddings=True)
    with pytest.raises(ModelError, match=r"--head own takes the first, as transformers does"):
        Export(str(checkpoint), "float32", "a test")
    own = ours(checkpoint, tmp_path / "own", Head.OWN)
    assert_equal(own, theirs(checkpoint))
    tied = ours(checkpoint, tmp_path / "tied", Head.TIED)
    assert difference(own, tied) > 0.1
    path = checkpoint / "model.safetensors"
    weights = load_file(path)
    save_file(weights | {HEAD: weights[EMBEDDING]}, path, {"format": "pt"})
    same = ours(checkpoint, tmp_path / "same")
    assert_equal(same, theirs(checkpoint))
    assert_equal(same, tied)
    del weights[HEAD]
    save_file(weights, path, {"format": "pt"})
    assert_equal(ours(checkpoint, tmp_path / "without"), same)


@pytest.mark.parametrize(("top", "text"), [(False, True), (True, False), (None, True)])
def test_a_flag_in_the_inner_section_ties_too(checkpoint: Path, tmp_path: Path, top, text) -> None:
    config = TINY.config()
    config["tie_word_embeddings"], config["text_config"]["tie_word_embeddings"] = top, text
    config = {key: value for key, value in config.items() if value is not None}
    write_json(checkpoint / "config.json", config)
    weights = load_file(checkpoint / "model.safetensors")
    del weights[HEAD]
    save_file(weights, checkpoint / "model.safetensors", {"format": "pt"})
    assert_equal(ours(checkpoint, tmp_path / "out"), theirs(checkpoint))


def test_the_image_processor_of_the_published_checkpoints(checkpoint: Path) -> None:
    settings = {
        "min_pixels": 3136,
        "max_pixels": 12_845_056,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": TINY.image_processor["image_mean"],
        "image_std": TINY.image_processor["image_std"],
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
    }
    write_json(checkpoint / "preprocessor_config.json", settings)
    config = read_config(str(checkpoint))
    assert image_preset(str(checkpoint), config) == PRESETS["qwen2.5-vl"]


@pytest.mark.parametrize("config", [TINY.config(), TINY.flat_config()], ids=["inner", "flat"])
def test_what_transformers_reads_is_what_is_read(config: dict[str, Any]) -> None:
    saved = json.loads(Qwen2_5_VLConfig.from_dict(config).to_json_string(use_diff=False))
    assert parse_config(saved) == parse_config(TINY.config())


@pytest.mark.parametrize("section", ["", "text_config", "vision_config"])
def test_every_key_of_transformers_is_sorted(section: str) -> None:
    whole = Qwen2_5_VLConfig()
    kind = getattr(whole, section) if section else whole
    keys = set(kind.to_dict()) | set(kind.attribute_map)
    known = CONFIG_KEYS.read[section] | HARMLESS | NEUTRAL.keys() | CONFIG_KEYS.harmless[section]
    assert keys - known == set()
    assert CONFIG_KEYS.check(whole.to_dict()) == []


@pytest.mark.parametrize("kept", [(), ("num_hidden_layers", "num_attention_heads")])
def test_a_vision_section_without_the_defaults(kept: tuple[str, ...]) -> None:
    """As transformers 4.49 saved it: what the sizes have in common is left out."""
    config = TinyQwen25(hidden=64).config()
    saved = {"hidden_size": 1280, "in_chans": 3, "out_hidden_size": 64, "spatial_patch_size": 14}
    config["vision_config"] = saved | dict.fromkeys(kept, 8)
    ours = parse_config(config)
    theirs = Qwen2_5_VLConfig.from_dict(config).vision_config
    vision = ours.vision
    assert (vision.depth, vision.num_heads) == (theirs.depth, theirs.num_heads)
    assert vision.intermediate_size == theirs.intermediate_size
    assert (vision.patch_size, vision.merge_size) == (theirs.patch_size, theirs.spatial_merge_size)
    assert vision.temporal_patch_size == theirs.temporal_patch_size
    assert vision.window_tiles == theirs.window_size // 28
    present = tuple(one for one in theirs.fullatt_block_indexes if one < theirs.depth)
    assert vision.full_attention == present
