"""Fixtures of the tests with vLLM; where it is missing their modules are skipped, visibly."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from tests.models.integrations.vllm.vllm_environment import OPERATORS, vllm_environment
from tests.models.tiny_checkpoint import SPECIAL, Tiny, write_checkpoint

HF_OVERRIDES = {"architectures": ["PixelPruneQwen3VLForConditionalGeneration"]}


PROMPT = "w20 w31 w400 w77"
# Its answers vary, and change with each part of the model; with tied weights they hardly do.
TINY = Tiny(tied=False, seed=4)


def write_tiny(folder: Path, tiny: Tiny) -> Path:
    """Write a tiny Qwen3-VL."""
    write_checkpoint(folder, tiny)
    write_words(folder)
    return folder


def write_words(folder: Path) -> None:
    """Replace the tokenizer by one that shows every token as a word of its own: w7, w8, …"""
    size = Tiny().config()["text_config"]["vocab_size"]
    words = [*SPECIAL, *(f"w{number}" for number in range(len(SPECIAL), size))]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=words[len(SPECIAL)]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen3-VL."""
    return write_tiny(tmp_path_factory.mktemp("tiny") / "checkpoint", TINY)


@pytest.fixture(scope="session")
def in_vllm() -> None:
    """Let this process import vLLM."""
    os.environ.update(vllm_environment())
    sys.path.insert(0, str(OPERATORS))
    __import__("sitecustomize" if "sitecustomize" not in sys.modules else "vllm")


@pytest.fixture(scope="session")
def processor_of(checkpoint: Path, in_vllm: None) -> Callable[..., Any]:
    """Makes vLLM's processor of the tiny model, as an engine does at its start."""

    def make(pixelprune: object = None, architecture: str | None = None, **config: Any) -> Any:
        from vllm.config import ModelConfig
        from vllm.multimodal import MULTIMODAL_REGISTRY
        from vllm.plugins import load_general_plugins

        load_general_plugins()
        overrides: dict[str, Any] = dict(HF_OVERRIDES)
        if architecture is not None:
            overrides["architectures"] = [architecture]
        if pixelprune is not None:
            overrides["pixelprune"] = pixelprune
        settings: dict[str, Any] = {
            "dtype": "float32",
            "max_model_len": 32_768,
            "mm_device_do_normalize": False,
            "hf_overrides": overrides,
        } | config
        return MULTIMODAL_REGISTRY.create_processor(ModelConfig(str(checkpoint), **settings))

    return make


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Warnings of vLLM and torch are none of ours."""
    for item in items:
        if item.get_closest_marker("vllm"):
            item.add_marker(pytest.mark.filterwarnings("ignore"))
