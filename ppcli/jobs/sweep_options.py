"""Options of sweep. Imports little, since `--help` needs them."""

from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, ClassVar

from ppcli.arguments import describe_value
from ppcli.coding.coder_options import (
    CoderOptions,
    Method,
    Metric,
    Mode,
    Threshold,
    threshold_text,
)
from ppcli.errors import UsageError
from ppcli.jobs.setting_lists import members, parse_names, parse_thresholds
from ppcli.options import Option, Options, listed

_LEVELS = 255


@dataclass(frozen=True, slots=True)
class SweepOptions(Options):
    """The settings that are compared: each method with each metric at each threshold.

    Attributes:
        thresholds: τ in [0, 1], or `auto`.
        methods: how the kept tiles are selected.
        metrics: distances between tiles.
        mode: what a tile is compared with.

    Raises:
        UsageError: there are no settings, one is impossible, or one comes twice.
    """

    panel: ClassVar = "Coder"

    thresholds: Annotated[
        tuple[Threshold, ...],
        Option(
            "Thresholds, such as 0,4/255,8/255 or 0,auto.",
            metavar="TAU,TAU",
            parse=parse_thresholds,
            default_text="0,4/255,8/255",
        ),
    ] = (0.0, 4 / _LEVELS, 8 / _LEVELS)
    methods: Annotated[
        tuple[Method, ...],
        Option(
            f"Methods: {listed(Method)}.",
            metavar="METHOD,METHOD",
            parse=parse_names,
            default_text=Method.PRED_2D,
        ),
    ] = (Method.PRED_2D,)
    metrics: Annotated[
        tuple[Metric, ...],
        Option(
            f"Distances between two tiles: {listed(Metric)}.",
            metavar="METRIC,METRIC",
            parse=parse_names,
            default_text=Metric.MAX,
        ),
    ] = (Metric.MAX,)
    mode: Annotated[
        Mode,
        Option("Compare tiles with rebuilt neighbours (anchored) or source neighbours (sliding)."),
    ] = Mode.ANCHORED

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        for name, values in (
            ("methods", members(Method, "method", self.methods)),
            ("metrics", members(Metric, "metric", self.metrics)),
            ("thresholds", _numbers(self.thresholds)),
        ):
            object.__setattr__(self, name, values)
            if not values:
                raise UsageError(f"there are no {name}; name at least one")
        names = [setting_name(one) for one in self.settings]
        repeated = next((one for one in names if names.count(one) > 1), None)
        if repeated is not None:
            raise UsageError(f"the setting {' '.join(repeated)} comes twice; name it once")

    @property
    def settings(self) -> tuple[CoderOptions, ...]:
        """The settings, in the order of their rows."""
        every = product(self.methods, self.metrics, self.thresholds)
        return tuple(CoderOptions(one, metric, self.mode, tau) for one, metric, tau in every)


def setting_name(coder: CoderOptions) -> tuple[str, str, str]:
    """Return method, metric and threshold in words; see `SweepRow.setting`."""
    return coder.method.value, coder.metric.value, threshold_text(coder.threshold)


def _numbers(values: Any) -> tuple[Threshold, ...]:  # noqa: ANN401
    if not isinstance(values, tuple | list):
        raise UsageError(f"thresholds are {describe_value(values)}; they must be a list of numbers")
    return tuple(values)  # which the coder checks
