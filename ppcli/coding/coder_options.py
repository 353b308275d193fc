"""How the coder is asked to work. Imports nothing heavy: the command line reads its choices."""

import math
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from typing import TypeVar

from ppcli.arguments import as_bool, as_fraction, as_int, describe_value
from ppcli.errors import UsageError, bounded, did_you_mean

_Choice = TypeVar("_Choice", bound=StrEnum)


class Method(StrEnum):
    """Which tiles are predicted from which; DESIGN section 3."""

    PRED_2D = "pred_2d"
    RASTER = "raster"
    SERPENTINE = "serpentine"
    CONNCOMP = "conncomp"
    RANDOM = "random"


class Metric(StrEnum):
    """The distance between two tiles, in units of full scale."""

    EXACT = "exact"
    MAX = "max"
    MAE = "mae"
    RMSE = "rmse"


class Mode(StrEnum):
    """What a tile is compared with: the rebuilt neighbours, or the source ones."""

    ANCHORED = "anchored"
    SLIDING = "sliding"


@dataclass(frozen=True, slots=True)
class CoderOptions:
    """The configuration of the coder.

    Attributes:
        method: the predictor.
        metric: the distance.
        mode: `anchored` (bounded error) or `sliding` (may drift). The same at threshold 0.
        threshold: τ in [0, 1]; tiles at a distance of at most τ are similar.
        skip_ratio: `conncomp` only, the share of each component that is pruned, in [0, 1].
        match_count: `conncomp` only, choose the skip_ratio that keeps about as many as pred_2d.
        seed: `random` only, not negative.

    Raises:
        UsageError: for a value out of range, or `exact` with a threshold other than 0.
    """

    method: Method = Method.PRED_2D
    metric: Metric = Metric.MAX
    mode: Mode = Mode.ANCHORED
    threshold: float = 0.0
    skip_ratio: float = 1.0
    match_count: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        plain = {
            "method": parse_choice(Method, "method", self.method),
            "metric": parse_choice(Metric, "metric", self.metric),
            "mode": parse_choice(Mode, "mode", self.mode),
            "threshold": as_fraction(self.threshold, "the threshold"),
            "skip_ratio": as_fraction(self.skip_ratio, "the skip ratio"),
            "match_count": as_bool(self.match_count, "match count"),
            "seed": as_int(self.seed, "the seed", 0),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        if self.metric is Metric.EXACT and self.threshold != 0:
            raise UsageError(
                f"metric exact means threshold 0, and the threshold is {self.threshold:g}; "
                "use metric max, mae or rmse with a threshold"
            )
        if self.match_count and self.method is not Method.CONNCOMP:
            raise UsageError(f"match count is for method conncomp, and the method is {self.method}")

    @property
    def decodable(self) -> bool:
        """Whether mask and kept tiles are enough to rebuild the raster (DESIGN section 3)."""
        if self.method is Method.PRED_2D:
            return self.mode is Mode.ANCHORED or self.threshold == 0
        return self.method in (Method.RASTER, Method.SERPENTINE)

    @property
    def unused_options(self) -> tuple[str, ...]:
        """The names of those attributes that the chosen method does not look at."""
        names: tuple[str, ...] = ()
        if self.method is not Method.CONNCOMP:
            names += ("skip_ratio", "match_count")
        return names if self.method is Method.RANDOM else (*names, "seed")

    @property
    def label(self) -> str:
        """A few words for messages: `pred_2d (sliding, max, threshold 0.03)`."""
        return f"{self.method} ({self.mode}, {self.metric}, threshold {self.threshold:g})"


def parse_choice(kind: type[_Choice], name: str, value: str) -> _Choice:
    """The member of `kind` that `value` spells.

    Raises:
        UsageError: naming the known ones.
    """
    try:
        return kind(value)
    except ValueError:
        known, shown = (
            ", ".join(kind),
            repr(value) if isinstance(value, str) else describe_value(value),
        )
        near = did_you_mean(bounded(str(value)), kind)
        raise UsageError(f"there is no {name} {shown}; known: {known}{near}") from None


def coder_for_models(method: str, metric: str, threshold: float, mode: str) -> CoderOptions:
    """What a Python program that feeds a model asks of the coder.

    Raises:
        UsageError: for an unknown name, a number out of range, or method random.
    """
    options = CoderOptions(
        parse_choice(Method, "method", method),
        parse_choice(Metric, "metric", metric),
        parse_choice(Mode, "mode", mode),
        threshold,
    )
    if options.method is Method.RANDOM:
        raise UsageError("method random is for experiments with the command line")
    return options


def parse_threshold(text: str) -> float:
    """Read τ written as a decimal (`0.03`) or as a fraction (`3/255`).

    Raises:
        UsageError: when the text is neither.
    """
    try:
        value = float(Fraction(text)) if "/" in text else float(text)
    except (ValueError, ZeroDivisionError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"the threshold {text!r} is not a number; write it like 0.03 or 3/255")
    if not 0 <= value <= 1:
        meant = f"; {text} levels of 255 are {text}/255" if value in range(2, 256) else ""
        raise UsageError(f"the threshold is {text}; it must be between 0 and 1{meant}")
    return value


@lru_cache
def distance_bound(metric: Metric, threshold: float, tile: int) -> int:
    """The largest integer distance at which two tiles of `tile`×`tile` RGB pixels are similar.

    DESIGN section 3: floor(255τ + 1e-6) for `max`, floor(255τ·n + 1e-6) for the sum of absolute
    differences, floor((255τ)²·n + 1e-6) for the sum of squares, n = tile·tile·3. Evaluated in
    exact rational arithmetic on the float, so that the bound does not depend on the machine or
    on the order of the operations. A float next to k/255 is taken for k/255, because above tiles
    of 160 pixels n enlarges its rounding error beyond the 1e-6.
    """
    scale = 255 * Fraction(float(threshold))
    if abs(scale - round(scale)) < Fraction(1, 10**9):
        scale = Fraction(round(scale))
    n = tile * tile * 3
    exact = {
        Metric.EXACT: Fraction(0),
        Metric.MAX: scale,
        Metric.MAE: scale * n,
        Metric.RMSE: scale * scale * n,
    }[metric]
    return math.floor(exact + Fraction(1, 1_000_000))


def require_decodable(options: CoderOptions) -> None:
    """Refuse the methods whose choices need source tiles.

    Raises:
        UsageError: for `conncomp`, `random`, and pred_2d in sliding mode above threshold 0.
    """
    if not options.decodable:
        raise UsageError(
            f"patch sets of {options.label} cannot be decoded; ask for statistics only "
            "(--no-patches), or use pred_2d (anchored), raster or serpentine"
        )
