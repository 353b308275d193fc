"""What `config.json` says of a Qwen3-VL model."""

import os
from dataclasses import dataclass
from typing import Any

from ppcli.errors import ModelError
from ppcli.vlm.files import read_json

ARCHITECTURES = ("Qwen3VLForConditionalGeneration",)
MODEL_TYPE = "qwen3_vl"
CONFIG = "config.json"
_INNER = "Qwen3VLModel"  # what it saves has the names of its tensors without `model.`
_ACTIVATIONS = {"vision": ("gelu_pytorch_tanh", "gelu"), "text": ("silu",)}
_ROPE_TYPES = ("default", "mrope", "axial")
_DEFAULT_MROPE_SECTION = [24, 20, 20]
_VISION_THETA = 10_000.0


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """Sizes of the vision transformer, in the words of the checkpoint."""

    depth: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    in_channels: int
    patch_size: int
    merge_size: int
    temporal_patch_size: int
    out_hidden_size: int
    num_position_embeddings: int
    deepstack: tuple[int, ...]
    rope_theta: float
    activation: str

    @property
    def head_size(self) -> int:
        """Channels of one attention head."""
        return self.hidden_size // self.num_heads

    @property
    def positions_per_side(self) -> int:
        """The learned position embeddings form a square with so many rows and columns."""
        return int(self.num_position_embeddings**0.5)

    @property
    def patch_values(self) -> int:
        """Numbers in one flattened patch."""
        return self.in_channels * self.temporal_patch_size * self.patch_size**2


@dataclass(frozen=True, slots=True)
class TextConfig:
    """Sizes of the language model, in the words of the checkpoint."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_size: int
    rms_norm_eps: float
    rope_theta: float
    mrope_section: tuple[int, int, int]
    attention_bias: bool
    max_positions: int
    tied: bool


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A whole model.

    Attributes:
        vision: of the vision transformer.
        text: of the language model.
        image_token: id of the token that stands for one tile.
        end_tokens: ids that end an answer, as far as `config.json` tells.
    """

    vision: VisionConfig
    text: TextConfig
    image_token: int
    end_tokens: tuple[int, ...]

    @classmethod
    def read(cls, folder: str) -> "ModelConfig":
        """Read the `config.json` of a checkpoint or of a model directory.

        Raises:
            ModelError: when there is none, or it is of a model that is not supported.
        """
        path = os.path.join(folder, CONFIG)
        text = read_json(path)
        if text is None:
            raise ModelError(f"{folder} is not a checkpoint: it has no {CONFIG}")
        try:
            return cls.from_json(text)
        except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise ModelError(f"{path}: {what}") from error

    @classmethod
    def from_json(cls, text: dict[str, Any]) -> "ModelConfig":
        """The configuration that a parsed `config.json` gives.

        Raises:
            ModelError: for a model that is not supported.
            KeyError, TypeError, ValueError: for values that are missing or make no sense.
        """
        _refuse_other_architectures(text)
        vision, language = text["vision_config"], text["text_config"]
        tied = text.get("tie_word_embeddings", language.get("tie_word_embeddings", False))
        ends = text.get("eos_token_id", language.get("eos_token_id"))
        return cls(
            _vision(vision), _language(language, bool(tied)), text["image_token_id"], ids(ends)
        )


def ids(value: Any) -> tuple[int, ...]:  # noqa: ANN401
    """Token ids that end an answer, written as one number, as a list, or not at all.

    Raises:
        ValueError: for what is no id.
    """
    listed = value if isinstance(value, list) else [] if value is None else [value]
    for one in listed:
        if type(one) is not int or one < 0:
            raise ValueError(
                f"eos_token_id is {value!r}; it must be the id of a token, a number such as "
                "151645, or a list of them"
            )
    return tuple(listed)


def _refuse_other_architectures(text: dict[str, Any]) -> None:
    named, kind = text.get("architectures"), text.get("model_type")
    if named and not (isinstance(named, list) and isinstance(named[0], str)):
        raise ModelError("architectures is to be a list of names")
    if named and named[0] not in (*ARCHITECTURES, _INNER):
        raise ModelError(
            f"the architecture {named[0]} is not supported; supported: {', '.join(ARCHITECTURES)}"
        )
    if kind != MODEL_TYPE and not (named and kind is None):
        raise ModelError(f"the model type {kind} is not supported; supported: {MODEL_TYPE}")


def _vision(text: dict[str, Any]) -> VisionConfig:
    rope = _rope(text)
    config = VisionConfig(
        depth=text["depth"],
        hidden_size=text["hidden_size"],
        intermediate_size=text["intermediate_size"],
        num_heads=text["num_heads"],
        in_channels=text.get("in_channels", 3),
        patch_size=text["patch_size"],
        merge_size=text["spatial_merge_size"],
        temporal_patch_size=text["temporal_patch_size"],
        out_hidden_size=text["out_hidden_size"],
        num_position_embeddings=text["num_position_embeddings"],
        deepstack=tuple(text["deepstack_visual_indexes"]),
        rope_theta=float(rope.get("rope_theta", _VISION_THETA)),
        activation=_activation("vision", text),
    )
    if config.positions_per_side**2 != config.num_position_embeddings:
        raise ValueError("num_position_embeddings is not a square number")
    if any(not 0 <= layer < config.depth for layer in config.deepstack):
        raise ValueError("deepstack_visual_indexes names a layer that is not there")
    return config


def _language(text: dict[str, Any], tied: bool) -> TextConfig:
    rope = _rope(text)
    theta = rope.get("rope_theta", text.get("rope_theta"))
    if theta is None:
        raise KeyError("rope_theta")
    heads = text["num_attention_heads"]
    head_size = text.get("head_dim") or text["hidden_size"] // heads
    section = tuple(rope.get("mrope_section", _DEFAULT_MROPE_SECTION))
    if sum(section) != head_size // 2:
        raise ValueError(f"mrope_section {list(section)} does not add up to {head_size // 2}")
    _activation("text", text)
    return TextConfig(
        vocab_size=text["vocab_size"],
        hidden_size=text["hidden_size"],
        intermediate_size=text["intermediate_size"],
        num_layers=text["num_hidden_layers"],
        num_heads=heads,
        num_kv_heads=text.get("num_key_value_heads") or heads,
        head_size=head_size,
        rms_norm_eps=text["rms_norm_eps"],
        rope_theta=float(theta),
        mrope_section=section,
        attention_bias=bool(text.get("attention_bias", False)),
        max_positions=text["max_position_embeddings"],
        tied=tied,
    )


def _rope(text: dict[str, Any]) -> dict[str, Any]:
    """The settings of the rotary embedding: newer checkpoints say `rope_parameters`."""
    rope: dict[str, Any] = text.get("rope_parameters") or text.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in _ROPE_TYPES:
        raise ModelError(f"rotary embeddings of type {kind} are not supported")
    if not rope.get("mrope_interleaved", True):
        raise ModelError("rotary embeddings that are not interleaved are not supported")
    return rope


def _activation(part: str, text: dict[str, Any]) -> str:
    name: str = text["hidden_act"]
    if name not in _ACTIVATIONS[part]:
        known = ", ".join(_ACTIVATIONS[part])
        raise ModelError(f"the activation {name} is not supported in {part}; supported: {known}")
    return name
