"""Exports a checkpoint to a model directory with two ONNX graphs."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, Protocol

from numpy.typing import NDArray
from onnx import ModelProto

from ppcli.errors import ModelError, OutputError, bounded
from ppcli.models.checkpoints.checkpoint_weights import CheckpointWeights
from ppcli.models.checkpoints.fp8_layout import Fp8Layout
from ppcli.models.checkpoints.fp8_weights import open_weights
from ppcli.models.checkpoints.lm_head import is_head_tied
from ppcli.models.checkpoints.preprocessor_config import image_preset, processor_warnings
from ppcli.models.checkpoints.quantized_checkpoints import find_fp8_layout
from ppcli.models.families.base import ModelConfig
from ppcli.models.families.family_registry import read_config
from ppcli.models.generation_config import generation_of
from ppcli.models.graphs.graph_builder import GraphBuilder, WeightFile
from ppcli.models.model_choices import Head, Weights
from ppcli.models.model_files import CONFIG, check_settings, read_json
from ppcli.models.onnx.directory import (
    DATA_SUFFIX,
    DECODER,
    MANIFEST,
    SETTINGS,
    VISION,
    ModelManifest,
)
from ppcli.models.onnx.prompt_check import check_prompts
from ppcli.models.text.chat_tokenizer import ChatTokenizer
from ppcli.store.atomic import TEMPORARY_SUFFIX, PendingFile, as_output_error

_BITS = {Weights.FLOAT: None, Weights.INT8: 8, Weights.INT4: 4}
_GRAPHS = (VISION, DECODER, VISION + DATA_SUFFIX, DECODER + DATA_SUFFIX)
_UNFINISHED = ".pixelprune-export"
_OUR_FILES = frozenset({MANIFEST, _UNFINISHED, *_GRAPHS, *SETTINGS})


class Tensors(Protocol):
    """A source of weights."""

    @property
    def files(self) -> Sequence[str]:
        """Paths of the files with weights."""

    def check(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Check that all these tensors exist, with these shapes."""

    def tensor(self, name: str) -> NDArray[Any]:
        """Read a tensor."""


@dataclass(slots=True)
class Export:
    """A checkpoint that was checked and can be written as a model directory.

    Attributes:
        checkpoint: folder with config, weights, tokenizer and settings of the image processor.
        dtype: of weights and activations: float32, float16 or bfloat16.
        source: what the manifest calls the checkpoint.
        matrices: whether those of the language model are quantized.
        on_tensor: called after each tensor with the number done and the total.
        tensors: source of the weights; None for those of the checkpoint.
        head: which matrix gives the logits, if the checkpoint contradicts itself.
        config: of the model.
        warnings: sentences about the checkpoint for the user.

    Raises:
        ModelError: if the checkpoint is not supported, or not complete.
    """

    checkpoint: str
    dtype: str
    source: str
    matrices: Weights = Weights.FLOAT
    on_tensor: Callable[[int, int], None] = lambda done, total: None
    tensors: Tensors | None = None
    head: Head | None = None
    config: ModelConfig = field(init=False)
    warnings: tuple[str, ...] = field(init=False)
    _config_json: dict[str, Any] = field(init=False)
    _fp8: Fp8Layout | None = field(init=False)
    _weights: Tensors = field(init=False)
    _total: int = field(init=False)
    _done: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        check_settings(self.checkpoint, SETTINGS)
        warnings = self._read_config()
        image_preset(self.checkpoint, self.config)
        generation = generation_of(self.checkpoint, self.config.end_tokens)
        chat_tokenizer = ChatTokenizer(self.checkpoint)
        warnings += check_prompts(self.checkpoint, chat_tokenizer, self.config, generation)
        warnings += processor_warnings(self.checkpoint)
        warnings += chat_tokenizer.warnings
        self._weights = self.tensors or self._checkpoint_weights(warnings)
        shapes = self.config.tensor_shapes()
        self._weights.check(shapes)
        self._total = len(shapes)
        self.warnings = tuple(warnings)

    def _read_config(self) -> list[str]:
        """Read `config.json`; return warnings about it."""
        path = os.path.join(self.checkpoint, CONFIG)
        self._config_json = read_json(path) or {}
        self._fp8 = find_fp8_layout(self.checkpoint, self._config_json)
        self.config = read_config(self.checkpoint)
        try:
            unread = self.config.family.config_keys().check(self._config_json)
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error
        names = bounded(", ".join(unread))
        return [f"{CONFIG} sets what is not applied: {names}"] if unread else []

    def _checkpoint_weights(self, warnings: list[str]) -> CheckpointWeights:
        """Open the weights of the checkpoint; append warnings about them."""
        family = self.config.family
        weights = open_weights(self.checkpoint, family.canonical_tensor_name, self._fp8)
        flags = family.tied_flags(self._config_json)
        self.config = self.config.with_tied_head(is_head_tied(weights, family, flags, self.head))
        warnings += weights.warnings
        used = {*self.config.tensor_shapes(), family.head_tensor}
        unused = weights.unused(used, family.is_ignored_tensor)
        if unused:
            warnings.append(f"tensors that the model of {CONFIG} does not use: {unused}")
        return weights

    def write(self, out: str, overwrite: bool = False) -> None:
        """Write the model directory. Its manifest is written last.

        Args:
            out: the folder.
            overwrite: whether to replace an earlier model in it.

        Raises:
            ModelError: if a weight cannot be read.
            OutputError: if the folder has other content, or cannot be written.
        """
        _claim(out, overwrite)
        manifest = ModelManifest(self.source, self.dtype, self.matrices.value)
        for path in self._weights.files:
            manifest.weights[os.path.basename(path)] = os.path.getsize(path)
        self._write_graph(out, VISION, self.config.vision_graph, manifest)
        bits = _BITS[self.matrices]
        self._write_graph(out, DECODER, self.config.decoder_graph, manifest, bits)
        for name in SETTINGS:
            path = os.path.join(self.checkpoint, name)
            if os.path.exists(path):
                with open(path, "rb") as file:
                    _write(out, name, manifest, partial(shutil.copyfileobj, file))
        manifest.write(out)
        with as_output_error(out):
            os.unlink(os.path.join(out, _UNFINISHED))

    def _tensor(self, name: str) -> NDArray[Any]:
        self._done += 1
        self.on_tensor(self._done, self._total)
        return self._weights.tensor(name)

    def _write_graph(
        self,
        out: str,
        name: str,
        build: Callable[[GraphBuilder, Callable[[str], NDArray[Any]]], ModelProto],
        manifest: ModelManifest,
        bits: int | None = None,
    ) -> None:
        data = name + DATA_SUFFIX
        models: list[ModelProto] = []

        def write_weights(file: BinaryIO) -> None:
            weights = WeightFile(file, data)
            graph = GraphBuilder(name.removesuffix(".onnx"), self.dtype, weights, bits)
            models.append(build(graph, self._tensor))

        _write(out, data, manifest, write_weights)
        _write(out, name, manifest, lambda file: file.write(models[0].SerializeToString()))


def _write(
    out: str, name: str, manifest: ModelManifest, content: Callable[[BinaryIO], object]
) -> None:
    """Write one file atomically, and record it in the manifest."""
    pending = PendingFile(os.path.join(out, name))
    try:
        content(pending.file)
        pending.finish()
        manifest.files[name] = (pending.size, pending.hexdigest())
        pending.put_in_place()
    finally:
        pending.discard()


def _claim(out: str, overwrite: bool) -> None:
    """Create the folder, or remove an earlier model or the remains of a killed export from it.

    A marker file identifies the folder as ours until its manifest is written.
    """
    try:
        found = os.listdir(out)
    except FileNotFoundError:
        found = []
    except OSError as error:
        raise OutputError(f"{out} cannot be used as a folder: {error.strerror}") from error
    foreign = any(name not in _OUR_FILES and not name.endswith(TEMPORARY_SUFFIX) for name in found)
    if foreign or (found and MANIFEST not in found and _UNFINISHED not in found):
        raise OutputError(f"{out} has other files than a model; use another folder")
    if MANIFEST in found and not overwrite:
        raise OutputError(f"{out} has a model already; use --overwrite or another folder")
    with as_output_error(out):
        os.makedirs(out, exist_ok=True)
        if _UNFINISHED not in found:
            open(os.path.join(out, _UNFINISHED), "xb").close()
        for name in sorted(set(found) - {_UNFINISHED}, key=lambda name: name != MANIFEST):
            os.unlink(os.path.join(out, name))
