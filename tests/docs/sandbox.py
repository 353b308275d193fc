"""A folder with everything that the commands of the documentation name."""

import io
import json
import os
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
from onnx.numpy_helper import to_array
from PIL import Image
from safetensors.numpy import save_file

from ppcli.models.onnx.directory import SMALL_MODEL
from tests.command import pixelprune
from tests.docs.pages import ROOT

PICTURES = ROOT / "sample_data" / "questions"
_COPIES = {
    "scans/form.png": "form-1.png",
    "scans/invoice.png": "invoice-1.png",
    "shots/dialog.png": "dialog-1.png",
    "shots/menu.png": "menu-1.png",
    "mixed/invoice.png": "invoice-1.png",
    "invoice.png": "invoice-1.png",
    "page.png": "receipt-1.png",
}
_PREFIXES = {"vision.onnx": "model.visual.", "decoder.onnx": ""}
_CHECKPOINT_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "chat_template.jinja",
)
_CONVOLUTION = "model.visual.patch_embed.proj.weight"  # 2-D in the graph, 5-D in a checkpoint


def build(folder: Path) -> Path:
    """Write the sandbox: images, a PDF, questions, a model, a checkpoint, and commands in bin/."""
    for copy_name, picture in _COPIES.items():
        (folder / copy_name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PICTURES / picture, folder / copy_name)
    (folder / "mixed" / "broken.png").write_bytes((PICTURES / "form-1.png").read_bytes()[:500])
    (folder / "sample_data").symlink_to(ROOT / "sample_data")
    for name in ("report.pdf", "scans/scan.tif"):
        pages = [Image.new("RGB", (200, 120), (255, 255, 40 * number)) for number in range(7)]
        pages[0].save(folder / name, save_all=True, append_images=pages[1:])
    noise = np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "photo.jpg")
    _write_questions(folder)
    _write_containers(folder)
    write_checkpoint(folder / "checkpoint")
    done = pixelprune("export", folder / "checkpoint", folder / "model")
    assert done.returncode == 0, done.stderr.decode()
    _write_commands(folder / "bin")
    return folder


def copy(sandbox: Path, folder: Path) -> Path:
    """Copy a sandbox. Large files are hard links, because no command writes to them in place."""

    def link(source: str, target: str) -> None:
        big = os.path.getsize(source) > 100_000
        (os.link if big else shutil.copy2)(source, target)

    return Path(shutil.copytree(sandbox, folder, symlinks=True, copy_function=link))


def _write_containers(folder: Path) -> None:
    pictures = [PICTURES / "dialog-1.png", PICTURES / "menu-1.png"]
    with zipfile.ZipFile(folder / "shots.zip", "w") as archive:
        for picture in pictures:
            archive.write(picture, picture.name.replace("-1", ""))
    (folder / "shards").mkdir()
    with tarfile.open(folder / "shards" / "000.tar.gz", "w:gz") as shard:
        for number, picture in enumerate(pictures):
            shard.add(picture, f"{number:04}.png")
            text = tarfile.TarInfo(f"{number:04}.txt")
            text.size = len(picture.name)
            shard.addfile(text, io.BytesIO(picture.name.encode()))
    content = [picture.read_bytes() for picture in pictures]
    table = pa.table({"scan": content, "thumbnail": content, "label": ["dialog", "menu"]})
    pq.write_table(table, folder / "scans.parquet")


def write_checkpoint(folder: Path) -> None:
    """Write the small model as a checkpoint, with the pixel limits of the Qwen3-VL models."""
    folder.mkdir()
    for name in _CHECKPOINT_FILES:
        shutil.copy(os.path.join(SMALL_MODEL, name), folder)
    weights = {
        prefix + weight.name: to_array(weight)
        for file, prefix in _PREFIXES.items()
        for weight in onnx.load(os.path.join(SMALL_MODEL, file)).graph.initializer
    }
    weights[_CONVOLUTION] = weights[_CONVOLUTION].reshape(-1, 3, 2, 16, 16)
    save_file(weights, folder / "model.safetensors")
    with open(os.path.join(SMALL_MODEL, "preprocessor_config.json"), encoding="utf-8") as file:
        settings = json.load(file)
    settings |= {"min_pixels": 65_536, "max_pixels": 16_777_216}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")


def _write_questions(folder: Path) -> None:
    picture = (PICTURES / "menu-1.png").read_bytes()
    table = {
        "questionId": [1],
        "image": [{"bytes": picture, "path": "menu-1.png"}],
        "question": ["Line 1?"],
        "answers": [["Mute"]],
    }
    pq.write_table(pa.table(table), folder / "docvqa.parquet")
    line = {"image": "page.png", "question": "What is the total?", "answers": ["12.50"]}
    (folder / "questions.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")


def _write_commands(folder: Path) -> None:
    folder.mkdir()
    for name, arguments in {"pixelprune": "-W error -m ppcli", "python": ""}.items():
        script = f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n'
        (folder / name).write_text(script, encoding="utf-8")
        (folder / name).chmod(0o755)
