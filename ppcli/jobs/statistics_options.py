"""Options of analyze. Imports little, since `--help` needs them."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ppcli.errors import UsageError, bounded
from ppcli.models.families.family_registry import PUBLISHED_SIZES
from ppcli.options import Option, Options
from ppcli.store.formats import MOST_ZSTD_LEVEL, ZSTD_LEVEL

_USUAL = f"zstd:{ZSTD_LEVEL}"


@dataclass(frozen=True, slots=True)
class StatisticsOptions(Options):
    """What analyze writes of each image besides its statistics.

    Attributes:
        estimate: a published model size, or the folder of a model, whose costs are computed.
        patches: whether patch sets are written; only a dataset folder takes them.
        compression: of the tiles of patch sets: `zstd:LEVEL`, from 1 (fast) to 22 (small).

    Raises:
        UsageError: the compression is none of these.
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
    compression: Annotated[
        str,
        Option(
            f"Compression of patch sets, from zstd:1 (fast) to zstd:{MOST_ZSTD_LEVEL} (small).",
            metavar="zstd:LEVEL",
        ),
    ] = _USUAL

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        _ = self.zstd_level

    @property
    def zstd_level(self) -> int:
        """The level of zstd, 1 to 22."""
        codec, _, level = self.compression.partition(":")
        number = int(level) if level.isascii() and level.isdigit() and len(level) < 3 else 0
        if codec != "zstd" or not 1 <= number <= MOST_ZSTD_LEVEL:
            raise UsageError(
                f"compression is {bounded(self.compression)!r}; it must be zstd:1 to "
                f"zstd:{MOST_ZSTD_LEVEL}"
            )
        return number
