"""Checkpoints that were rounded by others: refused as such, whatever their tensors are."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ppcli.errors import ModelError
from ppcli.models.onnx.export import Export
from tests.models.tiny_checkpoint import Tiny, write_checkpoint, write_json

INSTEAD = "use the checkpoint that this one was made from, and --weights int8 or int4"
LAYER = "model.language_model.layers.0.mlp.up_proj"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "checkpoint", Tiny(layers=1, depth=1, deepstack=()))


def refusal(checkpoint: Path) -> str:
    with pytest.raises(ModelError) as refused:
        Export(str(checkpoint), "float32", "a test")
    assert INSTEAD in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"quant_method": "fp8", "fmt": "e5m2"}, "fp8, quantization_config in config.json: fmt"),
        ({"quant_method": "awq", "bits": 4}, "awq, quantization_config"),
        ({"quant_method": "gptq", "bits": 4}, "gptq, quantization_config"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes, quant"),
        ({"quant_method": "compressed-tensors"}, "compressed-tensors, quant"),
        ({"quant_algo": "NVFP4"}, "NVFP4, quant"),
        ({"bits": 4}, "(quantization_config in config.json)"),
        (["fp8"], "(quantization_config in config.json: it is not an object)"),
        ({"quant_method": "x" * 1_000_000}, "characters left out"),
    ],
)
@pytest.mark.parametrize("place", ["", "text_config"])
def test_by_the_configuration(checkpoint: Path, settings, words, place) -> None:
    """The tensors are float32, and of the right shapes."""
    config = json.loads((checkpoint / "config.json").read_text())
    (config[place] if place else config)["quantization_config"] = settings
    write_json(checkpoint / "config.json", config)
    said = refusal(checkpoint).replace("text_config.", "")
    assert words in said
    assert len(said) < 1000


def test_what_is_not_fp8_after_all(checkpoint: Path) -> None:
    """Its settings were kept when its weights were dequantized."""
    config = json.loads((checkpoint / "config.json").read_text())
    settings = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    write_json(checkpoint / "config.json", config | {"quantization_config": settings})
    with pytest.raises(ModelError, match="none of its tensors is; if they were dequantized, rem"):
        Export(str(checkpoint), "float32", "a test")


@pytest.mark.parametrize(
    "name", ["quantize_config.json", "quant_config.json", "hf_quant_config.json"]
)
def test_by_a_file_beside_it(checkpoint: Path, name: str) -> None:
    write_json(checkpoint / name, {"bits": 4})
    assert f"is quantized ({name})" in refusal(checkpoint)


@pytest.mark.parametrize(
    "name",
    [
        "qweight",
        "qzeros",
        "g_idx",
        "weight_scale",
        "weight_scale_inv",
        "weight_packed",
        "weight.absmax",
        "weight.quant_map",
        "weight.quant_state.bitsandbytes__nf4",
        "SCB",
    ],
)
def test_by_the_names_of_tensors(checkpoint: Path, name: str) -> None:
    path = checkpoint / "model.safetensors"
    save_file(load_file(path) | {f"{LAYER}.{name}": np.ones(4, np.float32)}, path)
    assert f"its tensor {LAYER}.{name} of type F32" in refusal(checkpoint)


@pytest.mark.oracle
def test_by_the_types_of_tensors(checkpoint: Path) -> None:
    import torch
    from safetensors.torch import save_file as save_torch_file

    path = checkpoint / "model.safetensors"
    tensors = {name: torch.tensor(tensor) for name, tensor in load_file(path).items()}
    tensors[f"{LAYER}.weight"] = tensors[f"{LAYER}.weight"].to(torch.float8_e4m3fn)
    save_torch_file(tensors, path)
    assert f"its tensor {LAYER}.weight of type F8_E4M3" in refusal(checkpoint)


def test_nothing_is_no_quantization(checkpoint: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    write_json(checkpoint / "config.json", config | {"quantization_config": None})
    Export(str(checkpoint), "float32", "a test")
