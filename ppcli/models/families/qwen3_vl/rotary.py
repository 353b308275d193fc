"""How positions turn queries and keys: what `config.json` says of it, in all its spellings.

Where transformers reads one of several spellings, that one is read here; where versions of it or
other programs read another, and the two differ, the checkpoint is refused.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppcli.errors import ModelError, bounded
from ppcli.models.json_section import Section

_PLAIN = {"text_config": ("default", "mrope"), "vision_config": ("default", "axial")}
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
_SAME = (["default", "mrope"], ["mrope", "default"])
BESIDE = ("rope_scaling", "rope_parameters", "rope_theta", "partial_rotary_factor")
_ORIGINAL = "original_max_position_embeddings"


@dataclass(frozen=True, slots=True)
class Yarn:
    """YaRN: slow frequencies are slowed down, so that a model reaches further than it learnt.

    Attributes:
        factor: by which it reaches further.
        original: positions that it learnt.
        attention_factor: of cosines and sines.
        beta_fast: turns within `original` from which a frequency stays as it is.
        beta_slow: turns up to which it is slowed down by the whole factor.
        truncate: whether the bounds between the two are whole numbers.
    """

    factor: float
    original: int
    attention_factor: float
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True


@dataclass(frozen=True, slots=True)
class Rope:
    """The rotary embedding of a transformer.

    Attributes:
        theta: its base.
        section: of M-RoPE, as it is written; None where it is not.
        yarn: None for frequencies as they are.
    """

    theta: float
    section: tuple[int, ...] | None = None
    yarn: Yarn | None = None


def speeds(theta: float, size: int, yarn: Yarn | None = None) -> NDArray[np.float32]:
    """What each pair of channels turns by for one position.

    Args:
        theta: the base.
        size: channels that are turned, an even number.
        yarn: what slows them down.

    Returns:
        float32 (size/2,), radians, the same on every processor.
    """
    steps = np.arange(0, size, 2, dtype=np.float32) / np.float32(size)
    powers = (np.float64(theta) ** steps.astype(np.float64)).astype(np.float32)
    plain: NDArray[np.float32] = np.float32(1) / powers
    if yarn is None:
        return plain
    slow = np.float32(1) / (np.float32(yarn.factor) * powers)
    low, high = _bounds(theta, size, yarn)
    ramp = (np.arange(size // 2, dtype=np.float32) - np.float32(low)) / np.float32(high - low)
    kept = np.float32(1) - np.clip(ramp, np.float32(0), np.float32(1))
    mixed: NDArray[np.float32] = slow * (np.float32(1) - kept) + plain * kept
    return mixed


def _bounds(theta: float, size: int, yarn: Yarn) -> tuple[float, float]:
    """The pairs of channels between which YaRN goes over from one to the other."""

    def pair_of(turns: float) -> float:
        return size * math.log(yarn.original / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low, high = pair_of(yarn.beta_fast), pair_of(yarn.beta_slow)
    if yarn.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, size - 1)
    return low, high + 0.001 if low == high else high


def rope_of(section: Section, default_theta: float | None, max_positions: int) -> Rope:
    """Read the rotary embedding of a section of `config.json`.

    Args:
        section: `text_config` or `vision_config`.
        default_theta: the base where none is written; None if there has to be one.
        max_positions: of the model.

    Raises:
        ModelError: for a kind that is not supported, or a key that is not understood.
        ValueError: for values that make no sense.
    """
    found = _chosen(section)
    plain = _PLAIN[section.name]
    kind = _kind(found)
    if kind not in plain and (kind, section.name) != ("yarn", "text_config"):
        raise ModelError(
            f"{found.name}: rotary embeddings of type {bounded(kind)} are not supported"
        )
    known = _KEYS | (_MROPE_KEYS if section.name == "text_config" else frozenset())
    _refuse_unknown(found, kind, known | _YARN_KEYS if kind == "yarn" else known)
    if section.get("partial_rotary_factor") not in (None, 1):
        raise ModelError(f"{section.name}: a partial_rotary_factor is not supported")
    theta = _theta(section, found, default_theta)
    written = found.get("mrope_section")
    if not found.flag("mrope_interleaved", True):
        raise ModelError("rotary embeddings that are not interleaved are not supported")
    mrope = None if written is None else found.whole_numbers("mrope_section")
    yarn = _yarn(section, found, max_positions) if kind == "yarn" else None
    if yarn is not None and theta <= 1:
        raise ValueError(f"{found.name}: YaRN needs a rope_theta above 1")
    return Rope(theta, mrope, yarn)


def refuse_at_the_top(whole: dict[str, Any], text: dict[str, Any]) -> None:
    """Refuse settings of the rotary embedding where nobody reads them: they were meant.

    Raises:
        ModelError: naming the first that is not within `text_config` as well.
    """
    for key in BESIDE:
        value = whole.get(key)
        if value is not None and value != text.get(key):
            raise ModelError(
                f"{key} at the top level is not read, by transformers neither; "
                "it belongs into text_config"
            )


def _chosen(section: Section) -> Section:
    """The object that counts: `rope_scaling` where it is there, as transformers has it."""
    for key in ("rope_scaling", "rope_parameters"):
        value = section.get(key)
        if value:
            return Section.of(f"{section.name}.{key}", value)
    return Section(f"{section.name}.rope_parameters", {})


def _kind(found: Section) -> str:
    newer, older = found.get("rope_type"), found.get("type")
    kind = newer if newer is not None else older if older is not None else "default"
    if not isinstance(kind, str):
        raise ValueError(f"{found.name}.rope_type is to be a text")
    if older not in (None, kind) and [kind, older] not in _SAME:
        both = f"rope_type {bounded(kind)} and type {bounded(str(older))}"
        raise ModelError(f"{found.name} says {both}; remove one")
    return kind


def _refuse_unknown(found: Section, kind: str, known: frozenset[str]) -> None:
    for key, value in found.values.items():
        harmless = value is None or (key == "partial_rotary_factor" and value == 1)
        if key not in known and not harmless:
            raise ModelError(
                f"{found.name}.{bounded(key)} is not supported with rotary embeddings of type "
                f"{kind}"
            )


def _theta(section: Section, found: Section, default: float | None) -> float:
    """The base: within the object, or else beside it, but nowhere another one."""
    written = [
        Section(name, values).number("rope_theta")
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
            f"{section.name} gives several rope_theta, {written[0]:g} and {written[1]:g} among "
            "them; remove those that are wrong"
        )
    if found.get("rope_theta") is None and section.get("rope_theta") is None:
        if default is None or written:
            raise ValueError(f"{found.name}.rope_theta is missing")
        return default
    return written[0]


def _yarn(section: Section, found: Section, max_positions: int) -> Yarn:
    factor = found.number("factor")
    if factor < 1:
        raise ValueError(f"{found.name}.factor is to be 1 or more")
    within, beside = found.get(_ORIGINAL), section.get(_ORIGINAL)
    if None not in (within, beside) and within != beside:
        both = " and ".join(bounded(str(one)) for one in (within, beside))
        raise ModelError(f"{section.name} gives two {_ORIGINAL}, {both}")
    original = (section if within is None else found).integer(_ORIGINAL, max_positions)
    fast, slow = found.number("beta_fast", 32), found.number("beta_slow", 1)
    if fast < slow:
        raise ValueError(f"{found.name}.beta_fast is to be above beta_slow")
    factors = _attention_factor(found, factor)
    return Yarn(factor, original, factors, fast, slow, found.flag("truncate", True))


def _attention_factor(found: Section, factor: float) -> float:
    """What cosines and sines are multiplied by."""
    if found.get("attention_factor") is not None:
        return found.number("attention_factor")

    def grown(weight: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0

    if found.get("mscale") and found.get("mscale_all_dim"):
        return grown(found.number("mscale")) / grown(found.number("mscale_all_dim"))
    return grown(1.0)
