"""Model directories: what `export` writes and `infer` runs."""

import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any

from ppcli.errors import ModelError
from ppcli.imaging.presets import Preset
from ppcli.models.checkpoints.preprocessor_config import PREPROCESSOR, PROCESSOR, image_preset
from ppcli.models.families.base import ModelConfig
from ppcli.models.families.family_registry import read_config
from ppcli.models.generation_config import GENERATION, Generation, generation_of
from ppcli.models.model_files import (
    CONFIG,
    check_plain_name,
    check_regular,
    check_settings,
    read_json,
)
from ppcli.models.text.chat_tokenizer import TEMPLATE, TEMPLATE_JSON, ChatTokenizer
from ppcli.models.text.tokenizer import TOKENIZER_FILES
from ppcli.store.atomic import atomic_file, file_digest
from ppcli.version import __version__

MANIFEST = "pixelprune.json"
VISION, DECODER = "vision.onnx", "decoder.onnx"
DATA_SUFFIX = ".data"
SMALL_MODEL = os.path.normpath(
    os.path.join(os.path.dirname(__file__), os.pardir, os.pardir, "small_model")
)
SETTINGS = (  # files of a checkpoint that a model directory has copies of
    CONFIG,
    GENERATION,
    *TOKENIZER_FILES,
    TEMPLATE,
    TEMPLATE_JSON,
    PREPROCESSOR,
    PROCESSOR,
)
_KIND = "pixelprune model"
_GRAPH_VERSION = 1


@dataclass(slots=True)
class ModelManifest:
    """Describes a model directory.

    Attributes:
        source: the checkpoint: a name on the Hub with its revision, or the name of a folder.
        dtype: of weights and activations.
        matrices: of the language model: float, int8 or int4.
        weights: weight files of the checkpoint, with their sizes.
        files: files of the model directory, with their sizes and XXH3-128 digests.
        version: of pixelprune that wrote it.
        graphs: version of the graphs' inputs and outputs.
    """

    source: str
    dtype: str
    matrices: str = "float"
    weights: dict[str, int] = field(default_factory=dict)
    files: dict[str, tuple[int, str]] = field(default_factory=dict)
    version: str = __version__
    graphs: int = _GRAPH_VERSION

    def write(self, folder: str) -> None:
        """Write the manifest, the last file of a model directory."""
        with atomic_file(os.path.join(folder, MANIFEST)) as file:
            file.write(json.dumps({"kind": _KIND, **asdict(self)}, indent=1).encode() + b"\n")

    @classmethod
    def read(cls, folder: str) -> "ModelManifest":
        """Read the manifest of a model directory.

        Raises:
            ModelError: if it is missing, invalid, or of another version.
        """
        path = os.path.join(folder, MANIFEST)
        content = read_json(path)
        if content is None:
            raise ModelError(_why_not_a_model(folder))
        return cls.of(content, folder, path)

    @classmethod
    def of(cls, content: dict[str, Any], folder: str, path: str) -> "ModelManifest":
        """Make a manifest of its JSON.

        Args:
            content: the JSON.
            folder: path or URL of the model directory, for messages.
            path: of the manifest, for messages.

        Raises:
            ModelError: it is invalid, or of another version.
        """
        if content.pop("kind", None) != _KIND or content.get("graphs") != _GRAPH_VERSION:
            raise ModelError(
                f"{folder} was exported by pixelprune {content.get('version', '(unknown)')}, "
                "which this version cannot read; export it again"
            )
        try:
            manifest = cls(**content)
        except TypeError as error:
            raise ModelError(f"{path}: {error}") from error
        manifest.check(path)
        return manifest

    def check(self, path: str) -> None:
        """Check the types of what was read from a file, and that it names files beside it.

        Raises:
            ModelError: for the first that is wrong.
        """
        texts = (self.source, self.dtype, self.matrices, self.version)
        if not all(isinstance(text, str) for text in texts):
            raise ModelError(f"{path}: source, dtype, matrices and version must be strings")
        if not isinstance(self.files, dict) or not all(map(_is_file_entry, self.files.values())):
            raise ModelError(f"{path}: files must map names to a size and a digest")
        for name in self.files:
            check_plain_name(name, path)


def is_model_directory(path: str) -> bool:
    """Whether `export` wrote this folder."""
    return os.path.isfile(os.path.join(path, MANIFEST))


def changed_files(folder: str) -> list[str]:
    """Compare the files of a model directory with their digests.

    Returns:
        A sentence for each file that differs or cannot be read.

    Raises:
        ModelError: if the manifest cannot be read.
    """
    found = []
    for name, (size, digest) in ModelManifest.read(folder).files.items():
        path = os.path.join(folder, name)
        try:
            check_regular(path)
            if file_digest(path) != (size, digest):
                found.append(f"{path} has changed since it was exported")
        except OSError as error:
            found.append(f"{path} cannot be read: {error.strerror}")
        except ModelError as error:
            found.append(str(error))
    return found


def _is_file_entry(value: Any) -> bool:  # noqa: ANN401
    match value:
        case [int(), str()]:
            return True
    return False


def _why_not_a_model(folder: str) -> str:
    if not os.path.isdir(folder):
        return f"{folder} is not a folder; --model takes the output of pixelprune export"
    if read_json(os.path.join(folder, CONFIG)) is not None:
        return f"{folder} is a checkpoint; convert it first: pixelprune export {folder} OUT_DIR"
    return f"{folder} is not a model directory: it has no {MANIFEST}"


@dataclass(frozen=True, slots=True)
class ModelDirectory:
    """A model directory that was opened and found complete.

    Attributes:
        folder: its path.
        manifest: its manifest.
        config: of the model.
        preset: how its images are prepared.
        chat_tokenizer: its tokenizer and chat template.
        generation: its generation settings.
        end_tokens: ids of the tokens that end an answer.
    """

    folder: str
    manifest: ModelManifest
    config: ModelConfig
    preset: Preset
    chat_tokenizer: ChatTokenizer
    generation: Generation
    end_tokens: frozenset[int]

    @classmethod
    def open(cls, folder: str) -> "ModelDirectory":
        """Open a model directory.

        Raises:
            ModelError: if it is not one, or a file is missing, truncated or unreadable.
        """
        manifest = ModelManifest.read(folder)
        check_settings(folder, SETTINGS)
        for name, (size, _) in manifest.files.items():
            _check_size(os.path.join(folder, name), size)
        config = read_config(folder)
        generation = generation_of(folder, config.end_tokens)
        return cls(
            folder,
            manifest,
            config,
            image_preset(folder, config),
            ChatTokenizer(folder),
            generation,
            generation.end_tokens,
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What answers depend on: the source, the type, and the digests of all files."""
        digests = {name: digest for name, (_, digest) in sorted(self.manifest.files.items())}
        source, dtype = self.manifest.source, self.manifest.dtype
        return {"source": source, "dtype": dtype, "files": digests}


def _check_size(path: str, size: int) -> None:
    if not check_regular(path):
        raise ModelError(f"{path} is missing; export the model again")
    found = os.path.getsize(path)
    if found != size:
        raise ModelError(
            f"{path} has {found:,} bytes, but {size:,} were written; export the model again"
        )
