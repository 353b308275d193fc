"""What `config.json` says of a Qwen3-VL model."""

import os
from dataclasses import dataclass
from typing import Any

from ppcli.errors import ModelError, bounded
from ppcli.models.families.qwen3_vl.rotary import Rope, Yarn, refuse_at_the_top, rope_of
from ppcli.models.json_section import Section
from ppcli.models.model_files import read_json

ARCHITECTURES = ("Qwen3VLForConditionalGeneration",)
MODEL_TYPE = "qwen3_vl"
CONFIG = "config.json"
_INNER = "Qwen3VLModel"  # what it saves has the names of its tensors without `model.`
_ACTIVATIONS = {"vision": ("gelu_pytorch_tanh", "gelu"), "text": ("silu",)}
_MROPE_SECTION, _HEAD_SIZE, _KV_HEADS = (24, 20, 20), 128, 32  # where none is written
_MOST_LAYERS, _MOST_SIZE, _MOST_SIDE = 1000, 1 << 24, 1 << 10
_VISION_THETA, _COLOURS = 10_000.0, 3


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
    yarn: Yarn | None = None


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
        except (ModelError, ValueError, OverflowError) as error:
            raise ModelError(f"{path}: {error}") from error

    @classmethod
    def from_json(cls, text: dict[str, Any]) -> "ModelConfig":
        """The configuration that a parsed `config.json` gives.

        Raises:
            ModelError: for a model that is not supported.
            ValueError: for values that are missing or make no sense.
        """
        _refuse_other_architectures(text)
        vision = Section.of("vision_config", text.get("vision_config"))
        language = Section.of("text_config", text.get("text_config"))
        refuse_at_the_top(text, language.values)
        ends = text.get("eos_token_id")
        config = cls(
            _vision(vision),
            _language(language, any(ties(text)[:1])),
            _image_token(text),
            ids(language.get("eos_token_id") if ends is None else ends),
        )
        if config.vision.out_hidden_size != config.text.hidden_size:
            raise ValueError("out_hidden_size of vision_config is not hidden_size of text_config")
        return config


def ties(text: dict[str, Any]) -> list[bool]:
    """What a `config.json` says of the head, whether it is the embedding: what counts comes first.

    Raises:
        ValueError: when it is neither yes nor no.
    """
    sections = Section("", text), Section.of("text_config", text.get("text_config"))
    key = "tie_word_embeddings"
    return [one.flag(key, False) for one in sections if one.get(key) is not None]


def _image_token(text: dict[str, Any]) -> int:
    token = text.get("image_token_id")
    if type(token) is not int or token < 0:
        raise ValueError("image_token_id is missing, or no id of a token")
    return token


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
            f"the architecture {bounded(named[0])} is not supported; "
            f"supported: {', '.join(ARCHITECTURES)}"
        )
    if kind != MODEL_TYPE and not (named and kind is None):
        raise ModelError(
            f"the model type {bounded(str(kind))} is not supported; supported: {MODEL_TYPE}"
        )


def _vision(section: Section) -> VisionConfig:
    depth = _aliased(section, "depth", "num_hidden_layers", _MOST_LAYERS)
    heads = _aliased(section, "num_heads", "num_attention_heads", _MOST_SIZE)
    config = VisionConfig(
        depth=depth,
        hidden_size=section.integer("hidden_size", most=_MOST_SIZE),
        intermediate_size=section.integer("intermediate_size", most=_MOST_SIZE),
        num_heads=heads,
        in_channels=section.integer("in_channels", _COLOURS, _COLOURS),
        patch_size=section.integer("patch_size", most=_MOST_SIDE),
        merge_size=section.integer("spatial_merge_size", most=_MOST_SIDE),
        temporal_patch_size=section.integer("temporal_patch_size", most=_MOST_SIDE),
        out_hidden_size=section.integer("out_hidden_size", most=_MOST_SIZE),
        num_position_embeddings=section.integer("num_position_embeddings", most=_MOST_SIZE),
        deepstack=section.whole_numbers("deepstack_visual_indexes"),
        rope_theta=rope_of(section, _VISION_THETA, 0).theta,
        activation=_activation("vision", section),
    )
    if config.in_channels != _COLOURS:
        raise ValueError("in_channels is not 3; images have three colours here")
    if config.hidden_size % heads or config.head_size % 4:
        raise ValueError("vision_config.hidden_size is not made of heads of a multiple of 4")
    if section.get("head_dim") not in (None, config.head_size):
        raise ValueError("vision_config.head_dim is not hidden_size by num_heads")
    if config.positions_per_side**2 != config.num_position_embeddings:
        raise ValueError("num_position_embeddings is not a square number")
    if any(layer >= depth for layer in config.deepstack):
        raise ValueError("deepstack_visual_indexes names a layer that is not there")
    if len(set(config.deepstack)) < len(config.deepstack):
        raise ValueError("deepstack_visual_indexes names a layer twice")
    return config


def _language(section: Section, tied: bool) -> TextConfig:
    heads = section.integer("num_attention_heads", most=_MOST_SIZE)
    max_positions = section.integer("max_position_embeddings")
    rope = rope_of(section, None, max_positions)
    _activation("text", section)
    config = TextConfig(
        vocab_size=section.integer("vocab_size", most=_MOST_SIZE),
        hidden_size=section.integer("hidden_size", most=_MOST_SIZE),
        intermediate_size=section.integer("intermediate_size", most=_MOST_SIZE),
        num_layers=section.integer("num_hidden_layers", most=_MOST_LAYERS),
        num_heads=heads,
        num_kv_heads=_kv_heads(section, heads),
        head_size=section.integer("head_dim", _HEAD_SIZE, _MOST_SIZE),
        rms_norm_eps=section.number("rms_norm_eps"),
        rope_theta=rope.theta,
        mrope_section=_mrope(rope),
        attention_bias=section.flag("attention_bias", False),
        max_positions=max_positions,
        tied=tied,
        yarn=rope.yarn,
    )
    if sum(config.mrope_section) != config.head_size // 2 or config.head_size % 2:
        half = config.head_size / 2
        raise ValueError(f"mrope_section {config.mrope_section} does not add up to {half:g}")
    if heads % config.num_kv_heads:
        raise ValueError("num_attention_heads is not a multiple of num_key_value_heads")
    return config


def _kv_heads(section: Section, heads: int) -> int:
    """Null is as many as there are heads; what is not written is what transformers takes then."""
    unwritten = _KV_HEADS if "num_key_value_heads" not in section.values else heads
    return section.integer("num_key_value_heads", unwritten, _MOST_SIZE)


def _mrope(rope: Rope) -> tuple[int, int, int]:
    match rope.section:
        case None:
            return _MROPE_SECTION
        case (time, row, column):
            return time, row, column
    raise ValueError("mrope_section is to be three numbers")


def _aliased(section: Section, name: str, alias: str, most: int) -> int:
    """A number that transformers takes under two names."""
    if section.get(alias) is None:
        return section.integer(name, most=most)
    value = section.integer(alias, most=most)
    if section.get(name) not in (None, value):
        raise ModelError(f"{section.name} gives two numbers, {name} and {alias}; remove one")
    return value


def _activation(part: str, section: Section) -> str:
    name = section.get("hidden_act")
    if name not in _ACTIVATIONS[part]:
        known = ", ".join(_ACTIVATIONS[part])
        raise ModelError(
            f"the activation {bounded(str(name))} is not supported in {part}; supported: {known}"
        )
    return str(name)
