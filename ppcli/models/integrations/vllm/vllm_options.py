"""How images are pruned inside vLLM, as engine and requests spell it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from typing import Any

from ppcli.arguments import as_bool, describe_value, parse_choice
from ppcli.coding.coder_options import CoderOptions, coder_for_models, parse_threshold
from ppcli.coding.sequence_options import Direction, sequence_for_models
from ppcli.errors import UsageError, bounded, did_you_mean

OPTION = "pixelprune"
_DEFAULTS: Mapping[str, Any] = {
    "method": "pred_2d",
    "metric": "max",
    "threshold": 0.0,
    "mode": "anchored",
    "sequence": None,
    "enabled": True,
    "preparation": "pixelprune",
}


class Preparation(StrEnum):
    """What decodes and fits images, and makes pixel values of them."""

    PIXELPRUNE = "pixelprune"
    HUGGINGFACE = "huggingface"


@dataclass(frozen=True, slots=True)
class PruningOptions:
    """How the images of a request are pruned.

    Attributes:
        coder: which tiles are kept.
        sequence: whether the images of a request are frames of a sequence; None if each stands by
            itself, or nothing is pruned.
        enabled: False keeps every tile, for comparison.
        preparation: `pixelprune` prepares images as `pixelprune infer` does; `huggingface` prunes
            what the image processor of Hugging Face gives, whatever vLLM loads.
    """

    coder: CoderOptions
    sequence: Direction | None
    enabled: bool
    preparation: Preparation

    @classmethod
    def merged(cls, *given: object) -> "PruningOptions":
        """Merge the options of engine and request.

        Args:
            given: mappings with some of the keys `method`, `metric`, `threshold` (a number, or
                text such as "3/255"), `mode`, `enabled` and `preparation`, or None. A later
                mapping replaces the values of an earlier one.

        Raises:
            UsageError: a mapping is something else, or holds an unknown key or an invalid value.
        """
        values = dict(_DEFAULTS)
        for options in given:
            values |= _checked(options)
        threshold = values["threshold"]
        if isinstance(threshold, str):
            threshold = parse_threshold(threshold)
        try:
            coder = coder_for_models(values["method"], values["metric"], threshold, values["mode"])
            sequence = sequence_for_models(values["sequence"], coder)
        except UsageError as error:
            raise UsageError(f"{OPTION}: {error}") from error
        enabled = as_bool(values["enabled"], f"{OPTION}: enabled")
        return cls(
            coder,
            sequence if enabled else None,
            enabled,
            parse_choice(Preparation, f"{OPTION} preparation", values["preparation"]),
        )

    @property
    def key(self) -> str:
        """Text that differs where prepared images may differ; it enters the hashes of caches.

        What an image of a sequence is compared with enters by `chained`.
        """
        coder = self.coder
        how = f"{coder.method} {coder.metric} {coder.mode} {coder.threshold!r}"
        return f"{self.preparation} {how if self.enabled else 'whole'}"


def chained(hashes: Sequence[str], sequence: Direction) -> list[str]:
    """Return hashes that also say which images are coded before an image of a sequence.

    The first one coded, which depends on no other, keeps its hash.

    Args:
        hashes: of the images by themselves, in the order of the request.
        sequence: forward, the first image is coded first; in reverse, the last one.
    """
    if sequence is Direction.FORWARD:
        return list(accumulate(hashes, _behind))
    return list(accumulate(reversed(hashes), _behind))[::-1]


def _behind(before: str, image: str) -> str:
    return hashlib.sha256(json.dumps([before, image]).encode()).hexdigest()


def _checked(options: object) -> Mapping[str, Any]:
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise UsageError(
            f"{OPTION} is {describe_value(options)}; it must be an object such as "
            '{"threshold": "3/255"}'
        )
    for name in options:
        if name not in _DEFAULTS:
            shown = bounded(str(name))
            raise UsageError(
                f"{OPTION} has no option '{shown}'; known: {', '.join(_DEFAULTS)}"
                f"{did_you_mean(shown, _DEFAULTS)}"
            )
    return options
