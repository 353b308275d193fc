"""Reads the settings of a `config.json` that families share."""

from collections.abc import Collection
from typing import Any

from ppcli.errors import ModelError, bounded
from ppcli.models.config_section import ConfigSection, flags_in
from ppcli.models.families.rope_parameters import Rope

MAX_LAYERS, MAX_SIZE, MAX_SIDE = 1000, 1 << 24, 1 << 10
CHANNELS = 3


def image_token(config: dict[str, Any]) -> int:
    """Read the id of the token that stands for one tile.

    Raises:
        ValueError: if it is missing or not the id of a token.
    """
    token = config.get("image_token_id")
    if type(token) is not int or token < 0:
        raise ValueError("image_token_id is missing, or not the id of a token")
    return token


def tied_flags(config: dict[str, Any]) -> list[bool]:
    """Read `tie_word_embeddings`, which may be set at the top level, in `text_config`, or in both.

    Args:
        config: the parsed file.

    Returns:
        The flags that are set; the first is the one that transformers reads.

    Raises:
        ValueError: if one is neither true nor false.
    """
    sections = [ConfigSection("", config)]
    if config.get("text_config") is not None:
        sections.append(ConfigSection.of("text_config", config["text_config"]))
    return flags_in(sections, "tie_word_embeddings")


def aliased(section: ConfigSection, name: str, alias: str, most: int) -> int:
    """Read a number that transformers accepts under two names.

    Args:
        section: that has it.
        name: its name in the published checkpoints.
        alias: its other name.
        most: the largest value.

    Raises:
        ModelError: if the section has both, with different values.
        ValueError: if the number is missing or out of range.
    """
    if section.get(alias) is None:
        return section.integer(name, most=most)
    value = section.integer(alias, most=most)
    if section.get(name) not in (None, value):
        raise ModelError(f"{section.name} has two values, {name} and {alias}; remove one")
    return value


def activation(section: ConfigSection, part: str, supported: Collection[str]) -> str:
    """Read `hidden_act`.

    Args:
        section: that has it.
        part: what the message calls the transformer.
        supported: names of the activations that its graph knows.

    Raises:
        ModelError: for another one.
    """
    name = section.get("hidden_act")
    if name not in supported:
        known = ", ".join(supported)
        raise ModelError(
            f"the activation {bounded(str(name))} is not supported in {part}; supported: {known}"
        )
    return str(name)


def kv_heads(section: ConfigSection, heads: int, default: int) -> int:
    """Read the number of key-value heads.

    Args:
        section: that has it. Null means one for each head of attention.
        heads: of attention.
        default: transformers' own, for a missing key.

    Raises:
        ValueError: if it is out of range.
    """
    if "num_key_value_heads" in section.values:
        default = heads
    return section.integer("num_key_value_heads", default, MAX_SIZE)


def mrope_section(rope: Rope, default: tuple[int, int, int]) -> tuple[int, int, int]:
    """Pairs of channels that follow the time, the row and the column.

    Args:
        rope: the rotary embedding that was read.
        default: transformers' own, if the section is not written.

    Raises:
        ValueError: if these are not three numbers.
    """
    match rope.section:
        case None:
            return default
        case (time, row, column):
            return time, row, column
    raise ValueError("mrope_section must be three numbers")
