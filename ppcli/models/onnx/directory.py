"""A model directory: what `export` wrote, and `infer` runs."""

import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any

from ppcli.errors import ModelError
from ppcli.imaging.presets import Preset
from ppcli.models.families.qwen3_vl.configuration import CONFIG, ModelConfig
from ppcli.models.families.qwen3_vl.image_processor import PREPROCESSOR, PROCESSOR, image_preset
from ppcli.models.generation_config import GENERATION, Generation, generation_of
from ppcli.models.model_files import check_plain, check_regular, check_settings, read_json
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
SETTINGS = (  # of a checkpoint; a model directory has copies of them
    CONFIG,
    GENERATION,
    *TOKENIZER_FILES,
    TEMPLATE,
    TEMPLATE_JSON,
    PREPROCESSOR,
    PROCESSOR,
)
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
        path = os.path.join(folder, MANIFEST)
        try:
            manifest = cls(**text)
        except TypeError as error:
            raise ModelError(f"{path}: {error}") from error
        manifest.check(path)
        return manifest

    def check(self, path: str) -> None:
        """See that what was read from a file is of the right types, and names files beside it.

        Raises:
            ModelError: naming what is not.
        """
        texts = (self.source, self.dtype, self.matrices, self.version)
        if not all(isinstance(text, str) for text in texts):
            raise ModelError(f"{path}: source, dtype, matrices and version are to be texts")
        if not isinstance(self.files, dict) or not all(map(_is_state, self.files.values())):
            raise ModelError(f"{path} does not say the size and the digest of each file")
        for name in self.files:
            check_plain(name, path)


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
            check_regular(path)
            if file_digest(path) != (size, digest):
                found.append(f"{path} is not as it was written")
        except OSError as error:
            found.append(f"{path} cannot be read: {error.strerror}")
        except ModelError as error:
            found.append(str(error))
    return found


def _is_state(value: Any) -> bool:  # noqa: ANN401
    """Whether a value is a size and a digest."""
    match value:
        case [int(), str()]:
            return True
    return False


def _not_exported(folder: str) -> str:
    if not os.path.isdir(folder):
        return f"{folder} is not a folder; --model names what pixelprune export wrote"
    if read_json(os.path.join(folder, CONFIG)) is not None:
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
        chat_tokenizer: its tokenizer and chat template.
        generation: what it says of its answers.
        end_tokens: ids that end an answer.
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
            ModelError: when it is none, or a part of it is missing, cut short or not readable.
        """
        manifest = ModelManifest.read(folder)
        check_settings(folder, SETTINGS)
        for name, (size, _) in manifest.files.items():
            _check_size(os.path.join(folder, name), size)
        config = ModelConfig.read(folder)
        generation = generation_of(folder, config.end_tokens)
        return cls(
            folder,
            manifest,
            config,
            image_preset(folder, config.vision),
            ChatTokenizer(folder),
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
    if not check_regular(path):
        raise ModelError(f"{path} is missing; export the model again")
    found = os.path.getsize(path)
    if found != size:
        raise ModelError(
            f"{path} has {found:,} bytes where {size:,} were written; export the model again"
        )
