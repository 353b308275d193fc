"""Options of evaluate. Imports little, since `--help` needs them."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ppcli.coding.coder_options import Method, Metric, Threshold, check_threshold
from ppcli.errors import UsageError
from ppcli.jobs.setting_lists import members, parse_names, parse_thresholds
from ppcli.models.model_options import BatchSize, MaxNewTokens
from ppcli.options import Option, Options, listed

_COMPARED = [method for method in Method if not method.implementation.is_control]


@dataclass(frozen=True, slots=True)
class VariantOptions(Options):
    """Which variants of an image are compared: each method with each metric at each threshold.

    Attributes:
        thresholds: τ in [0, 1], or `auto`. Controls get as many tokens as pred_2d at the first.
        methods: how tiles are selected; none of them is a control.
        metrics: distances between tiles.
        seed: of the random variant.
        controls: whether control variants are evaluated.

    Raises:
        UsageError: no threshold, method or metric is given, or one is unknown or out of range.
    """

    panel: ClassVar = "Coder"

    thresholds: Annotated[
        tuple[Threshold, ...],
        Option(
            "Thresholds, or auto. The controls get as many tokens as pred_2d at the first one.",
            metavar="TAU,TAU",
            parse=parse_thresholds,
            default_text="0",
        ),
    ] = (0.0,)
    methods: Annotated[
        tuple[Method, ...],
        Option(
            f"Methods to compare: {listed(_COMPARED)}.",
            metavar="METHOD,METHOD",
            parse=parse_names,
            default_text=Method.PRED_2D,
        ),
    ] = (Method.PRED_2D,)
    metrics: Annotated[
        tuple[Metric, ...],
        Option(
            f"Distances between tiles to compare: {listed(Metric)}.",
            metavar="METRIC,METRIC",
            parse=parse_names,
            default_text=Metric.MAX,
        ),
    ] = (Metric.MAX,)
    seed: Annotated[int, Option("Seed of the random variant.", metavar="N", min=0)] = 0
    controls: Annotated[
        bool,
        Option(
            "Also evaluate controls with as many tokens: random tiles, connected components, "
            "raster order and a smaller image."
        ),
    ] = True

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        if not self.thresholds:
            raise UsageError("there is no threshold; name some between 0 and 1, or auto")
        for one in self.thresholds:
            check_threshold(one)
        object.__setattr__(self, "methods", members(Method, "method", self.methods))
        object.__setattr__(self, "metrics", members(Metric, "metric", self.metrics))
        if not (self.methods and self.metrics):
            raise UsageError("there are no methods or no metrics to compare; name some")
        control = next((one for one in self.methods if one not in _COMPARED), None)
        if control is not None:
            raise UsageError(
                f"method {control} is a control, which eval adds by itself; leave it out of the "
                "methods to compare"
            )


@dataclass(frozen=True, slots=True)
class AnswerOptions(Options):
    """How a model answers questions.

    Attributes:
        max_new_tokens: maximum tokens to generate.
        batch_size: requests to process at once; None chooses.
    """

    panel: ClassVar = "Generation"

    max_new_tokens: MaxNewTokens = 64
    batch_size: BatchSize = None
