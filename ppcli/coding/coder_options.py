"""The configuration of the coder. Imports nothing heavy, since `--help` needs its choices."""

import logging
import math
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from typing import Annotated, ClassVar, Literal, cast

from ppcli.arguments import as_float, describe_value, parse_choice
from ppcli.coding.methods.interface import METHOD_OPTIONS, PruningMethod
from ppcli.coding.methods.method_registry import Method
from ppcli.errors import UsageError
from ppcli.options import Option, Options, listed

__all__ = [
    "AUTO",
    "CoderOptions",
    "Method",
    "Metric",
    "Mode",
    "Threshold",
    "block_bound",
    "check_threshold",
    "coder_for_models",
    "distance_bound",
    "parse_threshold",
    "require_decodable",
    "threshold_text",
    "warn_of_averages",
]

logger = logging.getLogger("pixelprune")
_FORGIVEN = Fraction(1, 1_000_000)  # rounding errors of a threshold

AUTO: Literal["auto"] = "auto"
Threshold = float | Literal["auto"]


class Metric(StrEnum):
    """The distance between two tiles, in units of full scale."""

    EXACT = "exact"
    MAX = "max"
    MAE = "mae"
    RMSE = "rmse"
    TWO_SCALE = "two_scale"


class Mode(StrEnum):
    """What a tile is compared with: rebuilt neighbours (anchored) or source ones (sliding)."""

    ANCHORED = "anchored"
    SLIDING = "sliding"


def parse_threshold(text: str) -> Threshold:
    """Parse τ, written as a decimal (`0.03`), as a fraction (`3/255`, `3.5/255`) or as `auto`.

    Raises:
        UsageError: it is neither `auto` nor a number between 0 and 1.
    """
    if text.strip() == AUTO:
        return AUTO
    try:
        above, *below = text.split("/", 1)
        value = float(above) / float(below[0]) if below else float(above)
    except (ValueError, ZeroDivisionError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(
            f"the threshold {text!r} is not a number; write it like 0.03 or 3/255, or auto"
        )
    if not 0 <= value <= 1:
        meant = f"; {text} levels of 255 are {text}/255" if value in range(2, 256) else ""
        raise UsageError(f"the threshold is {text}; it must be between 0 and 1{meant}")
    return value


def check_threshold(value: object) -> Threshold:
    """Return the threshold that a Python program names.

    Raises:
        UsageError: it is neither `auto` nor a number between 0 and 1.
    """
    if not isinstance(value, str):
        return as_float(value, "threshold", 0, 1)
    if value != AUTO:
        raise UsageError(
            f"threshold is {describe_value(value)}; it must be a number between 0 and 1, or {AUTO}"
        )
    return AUTO


def threshold_text(threshold: Threshold) -> str:
    """Return a threshold in words: `4/255` for whole levels, `auto`, or a decimal of six digits."""
    if isinstance(threshold, str):
        return threshold
    levels = threshold * 255
    if abs(levels - round(levels)) < 1e-9:
        return f"{round(levels)}/255" if round(levels) else "0"
    return f"{threshold:g}"


@dataclass(frozen=True, slots=True)
class CoderOptions(Options):
    """The configuration of the coder.

    Attributes:
        method: how the kept tiles are selected.
        metric: the distance between tiles.
        mode: `anchored` (bounded error) or `sliding` (may drift). The same at threshold 0.
        threshold: τ in [0, 1]; tiles at a distance of at most τ are similar. `auto` takes that of
            each image from the image; see `ppcli.coding.auto_threshold`.
        skip_ratio: the share of each component that is pruned, in [0, 1] (conncomp only).
        match_count: choose the skip_ratio whose count is nearest to pred_2d's (conncomp only).
        seed: seed of the random draw, not negative (random only).

    Raises:
        UsageError: a value is out of range, an option is not for the method, or the threshold is
            not for the metric.
    """

    panel: ClassVar = "Coder"

    method: Annotated[
        Method, Option(f"How kept tiles are selected: {listed(Method)}.", metavar="METHOD")
    ] = Method.PRED_2D
    metric: Annotated[
        Metric,
        Option(
            "Distance between two tiles. mae and rmse can lose small marks of full contrast; "
            "two_scale is max, and keeps tints of 16×16 pixels too."
        ),
    ] = Metric.MAX
    mode: Annotated[
        Mode,
        Option("Compare tiles with rebuilt neighbours (anchored) or source neighbours (sliding)."),
    ] = Mode.ANCHORED
    threshold: Annotated[
        Threshold,
        Option(
            "Maximum distance of similar tiles, from 0 (equal) to 1, such as 0.03 or 3/255. "
            "auto follows the noise of each image.",
            metavar="TAU",
            min=0,
            max=1,
            parse=parse_threshold,
            default_text="0",
        ),
    ] = 0.0
    skip_ratio: Annotated[
        float,
        Option("Share of each component to prune (conncomp only).", metavar="SHARE", min=0, max=1),
    ] = 1.0
    match_count: Annotated[bool, Option("Keep about as many tiles as pred_2d (conncomp only).")] = (
        False
    )
    seed: Annotated[
        int, Option("Seed of the method random, and of sampling in infer.", metavar="N", min=0)
    ] = 0

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        object.__setattr__(self, "threshold", check_threshold(self.threshold))
        if self.metric is Metric.EXACT and self.threshold != 0:
            raise UsageError(
                f"metric exact requires threshold 0, but the threshold is "
                f"{threshold_text(self.threshold)}; use metric max or two_scale with a threshold"
            )
        if self.threshold == AUTO and self.metric not in (Metric.MAX, Metric.TWO_SCALE):
            raise UsageError(
                "threshold auto is for metrics max and two_scale, but the metric is "
                f"{self.metric}; write the threshold as a number"
            )
        if self.match_count and "match_count" in self.unused_options:
            raise UsageError(f"match count is for method conncomp, but the method is {self.method}")

    @classmethod
    def from_names(
        cls,
        method: str,
        metric: str,
        threshold: Threshold,
        mode: str,
        *,
        skip_ratio: float = 1.0,
        match_count: bool = False,
        seed: int = 0,
    ) -> "CoderOptions":
        """Return the configuration that a Python program spells with strings.

        Raises:
            UsageError: a name is unknown, or a value is out of range.
        """
        return cls(  # which parses the names
            cast("Method", method),
            cast("Metric", metric),
            cast("Mode", mode),
            threshold,
            skip_ratio,
            match_count,
            seed,
        )

    @property
    def implementation(self) -> PruningMethod:
        """The implementation of the method."""
        return parse_choice(Method, "method", self.method).implementation

    @property
    def anchored(self) -> bool:
        """Whether tiles are compared with rebuilt neighbours."""
        return self.mode is Mode.ANCHORED

    @property
    def decodable(self) -> bool:
        """Whether mask and kept tiles suffice to rebuild the raster."""
        return self.implementation.is_decodable(self)

    @property
    def unused_options(self) -> tuple[str, ...]:
        """The names of the attributes that have no effect on the chosen method."""
        used = self.implementation.used_options
        return tuple(name for name in METHOD_OPTIONS if name not in used)

    @property
    def label(self) -> str:
        """A short description for messages: `pred_2d (sliding, max, threshold 0.03)`."""
        shown = threshold_text(self.threshold)
        return f"{self.method} ({self.mode}, {self.metric}, threshold {shown})"

    @property
    def known_threshold(self) -> float | None:
        """The threshold; None for `auto`, which an image must settle."""
        return None if isinstance(self.threshold, str) else self.threshold

    @property
    def tau(self) -> float:
        """The threshold of settled options."""
        assert self.known_threshold is not None
        return self.known_threshold

    def settled(self, levels: int) -> "CoderOptions":
        """Return the options with a number as the threshold.

        Args:
            levels: what `auto` stands for, in levels of 255.
        """
        return replace(self, threshold=levels / 255) if self.threshold == AUTO else self


def coder_for_models(method: str, metric: str, threshold: Threshold, mode: str) -> CoderOptions:
    """Return the configuration for a Python program that prepares the inputs of a model.

    Raises:
        UsageError: a name is unknown, a number is out of range, or the method is a control.
    """
    options = CoderOptions.from_names(method, metric, threshold, mode)
    if options.implementation.is_control:
        raise UsageError(
            f"method {options.method} is a control for experiments; use it on the command line"
        )
    return options


def warn_of_averages(options: CoderOptions) -> None:
    """Warn of a metric that averages small marks away, where it is used above threshold 0."""
    if options.metric in (Metric.MAE, Metric.RMSE) and options.threshold != 0:
        logger.warning(
            "metric %s averages over a tile, so that a small mark of full contrast can be lost, "
            "such as a minus sign; metric max bounds the difference of each pixel",
            options.metric,
        )


@lru_cache
def distance_bound(metric: Metric, threshold: float, tile: int) -> int:
    """Return the largest integer distance at which two tiles are similar.

    With n = tile·tile·3 bytes: floor(255τ + 1e-6) for `max`, floor(255τ·n + 1e-6) for the sum
    of absolute differences, floor((255τ)²·n + 1e-6) for the sum of squares; `two_scale` has that
    of `max`, and others for its blocks. The float is
    evaluated in exact rational arithmetic, so that the bound depends neither on the machine nor
    on the order of operations. A float within 1e-9 of k/255 counts as k/255: above tiles of 160
    pixels n would enlarge its rounding error beyond the 1e-6.

    Args:
        metric: which distance.
        threshold: τ in [0, 1].
        tile: side of a tile in pixels.
    """
    scale = _levels_of(threshold)
    n = tile * tile * 3
    exact = {
        Metric.EXACT: Fraction(0),
        Metric.MAX: scale,
        Metric.TWO_SCALE: scale,
        Metric.MAE: scale * n,
        Metric.RMSE: scale * scale * n,
    }[metric]
    return math.floor(exact + _FORGIVEN)


@lru_cache
def block_bound(threshold: float, pixels: int) -> int:
    """Return the largest sum of differences in a channel of a block, for `two_scale`.

    It is floor(255τ·n/4 + 1e-6) for n pixels, evaluated as in `distance_bound`.
    """
    return math.floor(_levels_of(threshold) * pixels / 4 + _FORGIVEN)


def _levels_of(threshold: float) -> Fraction:
    """Return 255τ; what is within 1e-9 of a whole number is that number."""
    scale = 255 * Fraction(float(threshold))
    near = Fraction(round(scale))
    return near if abs(scale - near) < Fraction(1, 10**9) else scale


def require_decodable(options: CoderOptions) -> None:
    """Refuse configurations whose patch sets cannot be decoded.

    Raises:
        UsageError: for `conncomp`, `random`, and pred_2d in sliding mode above threshold 0.
    """
    if not options.decodable:
        raise UsageError(
            f"patch sets of {options.label} cannot be decoded; ask for statistics only "
            "(--no-patches), or use pred_2d (anchored), left_or_above, raster or serpentine"
        )
