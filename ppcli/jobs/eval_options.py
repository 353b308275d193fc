"""Options of evaluate. Imports little, since `--help` needs them."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ppcli.coding.coder_options import parse_threshold
from ppcli.errors import UsageError
from ppcli.models.model_options import BatchSize, MaxNewTokens
from ppcli.options import Option, Options


def parse_thresholds(text: str) -> tuple[float, ...]:
    """Parse thresholds that commas separate.

    Raises:
        UsageError: one is not a number between 0 and 1.
    """
    return tuple(parse_threshold(part) for part in text.split(","))


@dataclass(frozen=True, slots=True)
class VariantOptions(Options):
    """Which variants of an image are compared.

    Attributes:
        thresholds: of pred_2d. The control variants get as many tokens as the first one.
        seed: of the random variant.
        controls: whether control variants are evaluated.

    Raises:
        UsageError: no threshold is given, or one is out of range.
    """

    panel: ClassVar = "Coder"

    thresholds: Annotated[
        tuple[float, ...],
        Option(
            "Thresholds of pred_2d. The controls get as many tokens as the first one.",
            metavar="TAU,TAU",
            parse=parse_thresholds,
            default_text="0",
        ),
    ] = (0.0,)
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
        if not self.thresholds or not all(0 <= one <= 1 for one in self.thresholds):
            raise UsageError(f"thresholds are {self.thresholds}; name some between 0 and 1")


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
