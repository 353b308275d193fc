"""What export makes of checkpoints of every shape, and what it refuses."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file, save_file

from ppcli.errors import ModelError, OutputError
from ppcli.models.checkpoints.preprocessor_config import image_preset
from ppcli.models.families.family_registry import read_config
from ppcli.models.families.prompt_layout import layout_mrope
from ppcli.models.model_choices import Device
from ppcli.models.onnx.directory import MANIFEST, ModelDirectory
from ppcli.models.onnx.execution_device import ExecutionDevice
from ppcli.models.onnx.export import Export
from ppcli.models.onnx.sessions import open_sessions
from ppcli.models.serving.runner import Runner
from tests.command import pixelprune
from tests.models.random_images import IMAGE_TOKEN, ONE, patches, random_image
from tests.models.tiny_checkpoint import Tiny, write_checkpoint, write_json

TINY = Tiny(layers=2, depth=2, deepstack=(0,))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"), TINY)


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    shutil.copytree(checkpoint, tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def export(checkpoint: Path, out: Path, dtype: str = "float32", overwrite: bool = False) -> Path:
    Export(str(checkpoint), dtype, "a test").write(str(out), overwrite)
    return out


def logits(out: Path) -> np.ndarray:
    """What a model directory gives after a prompt with one image."""
    image = random_image((2, 3), 0, 0.6)
    model = ModelDirectory.open(str(out))
    runner = Runner(model, open_sessions(model, ExecutionDevice(Device.CPU)))
    prompt = layout_mrope(ONE, IMAGE_TOKEN, [image.keep])
    runner.reserve(prompt.length)
    return runner.prefill(prompt, runner.embed(patches([image], TINY)))


def edit(path: Path, change: Callable[[dict], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    write_json(path, content)


def test_shards_and_symbolic_links_make_no_difference(checkpoint: Path, tmp_path: Path) -> None:
    expected = logits(export(checkpoint, tmp_path / "one"))
    sharded = write_checkpoint(tmp_path / "sharded", TINY, shards=5)
    assert len(list(sharded.glob("*.safetensors"))) > 3
    assert np.array_equal(logits(export(sharded, tmp_path / "many")), expected)
    linked = tmp_path / "snapshot"
    linked.mkdir()
    for path in sharded.iterdir():
        (linked / path.name).symlink_to(path)
    assert np.array_equal(logits(export(linked, tmp_path / "linked")), expected)


def test_weights_beyond_two_gigabytes(checkpoint: Path, tmp_path: Path) -> None:
    """The same numbers, moved behind a hole in their file."""
    expected = logits(export(checkpoint, tmp_path / "model"))
    graph, data = tmp_path / "model" / "decoder.onnx", tmp_path / "model" / "decoder.onnx.data"
    hole = 3 << 30
    content = data.read_bytes()
    with open(data, "wb") as file:
        file.seek(hole)
        file.write(content)
    model = onnx.load(graph, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "offset":
                entry.value = str(int(entry.value) + hole)
    onnx.save(model, graph)

    def moved(manifest: dict) -> None:
        for path in (graph, data):
            manifest["files"][path.name][0] = path.stat().st_size

    edit(tmp_path / "model" / MANIFEST, moved)
    assert np.array_equal(logits(tmp_path / "model"), expected)


def test_older_and_newer_spellings_are_the_same(checkpoint: Path, copy: Path) -> None:
    def older(config: dict) -> None:
        text = config["text_config"]
        rope = text.pop("rope_parameters")
        text["rope_theta"] = rope.pop("rope_theta")
        text["rope_scaling"] = rope
        config["vision_config"].pop("rope_parameters", None)
        text["tie_word_embeddings"] = config.pop("tie_word_embeddings")

    def limits(settings: dict) -> None:
        size = settings.pop("size")
        settings["min_pixels"], settings["max_pixels"] = size.values()

    edit(copy / "config.json", older)
    edit(copy / "preprocessor_config.json", limits)
    ours, theirs = read_config(str(copy)), read_config(str(checkpoint))
    assert ours == theirs
    assert image_preset(str(copy), ours) == image_preset(str(checkpoint), theirs)


@pytest.mark.parametrize(
    "change",
    [{"architectures": None}, {"architectures": []}, {"model_type": None}],
    ids=["no architectures", "empty", "no model type"],
)
def test_the_architecture_or_the_type_of_the_model_is_enough(checkpoint, copy, change) -> None:
    edit(copy / "config.json", lambda config: config.update(change))
    assert read_config(str(copy)) == read_config(str(checkpoint))
    for key, value in change.items():
        if value is None:
            edit(copy / "config.json", lambda config, key=key: config.pop(key))
    assert read_config(str(copy)) == read_config(str(checkpoint))


def test_settings_inside_those_of_the_processor(checkpoint: Path, copy: Path) -> None:
    settings = json.loads((copy / "preprocessor_config.json").read_text())
    (copy / "preprocessor_config.json").unlink()
    write_json(copy / "processor_config.json", {"image_processor": settings})
    config = read_config(str(copy))
    assert image_preset(str(copy), config) == image_preset(str(checkpoint), config)
    write_json(copy / "preprocessor_config.json", settings | {"min_pixels": 9})
    assert image_preset(str(copy), config).min_pixels == 4096  # as transformers has it


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_in_half_precision(checkpoint: Path, tmp_path: Path, dtype: str) -> None:
    import ml_dtypes

    out = export(checkpoint, tmp_path / "model", dtype)
    model = onnx.load(out / "decoder.onnx")  # finds and checks the weights beside it
    onnx.checker.check_model(out / "vision.onnx")
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    name = "model.language_model.layers.1.mlp.up_proj.weight"
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    found = onnx.numpy_helper.to_array(tensors[name])
    (source,) = checkpoint.glob("*.safetensors")
    assert found.dtype == kind
    assert np.array_equal(found, load_file(source)[name].astype(kind))


def test_half_precision_on_the_cpu_stays_near(checkpoint: Path, tmp_path: Path) -> None:
    exact = logits(export(checkpoint, tmp_path / "exact"))
    half = logits(export(checkpoint, tmp_path / "half", "float16"))
    assert np.abs(half - exact).max() < 0.01 * np.abs(exact).max()
    assert not np.array_equal(half, exact)


def test_the_manifest_says_what_was_made_of_what(checkpoint: Path, tmp_path: Path) -> None:
    out = export(checkpoint, tmp_path / "model")
    model = ModelDirectory.open(str(out))
    assert model.manifest.source == "a test"
    assert set(model.manifest.weights) == {path.name for path in checkpoint.glob("*.safetensors")}
    assert set(model.manifest.files) == {path.name for path in out.iterdir()} - {MANIFEST}
    assert model.preset.min_pixels == 4096
    assert model.end_tokens == {2}


def architecture(config: dict) -> None:
    config["architectures"] = ["LlamaForCausalLM"]


def architecture_as_text(config: dict) -> None:
    config["architectures"] = "Qwen3VLForConditionalGeneration"


def other_type(config: dict) -> None:
    config["model_type"] = "qwen3_vl_moe"


def nothing_named(config: dict) -> None:
    del config["architectures"], config["model_type"]


def rope(config: dict) -> None:
    config["text_config"]["rope_parameters"]["rope_type"] = "llama3"


def activation(config: dict) -> None:
    config["text_config"]["hidden_act"] = "relu"


def no_depth(config: dict) -> None:
    del config["vision_config"]["depth"]


def section(config: dict) -> None:
    config["text_config"]["rope_parameters"]["mrope_section"] = [1, 2, 3]


def rope_as_text(config: dict) -> None:
    config["text_config"]["rope_parameters"] = "x"


def untied(config: dict) -> None:
    config["tie_word_embeddings"] = False


def wider(config: dict) -> None:
    config["text_config"]["intermediate_size"] = 97


def other_patches(config: dict) -> None:
    config["vision_config"]["patch_size"] = 14


def unknown_image_token(config: dict) -> None:
    config["image_token_id"] = 9999


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (architecture, r"LlamaForCausalLM is not supported; supported: Qwen3VLFor"),
        (architecture_as_text, "architectures must be a list"),
        (other_type, "the model type qwen3_vl_moe is not supported; .*can be pruned inside vLLM"),
        (nothing_named, "the model type None is not supported"),
        (rope, "rotary embeddings of type llama3 are not supported"),
        (activation, r"relu is not supported in text; supported: silu"),
        (no_depth, "depth"),
        (section, "mrope_section"),
        (rope_as_text, "config.json: "),
        (untied, r"has no tensor lm_head\.weight"),
        (wider, r"layers\.0\.mlp\.gate_proj\.weight \(it is 96×64, expected 97×64\)"),
        (other_patches, r"\(16, 2, 2\) in the image processor and \(14, 2, 2\) in the model"),
        (unknown_image_token, "no token 9999"),
    ],
)
def test_configurations_that_are_refused(copy: Path, tmp_path: Path, change, words: str) -> None:
    edit(copy / "config.json", change)
    with pytest.raises(ModelError, match=words):
        export(copy, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_checkpoints_that_are_not_whole(copy: Path, tmp_path: Path) -> None:
    (weights,) = copy.glob("*.safetensors")
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=r"model\.safetensors is truncated"):
        export(copy, tmp_path / "model")
    weights.unlink()
    with pytest.raises(ModelError, match=r"no \.safetensors"):
        export(copy, tmp_path / "model")
    (copy / "config.json").unlink()
    with pytest.raises(ModelError, match=r"not a checkpoint: it has no config\.json"):
        export(copy, tmp_path / "model")


def test_an_index_that_says_nothing(copy: Path, tmp_path: Path) -> None:
    write_json(copy / "model.safetensors.index.json", {})
    with pytest.raises(ModelError, match="has no valid weight_map"):
        export(copy, tmp_path / "model")


def test_a_template_that_cannot_work(copy: Path, tmp_path: Path) -> None:
    (copy / "chat_template.jinja").write_text("{{ 1 + 'a' }}")
    with pytest.raises(ModelError, match="chat template rejects"):
        export(copy, tmp_path / "model")


def test_a_shard_that_the_index_names_is_missing(tmp_path: Path) -> None:
    sharded = write_checkpoint(tmp_path / "sharded", TINY, shards=5)
    gone = sorted(sharded.glob("*.safetensors"))[1]
    gone.unlink()
    with pytest.raises(ModelError, match=f"{gone.name} is missing"):
        export(sharded, tmp_path / "model")


def test_weights_of_a_type_that_is_not_supported(copy: Path, tmp_path: Path) -> None:
    (weights,) = copy.glob("*.safetensors")
    tensors = load_file(weights)
    name = "model.visual.merger.norm.bias"
    tensors[name] = tensors[name].astype(np.int8)
    save_file(tensors, weights)
    with pytest.raises(ModelError, match=r"norm\.bias \(its type I8 is not supported\)"):
        export(copy, tmp_path / "model")


def test_the_folder_of_the_model(checkpoint: Path, tmp_path: Path) -> None:
    out = export(checkpoint, tmp_path / "model")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(OutputError, match="--overwrite"):
        export(checkpoint, out)
    export(checkpoint, out, overwrite=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    (out / MANIFEST).unlink()
    with pytest.raises(OutputError, match="other files"):  # whose config.json is this?
        export(checkpoint, out)
    (out / ".pixelprune-export").touch()  # as a run that was killed leaves it
    export(checkpoint, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    (out / "letter.txt").write_text("mine")
    with pytest.raises(OutputError, match="other files"):
        export(checkpoint, out, overwrite=True)
    assert (out / "letter.txt").exists()
    with pytest.raises(OutputError, match="as a folder"):
        export(checkpoint, out / "letter.txt")


def test_a_model_that_was_changed_is_found_out(checkpoint: Path, tmp_path: Path) -> None:
    out = export(checkpoint, tmp_path / "model")
    done = pixelprune("verify", out)
    assert (done.returncode, done.stderr) == (0, b"model directory: 0 faults\n")
    weights = out / "decoder.onnx.data"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    (out / "tokenizer.json").unlink()
    done = pixelprune("verify", out)
    assert done.returncode == 6
    assert b"decoder.onnx.data has changed since it was exported" in done.stderr
    assert b"tokenizer.json cannot be read" in done.stderr


def test_folders_that_are_no_model(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a checkpoint; convert it first: pixelprune export"):
        ModelDirectory.open(str(checkpoint))
    with pytest.raises(ModelError, match="not a model directory"):
        ModelDirectory.open(str(tmp_path))
    with pytest.raises(ModelError, match="not a folder"):
        ModelDirectory.open(str(tmp_path / "nothing"))
    out = export(checkpoint, tmp_path / "model")
    os.truncate(out / "vision.onnx.data", 1000)
    with pytest.raises(ModelError, match=r"vision\.onnx\.data has 1,000 bytes, but"):
        ModelDirectory.open(str(out))
    (out / "vision.onnx.data").unlink()
    with pytest.raises(ModelError, match=r"vision\.onnx\.data is missing"):
        ModelDirectory.open(str(out))
    edit(out / MANIFEST, lambda manifest: manifest.update(graphs=99))
    with pytest.raises(ModelError, match="export it again"):
        ModelDirectory.open(str(out))
