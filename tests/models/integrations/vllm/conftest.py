"""Fixtures of the tests with vLLM; where it is missing their modules are skipped, visibly."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.models.integrations.vllm.vllm_environment import OPERATORS, vllm_environment
from tests.models.tiny_checkpoint import Tiny, write_checkpoint

HF_OVERRIDES = {"architectures": ["PixelPruneQwen3VLForConditionalGeneration"]}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen3-VL."""
    return write_checkpoint(tmp_path_factory.mktemp("tiny") / "checkpoint", Tiny())


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
