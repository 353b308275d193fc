"""Which weights of a checkpoint folder are read, and under which names."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ppcli.errors import ModelError
from ppcli.models.onnx.export import Export
from tests.models.tiny_checkpoint import Tiny, write_checkpoint, write_json

TINY = Tiny(layers=1, depth=1, deepstack=())
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
GRAPHS = ("vision.onnx", "vision.onnx.data", "decoder.onnx", "decoder.onnx.data")
Tensors = dict[str, np.ndarray]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "checkpoint", TINY)


def graphs(checkpoint: Path, out: Path) -> list[bytes]:
    """Every byte of the graphs that are made of a checkpoint."""
    Export(str(checkpoint), "float32", "a test").write(str(out))
    return [(out / name).read_bytes() for name in GRAPHS]


def others(tensors: Tensors) -> Tensors:
    """As an EMA copy has them."""
    return {name: tensor * 2 for name, tensor in tensors.items()}


def write_index(folder: Path, places: dict[str, str]) -> None:
    write_json(folder / INDEX, {"metadata": {}, "weight_map": places})


@pytest.mark.parametrize("name", ["a.safetensors", "model_ema.safetensors", "z.safetensors"])
def test_other_files_beside_the_model_are_not_read(checkpoint, tmp_path, name) -> None:
    expected = graphs(checkpoint, tmp_path / "alone")
    save_file(others(load_file(checkpoint / SINGLE)), checkpoint / name)
    assert graphs(checkpoint, tmp_path / "beside") == expected


def test_a_tensor_that_is_twice_among_files_without_an_index(checkpoint, tmp_path) -> None:
    tensors = load_file(checkpoint / SINGLE)
    (checkpoint / SINGLE).rename(checkpoint / "weights.safetensors")
    expected = graphs(checkpoint, tmp_path / "one")
    save_file(others(tensors), checkpoint / "weights_ema.safetensors")
    with pytest.raises(ModelError, match=r"twice: .* in weights\.safetensors and .* in weights_em"):
        graphs(checkpoint, tmp_path / "two")
    (checkpoint / "weights_ema.safetensors").unlink()
    names = sorted(tensors)
    halves = names[: len(names) // 2], names[len(names) // 2 :]
    (checkpoint / "weights.safetensors").unlink()
    for number, half in enumerate(halves):
        path = checkpoint / f"model-{number}.safetensors"
        save_file({name: tensors[name] for name in half}, path)
    assert graphs(checkpoint, tmp_path / "halves") == expected


def test_a_tensor_that_is_twice_among_files_of_an_index(checkpoint, tmp_path) -> None:
    tensors = load_file(checkpoint / SINGLE)
    (checkpoint / SINGLE).rename(checkpoint / "1.safetensors")
    save_file(others(tensors), checkpoint / "2.safetensors")
    write_index(checkpoint, dict.fromkeys(tensors, "1.safetensors"))
    graphs(checkpoint, tmp_path / "one")  # the second file is not named
    write_index(checkpoint, dict.fromkeys(tensors, "1.safetensors") | {"x": "2.safetensors"})
    with pytest.raises(ModelError, match="twice"):
        graphs(checkpoint, tmp_path / "two")


def told(checkpoint: Path) -> tuple[str, ...]:
    return Export(str(checkpoint), "float32", "a test").warnings


def test_an_index_beside_a_model_that_it_does_not_name(checkpoint, tmp_path) -> None:
    expected = graphs(checkpoint, tmp_path / "alone")
    tensors = load_file(checkpoint / SINGLE)
    save_file(others(tensors), checkpoint / "1.safetensors")
    write_index(checkpoint, dict.fromkeys(tensors, "1.safetensors"))
    assert graphs(checkpoint, tmp_path / "both") == expected
    (said,) = told(checkpoint)
    assert "model.safetensors is exported" in said
    assert "1.safetensors" in said
    write_index(checkpoint, dict.fromkeys(tensors, SINGLE))
    assert graphs(checkpoint, tmp_path / "named") == expected
    assert not told(checkpoint)


@pytest.mark.oracle
def test_transformers_takes_the_same_file_where_an_index_names_others(checkpoint) -> None:
    from transformers import Qwen3VLForConditionalGeneration

    tensors = load_file(checkpoint / SINGLE)
    save_file(others(tensors), checkpoint / "1.safetensors", metadata={"format": "pt"})
    write_index(checkpoint, dict.fromkeys(tensors, "1.safetensors"))
    model = Qwen3VLForConditionalGeneration.from_pretrained(checkpoint)
    name = "model.visual.merger.linear_fc1.weight"
    assert np.array_equal(model.state_dict()[name].numpy(), tensors[name])


@pytest.mark.parametrize("name", ["../1.safetensors", "/1.safetensors", "a/1.safetensors", ".."])
def test_an_index_that_leads_elsewhere(checkpoint, tmp_path, name) -> None:
    (checkpoint / SINGLE).unlink()
    write_index(checkpoint, {"x": name})
    with pytest.raises(ModelError, match="which is not a file in the same folder"):
        graphs(checkpoint, tmp_path / "out")


def renamed(checkpoint: Path, change: Callable[[str], str]) -> None:
    tensors = load_file(checkpoint / SINGLE)
    save_file({change(name): tensor for name, tensor in tensors.items()}, checkpoint / SINGLE)


@pytest.mark.oracle
def test_what_the_inner_model_saves(checkpoint: Path, tmp_path: Path) -> None:
    """As transformers writes it, which loads it into the whole model, too."""
    from transformers import Qwen3VLForConditionalGeneration

    expected = graphs(checkpoint, tmp_path / "whole")
    model = Qwen3VLForConditionalGeneration.from_pretrained(checkpoint)
    model.model.save_pretrained(tmp_path / "inner")
    assert "visual.pos_embed.weight" in load_file(tmp_path / "inner" / SINGLE)
    config = json.loads((tmp_path / "inner" / "config.json").read_text())
    assert config["architectures"] == ["Qwen3VLModel"]
    for path in tmp_path.joinpath("inner").iterdir():
        path.rename(checkpoint / path.name)
    assert graphs(checkpoint, tmp_path / "inner model") == expected


@pytest.mark.parametrize(
    "prefix", ["model.", "module.", "_orig_mod.", "module._orig_mod.", "model.model."]
)
def test_names_that_a_wrapper_gave(tmp_path: Path, prefix: str) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint", replace(TINY, tied=False))
    expected = graphs(checkpoint, tmp_path / "plain")
    renamed(checkpoint, lambda name: prefix + name)
    assert graphs(checkpoint, tmp_path / "wrapped") == expected


def test_one_tensor_under_two_names(checkpoint: Path, tmp_path: Path) -> None:
    tensors = load_file(checkpoint / SINGLE)
    name = "model.visual.pos_embed.weight"
    save_file(tensors | {"visual.pos_embed.weight": tensors[name]}, checkpoint / SINGLE)
    with pytest.raises(ModelError, match=r"twice: .*visual\.pos_embed\.weight in model\.saf"):
        graphs(checkpoint, tmp_path / "out")


def test_tensors_that_nothing_uses_are_told(checkpoint, tmp_path) -> None:
    """A layer or a bias more than the configuration says: transformers tells it as well."""
    expected = graphs(checkpoint, tmp_path / "before")
    tensors = load_file(checkpoint / SINGLE)
    bias = "model.language_model.layers.0.self_attn.q_proj.bias"
    computed = ("model.language_model.rotary_emb.inv_freq", "visual.rotary_pos_emb.inv_freq")
    harmless = {name: np.ones(16) for name in computed}
    save_file(tensors | harmless | {bias: np.ones(128, np.float32)}, checkpoint / SINGLE)
    assert graphs(checkpoint, tmp_path / "after") == expected
    (said,) = told(checkpoint)
    assert said.endswith(f"does not use: {bias}")


def test_an_adapter_is_no_model(checkpoint: Path, tmp_path: Path) -> None:
    write_json(checkpoint / "adapter_config.json", {"base_model_name_or_path": "x"})
    with pytest.raises(ModelError, match=r"has an adapter \(adapter_config\.json\); merge it"):
        graphs(checkpoint, tmp_path / "out")


def test_a_file_that_git_has_not_fetched(checkpoint: Path, tmp_path: Path) -> None:
    note = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4255140312\n"
    (checkpoint / SINGLE).write_text(note)
    with pytest.raises(ModelError, match="is a Git LFS pointer; fetch the weights: git lfs pull"):
        graphs(checkpoint, tmp_path / "out")


def test_weights_of_the_older_kind(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / SINGLE).rename(checkpoint / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"no \.safetensors files; convert pytorch_model\.bin to"):
        graphs(checkpoint, tmp_path / "out")


def test_names_of_another_kind_are_all_told(tmp_path: Path) -> None:
    """And not just the head, with an advice that cannot help."""
    checkpoint = write_checkpoint(tmp_path / "checkpoint", replace(TINY, tied=False))
    renamed(checkpoint, lambda name: "base_model." + name)
    with pytest.raises(ModelError, match=r"no tensor .*patch_embed.*, and \d+ more") as caught:
        graphs(checkpoint, tmp_path / "out")
    assert "--head" not in str(caught.value)
