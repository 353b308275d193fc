"""Options of analyze. Imports little, since `--help` needs them."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ppcli.models.families.family_registry import PUBLISHED_SIZES
from ppcli.options import Option, Options


@dataclass(frozen=True, slots=True)
class StatisticsOptions(Options):
    """What analyze writes of each image besides its statistics.

    Attributes:
        estimate: a published model size, or the folder of a model, whose costs are computed.
        patches: whether patch sets are written; only a dataset folder takes them.
    """

    panel: ClassVar = "Output"

    estimate: Annotated[
        str | None,
        Option(
            f"Estimate what a model saves: {', '.join(PUBLISHED_SIZES)}, or a model folder.",
            metavar="MODEL",
        ),
    ] = None
    patches: Annotated[bool, Option("Write statistics only.", off_flag="--no-patches")] = True
