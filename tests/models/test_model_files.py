"""What stands where a file of a checkpoint or of a model directory should: nothing of it hangs."""

import json
import os
import shutil
from pathlib import Path

import pytest

from ppcli.errors import ModelError
from ppcli.models.model_files import MAX_JSON_BYTES, MAX_SETTINGS_BYTES, read_json
from ppcli.models.onnx.directory import MANIFEST, ModelDirectory, changed_files
from ppcli.models.onnx.export import Export
from tests.models.tiny_checkpoint import Tiny, write_checkpoint, write_json

SETTINGS = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "processor_config.json",
)
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, and the model directory that is made of it."""
    folder = tmp_path_factory.mktemp("whole")
    write_checkpoint(folder / "checkpoint", Tiny(layers=1, depth=1, deepstack=()))
    Export(str(folder / "checkpoint"), "float32", "a test").write(str(folder / "model"))
    return folder


def copy_of(whole: Path, name: str, tmp_path: Path) -> Path:
    return shutil.copytree(whole / name, tmp_path / name)


def replace(path: Path, kind: str) -> None:
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
@pytest.mark.parametrize("name", SETTINGS + WEIGHTS)
def test_a_checkpoint_with_something_else_than_a_file(whole, tmp_path, name, kind) -> None:
    checkpoint = copy_of(whole, "checkpoint", tmp_path)
    replace(checkpoint / name, kind)
    with pytest.raises(ModelError, match=f"{name} is not a regular file"):
        Export(str(checkpoint), "float32", "a test")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
@pytest.mark.parametrize("name", (*SETTINGS, MANIFEST, "vision.onnx", "decoder.onnx.data"))
def test_a_model_directory_with_something_else_than_a_file(whole, tmp_path, name, kind) -> None:
    model = copy_of(whole, "model", tmp_path)
    replace(model / name, kind)
    with pytest.raises(ModelError, match=f"{name} is not a regular file"):
        ModelDirectory.open(str(model))
    if name not in (MANIFEST, *SETTINGS):
        assert changed_files(str(model)) == [f"{model / name} is not a regular file"]


def test_json_nested_beyond_measure(whole, tmp_path) -> None:
    checkpoint = copy_of(whole, "checkpoint", tmp_path)
    (checkpoint / "config.json").write_text('{"text_config": ' + "[" * 200_000)
    with pytest.raises(ModelError, match=r"config\.json cannot be read: it is nested too deeply"):
        Export(str(checkpoint), "float32", "a test")


@pytest.mark.parametrize(
    ("name", "size"),
    [("config.json", MAX_JSON_BYTES), ("tokenizer.json", MAX_SETTINGS_BYTES)],
)
def test_files_that_are_larger_than_settings_are(whole, tmp_path, name, size) -> None:
    checkpoint = copy_of(whole, "checkpoint", tmp_path)
    os.truncate(checkpoint / name, size + 1)
    with pytest.raises(
        ModelError, match=rf"{name} has {size + 1:,} bytes; the limit .* is {size:,}"
    ):
        Export(str(checkpoint), "float32", "a test")


def test_json_of_the_greatest_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}'.ljust(MAX_JSON_BYTES))
    assert read_json(str(path)) == {"a": 1}
    assert read_json(str(tmp_path / "b.json")) is None
    assert read_json(str(path / "b.json")) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"files": ["config.json"]}, "must map names to a size and a digest"),
        ({"files": {"config.json": "many"}}, "must map names to a size and a digest"),
        ({"files": {"config.json": [None, "x"]}}, "must map names to a size and a digest"),
        (
            {"files": {"../config.json": [1, "x"]}},
            r"names '\.\./config\.json', which is not a file",
        ),
        ({"dtype": 7}, "must be strings"),
        ({"graphs": [1]}, "export it again"),
        ({"more": 1}, "unexpected keyword argument 'more'"),
    ],
)
def test_a_manifest_of_other_types(whole, tmp_path, change, words) -> None:
    model = copy_of(whole, "model", tmp_path)
    manifest = json.loads((model / MANIFEST).read_text())
    write_json(model / MANIFEST, manifest | change)
    with pytest.raises(ModelError, match=words):
        ModelDirectory.open(str(model))
