"""From a checkpoint to a model directory: two ONNX graphs, written operator by operator."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, BinaryIO, Protocol

from numpy.typing import NDArray
from onnx import ModelProto

from ppcli.errors import ModelError, OutputError, bounded
from ppcli.models.families.qwen3_vl.configuration import CONFIG, ModelConfig, ties
from ppcli.models.families.qwen3_vl.configuration_keys import check_keys
from ppcli.models.families.qwen3_vl.decoder_graph import HEAD, decoder_model, decoder_shapes
from ppcli.models.families.qwen3_vl.image_processor import image_preset, processor_warnings
from ppcli.models.families.qwen3_vl.vision_graph import vision_model, vision_shapes
from ppcli.models.generation_config import generation_of
from ppcli.models.model_choices import Head, Weights
from ppcli.models.model_files import check_settings, read_json
from ppcli.models.onnx.checkpoint import Checkpoint
from ppcli.models.onnx.directory import (
    DATA_SUFFIX,
    DECODER,
    MANIFEST,
    SETTINGS,
    VISION,
    ModelManifest,
)
from ppcli.models.onnx.graph import GraphBuilder, WeightFile
from ppcli.models.onnx.logits_head import head_is_tied
from ppcli.models.onnx.prequantized import refuse_quantised_config, refuse_quantised_tensors
from ppcli.models.onnx.prompt_trial import try_prompts
from ppcli.models.text.chat_tokenizer import ChatTokenizer
from ppcli.store.atomic import TEMPORARY_SUFFIX, PendingFile, as_output_error

_BITS = {Weights.FLOAT: None, Weights.INT8: 8, Weights.INT4: 4}
_GRAPHS = (VISION, DECODER, VISION + DATA_SUFFIX, DECODER + DATA_SUFFIX)
_UNFINISHED = ".pixelprune-export"
_OURS = frozenset({MANIFEST, _UNFINISHED, *_GRAPHS, *SETTINGS})


class Tensors(Protocol):
    """Where weights come from."""

    @property
    def files(self) -> Sequence[str]:
        """The files they lie in."""

    def check(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """See that all these tensors are there, in these shapes."""

    def tensor(self, name: str) -> NDArray[Any]:
        """One tensor."""


@dataclass(slots=True)
class Export:
    """One checkpoint on its way to a model directory.

    Attributes:
        checkpoint: folder with config, weights, tokenizer and settings of the image processor.
        dtype: float32, float16 or bfloat16, of weights and activations.
        source: what the manifest calls the checkpoint.
        matrices: of the language model: float, or rounded to int8 or int4.
        on_tensor: told of each tensor: how many are done, and how many there are.
        tensors: where the weights come from; None for those of the checkpoint.
        head: which matrix gives the logits, should the checkpoint contradict itself.
        config: of the model.
        warnings: a sentence for each thing that a user should know of the checkpoint.

    Raises:
        ModelError: when the checkpoint is not supported, or not whole.
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
    _text: dict[str, Any] = field(init=False)
    _weights: Tensors = field(init=False)
    _tensors: int = field(init=False)
    _done: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        check_settings(self.checkpoint, SETTINGS)
        told = self._read_config()
        image_preset(self.checkpoint, self.config.vision)
        generation = generation_of(self.checkpoint, self.config.end_tokens)
        chat_tokenizer = ChatTokenizer(self.checkpoint)
        told += try_prompts(self.checkpoint, chat_tokenizer, self.config, generation)
        told += processor_warnings(self.checkpoint)
        told += chat_tokenizer.warnings
        self._weights = self.tensors or self._checkpoint(told)
        shapes = self._shapes()
        self._weights.check(shapes)
        self._tensors = len(shapes)
        self.warnings = tuple(told)

    def _read_config(self) -> list[str]:
        """Read `config.json`; gives what is to be told of it."""
        path = os.path.join(self.checkpoint, CONFIG)
        self._text = read_json(path) or {}
        refuse_quantised_config(self.checkpoint, self._text)
        self.config = ModelConfig.read(self.checkpoint)
        try:
            passed_over = check_keys(self._text)
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error
        names = bounded(", ".join(passed_over))
        return [f"{CONFIG} sets what is not applied: {names}"] if passed_over else []

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return vision_shapes(self.config.vision) | decoder_shapes(self.config)

    def _checkpoint(self, told: list[str]) -> Checkpoint:
        """The weights of the checkpoint; what is to be told of them is added."""
        weights = Checkpoint(self.checkpoint)
        refuse_quantised_tensors(self.checkpoint, weights.types())
        tied = head_is_tied(weights, ties(self._text), self.head)
        self.config = replace(self.config, text=replace(self.config.text, tied=tied))
        told += weights.warnings
        unused = weights.unused({*self._shapes(), HEAD})
        if unused:
            told.append(f"tensors that the model of {CONFIG} does not use: {unused}")
        return weights

    def write(self, out: str, overwrite: bool = False) -> None:
        """Write the model directory; it is whole once its manifest is there.

        Args:
            out: the folder.
            overwrite: whether an earlier model in it is replaced.

        Raises:
            ModelError: when a weight cannot be read.
            OutputError: when the folder holds something else, or cannot be written.
        """
        _claim(out, overwrite)
        manifest = ModelManifest(self.source, self.dtype, self.matrices.value)
        for path in self._weights.files:
            manifest.weights[os.path.basename(path)] = os.path.getsize(path)
        vision, config = self.config.vision, self.config
        self._write_graph(
            out, VISION, lambda graph: vision_model(vision, graph, self._tensor), manifest
        )
        bits = _BITS[self.matrices]
        self._write_graph(
            out, DECODER, lambda graph: decoder_model(config, graph, self._tensor), manifest, bits
        )
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
        self.on_tensor(self._done, self._tensors)
        return self._weights.tensor(name)

    def _write_graph(
        self,
        out: str,
        name: str,
        build: Callable[[GraphBuilder], ModelProto],
        manifest: ModelManifest,
        bits: int | None = None,
    ) -> None:
        data = name + DATA_SUFFIX
        models: list[ModelProto] = []

        def write_weights(file: BinaryIO) -> None:
            weights = WeightFile(file, data)
            graph = GraphBuilder(name.removesuffix(".onnx"), self.dtype, weights, bits)
            models.append(build(graph))

        _write(out, data, manifest, write_weights)
        _write(out, name, manifest, lambda file: file.write(models[0].SerializeToString()))


def _write(
    out: str, name: str, manifest: ModelManifest, content: Callable[[BinaryIO], object]
) -> None:
    """Put one file in place, whole, and record it."""
    pending = PendingFile(os.path.join(out, name))
    try:
        content(pending.file)
        pending.finish()
        manifest.files[name] = (pending.size, pending.hexdigest())
        pending.put_in_place()
    finally:
        pending.discard()


def _claim(out: str, overwrite: bool) -> None:
    """Make the folder, or empty it of an earlier model or of what a killed export has left.

    Until its manifest is there, a file of its own marks the folder as ours.
    """
    try:
        found = os.listdir(out)
    except FileNotFoundError:
        found = []
    except OSError as error:
        raise OutputError(f"{out} cannot be used as a folder: {error.strerror}") from error
    foreign = any(name not in _OURS and not name.endswith(TEMPORARY_SUFFIX) for name in found)
    if foreign or (found and MANIFEST not in found and _UNFINISHED not in found):
        raise OutputError(f"{out} holds other things than a model; use another folder")
    if MANIFEST in found and not overwrite:
        raise OutputError(f"{out} holds a model; use --overwrite or another folder")
    with as_output_error(out):
        os.makedirs(out, exist_ok=True)
        if _UNFINISHED not in found:
            open(os.path.join(out, _UNFINISHED), "xb").close()
        for name in sorted(set(found) - {_UNFINISHED}, key=lambda name: name != MANIFEST):
            os.unlink(os.path.join(out, name))
