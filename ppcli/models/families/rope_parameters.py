"""Reads the rotary position embeddings (RoPE) of a `config.json`, in all their spellings.

Of several spellings the one that transformers reads is read. Where versions of transformers, or
other programs, read another one and the two differ, the checkpoint is refused.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppcli.errors import ModelError, bounded
from ppcli.models.config_section import ConfigSection

_KEYS = frozenset({"rope_type", "type", "rope_theta"})
_MROPE_KEYS = frozenset({"mrope_section", "mrope_interleaved"})
_YARN_KEYS = frozenset(
    {
        "factor",
        "original_max_position_embeddings",
        "attention_factor",
        "beta_fast",
        "beta_slow",
        "mscale",
        "mscale_all_dim",
        "truncate",
    }
)
_SYNONYMS = (["default", "mrope"], ["mrope", "default"])
# Keys of the section that holds a transformer's sizes, beside or around the parameters.
ROPE_KEYS = ("rope_scaling", "rope_parameters", "rope_theta", "partial_rotary_factor")
_ORIGINAL = "original_max_position_embeddings"
_SHARE = "partial_rotary_factor"


@dataclass(frozen=True, slots=True)
class Yarn:
    """YaRN: low frequencies are lowered, so that a model reaches beyond its training context.

    Attributes:
        factor: by which the context is extended.
        original: positions of the training context.
        attention_factor: multiplies cosines and sines.
        beta_fast: a pair of channels with more rotations within `original` keeps its frequency.
        beta_slow: a pair with fewer rotations gets its frequency divided by `factor`.
        truncate: whether the bounds between the two are rounded to whole pairs.
    """

    factor: float
    original: int
    attention_factor: float
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True


@dataclass(frozen=True, slots=True)
class Rope:
    """The rotary position embedding of a transformer.

    Attributes:
        theta: its base.
        section: `mrope_section` as written; None if it is missing.
        yarn: None if frequencies are not scaled.
        interleaved: whether the axes of M-RoPE alternate from pair to pair.
        share: of the channels of a head that are rotated, from 0 to 1.
    """

    theta: float
    section: tuple[int, ...] | None = None
    yarn: Yarn | None = None
    interleaved: bool = True
    share: float = 1.0


def inverse_frequencies(theta: float, size: int, yarn: Yarn | None = None) -> NDArray[np.float32]:
    """Compute by which angle each pair of channels is rotated per position.

    Args:
        theta: the base.
        size: number of rotated channels, even.
        yarn: scaling of the frequencies.

    Returns:
        float32 (size/2,), radians, the same on every machine.
    """
    steps = np.arange(0, size, 2, dtype=np.float32) / np.float32(size)
    powers = (np.float64(theta) ** steps.astype(np.float64)).astype(np.float32)
    plain: NDArray[np.float32] = np.float32(1) / powers
    if yarn is None:
        return plain
    slow = np.float32(1) / (np.float32(yarn.factor) * powers)
    low, high = _yarn_bounds(theta, size, yarn)
    ramp = (np.arange(size // 2, dtype=np.float32) - np.float32(low)) / np.float32(high - low)
    kept = np.float32(1) - np.clip(ramp, np.float32(0), np.float32(1))
    mixed: NDArray[np.float32] = slow * (np.float32(1) - kept) + plain * kept
    return mixed


def _yarn_bounds(theta: float, size: int, yarn: Yarn) -> tuple[float, float]:
    """The pairs of channels between which YaRN interpolates."""

    def pair_with(rotations: float) -> float:
        return size * math.log(yarn.original / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low, high = pair_with(yarn.beta_fast), pair_with(yarn.beta_slow)
    if yarn.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, size - 1)
    return low, high + 0.001 if low == high else high


def read_rope(
    section: ConfigSection,
    plain_types: Collection[str],
    default_theta: float | None = None,
    max_positions: int | None = None,
    default_share: float | None = None,
    default_interleaved: bool = True,
) -> Rope:
    """Read the rotary embedding of a section of `config.json`.

    Args:
        section: the section with the sizes of the transformer.
        plain_types: supported values of `rope_type` without scaling.
        default_theta: the base if none is written; None if one is required.
        max_positions: of a language model, which may use M-RoPE and YaRN; None for a vision
            transformer, which may not.
        default_share: of the channels that are rotated, if `partial_rotary_factor` is not written;
            None if all must be.
        default_interleaved: whether the axes of M-RoPE alternate, if `mrope_interleaved` is not
            written.

    Raises:
        ModelError: for a type or a key that is not supported, or for contradicting values.
        ValueError: for a value that is missing or out of range.
    """
    found = _effective_section(section)
    kind = _rope_type(found)
    is_yarn = kind == "yarn" and max_positions is not None
    if kind not in plain_types and not is_yarn:
        raise ModelError(
            f"{found.name}: rotary embeddings of type {bounded(kind)} are not supported"
        )
    known = _KEYS | (_MROPE_KEYS if max_positions is not None else frozenset())
    known |= frozenset() if default_share is None else {_SHARE}
    _refuse_unknown_keys(found, kind, known | _YARN_KEYS if is_yarn else known)
    share = _share(section, found, default_share)
    theta = _theta(section, found, default_theta)
    written = found.get("mrope_section")
    interleaved = found.flag("mrope_interleaved", default_interleaved)
    mrope = None if written is None else found.whole_numbers("mrope_section")
    yarn = _yarn(section, found, max_positions) if is_yarn else None
    if yarn is not None and theta <= 1:
        raise ValueError(f"{found.name}: YaRN needs a rope_theta above 1")
    return Rope(theta, mrope, yarn, interleaved, share)


def refuse_top_level_rope(config: dict[str, Any], text_config: dict[str, Any]) -> None:
    """Refuse RoPE settings at the top level, where no program reads them.

    Raises:
        ModelError: for the first that is not repeated in `text_config`.
    """
    for key in ROPE_KEYS:
        value = config.get(key)
        if value is not None and value != text_config.get(key):
            raise ModelError(
                f"{key} at the top level is not read, nor does transformers read it; "
                "move it into text_config"
            )


def _effective_section(section: ConfigSection) -> ConfigSection:
    """The object that transformers reads: `rope_scaling` if it is not empty."""
    for key in ("rope_scaling", "rope_parameters"):
        value = section.get(key)
        if value:
            return ConfigSection.of(f"{section.name}.{key}", value)
    return ConfigSection(f"{section.name}.rope_parameters", {})


def _rope_type(found: ConfigSection) -> str:
    newer, older = found.get("rope_type"), found.get("type")
    kind = newer if newer is not None else older if older is not None else "default"
    if not isinstance(kind, str):
        raise ValueError(f"{found.name}.rope_type must be a string")
    if older not in (None, kind) and [kind, older] not in _SYNONYMS:
        both = f"rope_type {bounded(kind)} and type {bounded(str(older))}"
        raise ModelError(f"{found.name} has both {both}; remove one")
    return kind


def _refuse_unknown_keys(found: ConfigSection, kind: str, known: frozenset[str]) -> None:
    for key, value in found.values.items():
        harmless = value is None or (key == _SHARE and value == 1)
        if key not in known and not harmless:
            raise ModelError(
                f"{found.name}.{bounded(key)} is not supported with rotary embeddings of type "
                f"{kind}"
            )


def _share(section: ConfigSection, found: ConfigSection, default: float | None) -> float:
    """The share of rotated channels, from within the parameters or from beside them."""
    within, beside = found.get(_SHARE), section.get(_SHARE)
    if default is None:
        if beside not in (None, 1):
            raise ModelError(f"{section.name}: a {_SHARE} is not supported")
        return 1.0
    if None not in (within, beside) and within != beside:
        both = " and ".join(bounded(str(one)) for one in (within, beside))
        raise ModelError(f"{section.name} has two values of {_SHARE}, {both}; remove the wrong one")
    share = (section if within is None else found).number(_SHARE, default)
    if share > 1:
        raise ValueError(f"{found.name}.{_SHARE} must be at most 1")
    return share


def _theta(section: ConfigSection, found: ConfigSection, default: float | None) -> float:
    """The base, from within the parameters or from beside them."""
    written = [
        ConfigSection(name, values).number("rope_theta")
        for name, values in (
            (found.name, found.values),
            (section.name, section.values),
            *(
                (f"{section.name}.{key}", section.get(key))
                for key in ("rope_scaling", "rope_parameters")
            ),
        )
        if isinstance(values, dict) and values.get("rope_theta") is not None
    ]
    if len(set(written)) > 1:
        raise ModelError(
            f"{section.name} has several values of rope_theta, among them {written[0]:g} and "
            f"{written[1]:g}; remove the wrong ones"
        )
    if found.get("rope_theta") is None and section.get("rope_theta") is None:
        if default is None or written:
            raise ValueError(f"{found.name}.rope_theta is missing")
        return default
    return written[0]


def _yarn(section: ConfigSection, found: ConfigSection, max_positions: int | None) -> Yarn:
    factor = found.number("factor")
    if factor < 1:
        raise ValueError(f"{found.name}.factor must be at least 1")
    within, beside = found.get(_ORIGINAL), section.get(_ORIGINAL)
    if None not in (within, beside) and within != beside:
        both = " and ".join(bounded(str(one)) for one in (within, beside))
        raise ModelError(f"{section.name} has two values of {_ORIGINAL}, {both}")
    original = (section if within is None else found).integer(_ORIGINAL, max_positions)
    fast, slow = found.number("beta_fast", 32), found.number("beta_slow", 1)
    if fast < slow:
        raise ValueError(f"{found.name}.beta_fast must be above beta_slow")
    factors = _attention_factor(found, factor)
    return Yarn(factor, original, factors, fast, slow, found.flag("truncate", True))


def _attention_factor(found: ConfigSection, factor: float) -> float:
    if found.get("attention_factor") is not None:
        return found.number("attention_factor")

    def scaled(weight: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0

    if found.get("mscale") and found.get("mscale_all_dim"):
        return scaled(found.number("mscale")) / scaled(found.number("mscale_all_dim"))
    return scaled(1.0)
