"""A second family with other names in its `config.json` and its weights: shared code knows none."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from ppcli.errors import ModelError
from ppcli.models.config_section import ConfigSection, flags_in
from ppcli.models.families import family_registry
from ppcli.models.families.config_keys import ConfigKeys
from ppcli.models.families.qwen3_vl.family import Qwen3VL
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.onnx.export import Export
from tests.models.tiny_checkpoint import Tiny, write_checkpoint, write_json


class Renamed(Qwen3VL):
    """As Qwen3-VL, with the section `llm_config`, and a head called `output`."""

    model_types = ("renamed",)
    architectures = ("RenamedForConditionalGeneration",)
    inner_architectures = ()

    def parse_config(self, config: dict[str, Any]) -> Any:
        return super().parse_config(config | {"text_config": config["llm_config"]})

    def tied_flags(self, config: dict[str, Any]) -> list[bool]:
        sections = [ConfigSection("", config), ConfigSection.of("llm_config", config["llm_config"])]
        return flags_in(sections, "share_embeddings")

    def config_keys(self) -> ConfigKeys:
        keys = super().config_keys()
        read = {name.replace("text_", "llm_"): found for name, found in keys.read.items()}
        read[""] = read[""] | {"llm_config", "share_embeddings"}
        return ConfigKeys(read, keys.harmless)

    def canonical_tensor_name(self, stored: str) -> str:
        return super().canonical_tensor_name(stored.replace("output.", "lm_head."))


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    families = (*family_registry.FAMILIES, Renamed())
    monkeypatch.setattr(family_registry, "FAMILIES", families)
    folder = write_checkpoint(
        tmp_path / "checkpoint", Tiny(tied=False, layers=1, depth=1, deepstack=())
    )
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "renamed", "architectures": list(Renamed.architectures)}
    config["llm_config"] = config.pop("text_config")
    for section in (config, config["llm_config"]):
        del section["tie_word_embeddings"]
    write_json(folder / "config.json", config | {"share_embeddings": False})
    weights = load_file(folder / "model.safetensors")
    weights["output.weight"] = weights.pop("lm_head.weight")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_it_is_exported_and_opened(checkpoint: Path, tmp_path: Path) -> None:
    made = Export(str(checkpoint), "float32", "a test")
    assert made.warnings == ()
    made.write(str(tmp_path / "model"))
    opened = ModelDirectory.open(str(tmp_path / "model"))
    assert isinstance(opened.config.family, Renamed)


def test_a_quantized_section_is_refused_whatever_its_name(checkpoint: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    config["llm_config"]["quantization_config"] = {"quant_method": "awq"}
    write_json(checkpoint / "config.json", config)
    with pytest.raises(ModelError, match=r"awq, llm_config\.quantization_config"):
        Export(str(checkpoint), "float32", "a test")
