"""A model directory: what `export` wrote, and `infer` runs."""

import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any

from ppcli.errors import ModelError
from ppcli.imaging.presets import Preset
from ppcli.store.atomic import atomic_file, digest_of
from ppcli.version import __version__
from ppcli.vlm.config import ModelConfig, read_json
from ppcli.vlm.generation import Generation, generation_of
from ppcli.vlm.processor import image_preset
from ppcli.vlm.prompts import Prompter

MANIFEST = "pixelprune.json"
VISION, DECODER = "vision.onnx", "decoder.onnx"
DATA_SUFFIX = ".data"
SMALL_MODEL = os.path.join(os.path.dirname(os.path.dirname(__file__)), "small_model")
_KIND = "pixelprune model"
_VERSION_OF_GRAPHS = 1


@dataclass(slots=True)
class ModelManifest:
    """What was made of what.

    Attributes:
        source: the checkpoint: a name on the hub with its revision, or a folder.
        dtype: of weights and activations.
        matrices: of the language model: float, int8 or int4.
        weights: files of the checkpoint that hold weights, with their sizes.
        files: of the model directory, with their sizes and XXH3-128 digests.
        version: of the program that wrote it.
        graphs: the version of the graphs' inputs and outputs.
    """

    source: str
    dtype: str
    matrices: str = "float"
    weights: dict[str, int] = field(default_factory=dict)
    files: dict[str, tuple[int, str]] = field(default_factory=dict)
    version: str = __version__
    graphs: int = _VERSION_OF_GRAPHS

    def write(self, folder: str) -> None:
        """Put the manifest in place: from now on the directory is whole."""
        with atomic_file(os.path.join(folder, MANIFEST)) as file:
            file.write(json.dumps({"kind": _KIND, **asdict(self)}, indent=1).encode() + b"\n")

    @classmethod
    def read(cls, folder: str) -> "ModelManifest":
        """Read the manifest of a model directory.

        Raises:
            ModelError: when there is none, or one of a later version.
        """
        text = read_json(os.path.join(folder, MANIFEST))
        if text is None:
            raise ModelError(_not_exported(folder))
        if text.pop("kind", None) != _KIND or text.get("graphs") != _VERSION_OF_GRAPHS:
            raise ModelError(
                f"{folder} was exported by pixelprune {text.get('version', 'of another kind')}, "
                "which does not suit this one; export it again"
            )
        try:
            return cls(**text)
        except TypeError as error:
            raise ModelError(f"{os.path.join(folder, MANIFEST)}: {error}") from error


def is_model_directory(path: str) -> bool:
    """Whether a folder is one that `export` wrote."""
    return os.path.isfile(os.path.join(path, MANIFEST))


def changed_files(folder: str) -> list[str]:
    """A sentence for each file of a model directory that is not as it was written.

    Raises:
        ModelError: when the manifest cannot be read.
    """
    found = []
    for name, (size, digest) in ModelManifest.read(folder).files.items():
        path = os.path.join(folder, name)
        try:
            if digest_of(path) != (size, digest):
                found.append(f"{path} is not as it was written")
        except OSError as error:
            found.append(f"{path} cannot be read: {error.strerror}")
    return found


def _not_exported(folder: str) -> str:
    if not os.path.isdir(folder):
        return f"{folder} is not a folder; --model names what pixelprune export wrote"
    if read_json(os.path.join(folder, "config.json")) is not None:
        return f"{folder} is a checkpoint; make a model of it: pixelprune export {folder} OUT_DIR"
    return f"{folder} is not a model directory: it has no {MANIFEST}"


@dataclass(frozen=True, slots=True)
class ModelDirectory:
    """A model directory that was opened and found whole.

    Attributes:
        folder: its path.
        manifest: what it was made of.
        config: of the model.
        preset: of its images.
        prompter: its tokenizer and chat template.
        generation: what it says of its answers.
        end_tokens: ids that end an answer.
    """

    folder: str
    manifest: ModelManifest
    config: ModelConfig
    preset: Preset
    prompter: Prompter
    generation: Generation
    end_tokens: frozenset[int]

    @classmethod
    def open(cls, folder: str) -> "ModelDirectory":
        """Open a model directory.

        Raises:
            ModelError: when it is none, or a part of it is missing, cut short or not readable.
        """
        manifest = ModelManifest.read(folder)
        for name, (size, _) in manifest.files.items():
            _check_size(os.path.join(folder, name), size)
        config = ModelConfig.read(folder)
        generation = generation_of(folder, config.end_tokens)
        return cls(
            folder,
            manifest,
            config,
            image_preset(folder, config.vision),
            Prompter(folder),
            generation,
            generation.end_tokens,
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What answers depend on: the digests of its files; and what it was made of."""
        digests = {name: digest for name, (_, digest) in sorted(self.manifest.files.items())}
        source, dtype = self.manifest.source, self.manifest.dtype
        return {"source": source, "dtype": dtype, "files": digests}


def _check_size(path: str, size: int) -> None:
    try:
        found = os.path.getsize(path)
    except OSError as error:
        raise ModelError(f"{path} is missing; export the model again") from error
    if found != size:
        raise ModelError(
            f"{path} has {found:,} bytes where {size:,} were written; export the model again"
        )
