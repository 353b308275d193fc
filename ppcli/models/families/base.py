"""The interface between a model family and the code that exports, runs and measures models.

A `Family` recognizes checkpoints and reads their `config.json`. The `ModelConfig` that it returns
describes one model: its sizes, its graphs, the caches of its layers, the inputs of its vision
transformer, and its cost. Code outside a family's folder uses these two classes only.

This module imports little because `--help` lists the presets and sizes of all families.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ppcli.imaging.presets import Preset
from ppcli.models.graphs.cache_tensor import CacheTensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto

    from ppcli.models.families.config_keys import ConfigKeys
    from ppcli.models.families.prompt_layout import PromptLayout
    from ppcli.models.families.training_layout import TrainingLayout
    from ppcli.models.graphs.graph_builder import GraphBuilder

TensorReader = Callable[[str], "NDArray[Any]"]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class KeyValueCache:
    """Keys and values of an attention layer: one row of each for every cached token.

    Attributes:
        layer: index of the layer.
        heads: number of key-value heads.
        head_size: channels of a head.
    """

    layer: int
    heads: int
    head_size: int

    @property
    def tensors(self) -> tuple[CacheTensor, ...]:
        """The keys and the values, each (heads, tokens, head_size)."""
        shape = (self.heads, None, self.head_size)
        return tuple(CacheTensor(f"{self.layer}.{kind}", shape) for kind in ("key", "value"))


@dataclass(frozen=True, slots=True)
class RecurrentState:
    """A state of fixed size, as linear attention and causal convolutions have one.

    It is all zeros before the first token of a sequence. A layer may declare several.

    Attributes:
        layer: index of the layer.
        name: of the state within the layer.
        shape: of one sequence.
        dtype: float32, float16 or bfloat16; None for the type of the model.
    """

    layer: int
    name: str
    shape: tuple[int, ...]
    dtype: str | None = None

    @property
    def tensors(self) -> tuple[CacheTensor, ...]:
        """The state."""
        return (CacheTensor(f"{self.layer}.{self.name}", self.shape, self.dtype),)


LayerCache = KeyValueCache | RecurrentState


@dataclass(frozen=True, slots=True)
class ImageFeature:
    """A float32 tensor that the vision graph computes and the decoder graph reads.

    Attributes:
        name: of the output and of the input.
        shape: None marks the axis with one row for each visual token.
    """

    name: str
    shape: tuple[int | None, ...]

    @property
    def token_axis(self) -> int:
        """The axis of the visual tokens."""
        return self.shape.index(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig(ABC):
    """One model of a family.

    Attributes:
        family: that the model belongs to.
        image_token: id of the token that stands for one tile.
        end_tokens: ids of the tokens that end an answer, according to `config.json`.
    """

    family: "Family" = field(compare=False, repr=False)
    image_token: int
    end_tokens: tuple[int, ...]

    position_axes: ClassVar[int] = 3
    """Coordinates of a token's position: time, row and column with M-RoPE."""

    # Sizes

    @property
    @abstractmethod
    def patch_size(self) -> int:
        """P, the side of a patch in pixels."""

    @property
    @abstractmethod
    def merge_size(self) -> int:
        """M; M×M patches become one visual token."""

    @property
    @abstractmethod
    def temporal_patch_size(self) -> int:
        """Frames in a patch; a still image is repeated."""

    @property
    def tile(self) -> int:
        """Side in pixels of the square that becomes one visual token."""
        return self.patch_size * self.merge_size

    @property
    @abstractmethod
    def vision_layers(self) -> int:
        """Layers of the vision transformer."""

    @property
    @abstractmethod
    def text_layers(self) -> int:
        """Layers of the language model."""

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Number of token ids."""

    @property
    @abstractmethod
    def max_positions(self) -> int:
        """Length of the context in positions."""

    @property
    @abstractmethod
    def size_signature(self) -> str:
        """A text that is equal for two models exactly if their sizes are.

        Datasets store a digest of it, so it must not change between versions.
        """

    # Graphs

    @abstractmethod
    def with_tied_head(self, tied: bool) -> Self:
        """The same model with logits from the embedding matrix, or from a matrix of its own."""

    @abstractmethod
    def tensor_shapes(self) -> Shapes:
        """Names and shapes of all checkpoint tensors that the two graphs need."""

    @abstractmethod
    def vision_graph(self, graph: "GraphBuilder", tensor: TensorReader) -> "ModelProto":
        """Build the vision transformer; one run computes one image.

        Inputs: `pixel_values`, float32 (N, channels·frames·P·P), the kept patches in merge-block
        order, and those that `vision_inputs` gives. Outputs: `image_features`.
        """

    @abstractmethod
    def decoder_graph(self, graph: "GraphBuilder", tensor: TensorReader) -> "ModelProto":
        """Build the language model, for prefill, chunks of it, and single steps.

        Inputs: `input_ids`, int64 (B, S); `position_ids`, int64 (position_axes, B, S);
        `visual_idx`, int64 (V,), the indices of the visual tokens among the B·S; the
        `image_features`; `seqlens_k`, int32 (B,), the lengths including the new tokens, less one;
        `total_seq_len`, int32 (), the longest length; and `past_NAME`, (B, …), for each tensor of
        `caches`.
        Outputs: `logits`, float32 (B, vocabulary), after the last token of each sequence; and
        `present_NAME` for each tensor of `caches`.
        """

    @property
    @abstractmethod
    def caches(self) -> Sequence[LayerCache]:
        """What the layers of the decoder carry from step to step."""

    @property
    @abstractmethod
    def image_features(self) -> Sequence[ImageFeature]:
        """What the vision graph passes to the decoder graph."""

    # Inputs

    @abstractmethod
    def vision_inputs(self, keep: "NDArray[np.bool_]") -> "dict[str, NDArray[Any]]":
        """The inputs of the vision graph other than the pixels.

        Args:
            keep: bool (grid_h, grid_w), the kept tiles. Positions are those in the whole image.
        """

    @abstractmethod
    def layout_prompt(
        self, ids: Sequence[int], keeps: "Sequence[NDArray[np.bool_]]"
    ) -> "PromptLayout":
        """Expand image tokens to the kept tiles, and compute the positions of all tokens.

        Args:
            ids: the prompt, with one image token for each image.
            keeps: of each image, bool (grid_h, grid_w), the kept tiles.

        Raises:
            UsageError: if the number of image tokens is not the number of images.
        """

    # Costs

    @abstractmethod
    def vision_operations(self, patches: int) -> int:
        """Multiplications and additions of the vision transformer over N patches of one image."""

    @abstractmethod
    def decoder_operations(self, tokens: int, past: int = 0) -> int:
        """Multiplications and additions of the language model, logits of the last token included.

        Args:
            tokens: fed together.
            past: tokens that are cached already.
        """


class Family(ABC):
    """How the models of a family are recognized and read.

    Attributes:
        model_types: values of `model_type` in `config.json`.
        architectures: class names in `architectures`.
        inner_architectures: class names of the model without its language-model head.
        image_processors: supported values of `image_processor_type`, without `Fast` or `Pil`.
        preset_name: name of the preset on the command line.
        preset: how images are prepared for the published checkpoints.
        sizes: names of the published sizes.
        head_tensor: name of the matrix that gives the logits.
        embedding_tensor: name of the token embeddings, from which tied models take the logits.
        trainable: whether `training_layout` is implemented.
    """

    model_types: ClassVar[tuple[str, ...]]
    architectures: ClassVar[tuple[str, ...]]
    inner_architectures: ClassVar[tuple[str, ...]] = ()
    image_processors: ClassVar[tuple[str, ...]]
    preset_name: ClassVar[str]
    preset: ClassVar[Preset]
    sizes: ClassVar[tuple[str, ...]]
    head_tensor: ClassVar[str]
    embedding_tensor: ClassVar[str]
    trainable: ClassVar[bool] = False

    @abstractmethod
    def parse_config(self, config: dict[str, Any]) -> ModelConfig:
        """Read a parsed `config.json`.

        Raises:
            ModelError: for a setting that is not supported.
            ValueError: for a value that is missing or out of range.
        """

    @abstractmethod
    def tied_flags(self, config: dict[str, Any]) -> list[bool]:
        """Whether a `config.json` says that the logits come from the token embeddings.

        Args:
            config: the parsed file, which `parse_config` accepts.

        Returns:
            The flags that are set; the first is the one that transformers reads.
        """

    @abstractmethod
    def config_keys(self) -> "ConfigKeys":
        """Which keys of `config.json` are read, and which are known not to matter."""

    @abstractmethod
    def canonical_tensor_name(self, stored: str) -> str:
        """The name of a tensor in `tensor_shapes`, whatever wrapper saved it."""

    @abstractmethod
    def is_ignored_tensor(self, name: str) -> bool:
        """Whether a tensor in a checkpoint holds what the graphs compute, or do without."""

    @abstractmethod
    def published_config(self, size: str, layers: int | None, image_token: int) -> dict[str, Any]:
        """The `config.json` of a published size.

        Args:
            size: one of `sizes`.
            layers: both transformers are cut to so many; None keeps all.
            image_token: id of the image token in the tokenizer that is used.
        """

    def training_layout(self, config: Any) -> "TrainingLayout":  # noqa: ANN401
        """How a collator lays out pruned images for transformers' own class of the family.

        Args:
            config: `model.config` of transformers.
        """
        raise NotImplementedError

    def check_transformers(self) -> None:
        """Check that the installed transformers takes what `training_layout` makes.

        Raises:
            MissingDependencyError: if it does not, or is not installed.
        """
        raise NotImplementedError
