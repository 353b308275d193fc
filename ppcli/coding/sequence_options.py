"""Options of sequences. Imports little, since `--help` needs them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar, cast

from ppcli.coding.coder_options import CoderOptions
from ppcli.errors import UsageError
from ppcli.options import Option, Options

MOST_FRAMES = 32  # of a sequence


class Direction(StrEnum):
    """Which frame of a sequence a frame is compared with: the one before, or the one after."""

    FORWARD = "forward"
    REVERSE = "reverse"


class SequenceBy(StrEnum):
    """Which images follow one another: those of one folder, or all."""

    FOLDER = "folder"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class SequenceOptions(Options):
    """Whether frames may repeat tiles of the frame next to them.

    Attributes:
        sequence: the frame that a frame is compared with; None for none.
        sequence_by: which image files form a sequence; None for those of one folder. The pages or
            frames of one file are a sequence of their own.

    Raises:
        UsageError: sequence_by is given without sequence.
    """

    panel: ClassVar = "Coder"

    sequence: Annotated[
        Direction | None,
        Option(
            "Also prune tiles that the frame before shows in the same place (forward), or the "
            "frame after (reverse). Frames are pages of a file, or images of a folder.",
        ),
    ] = None
    sequence_by: Annotated[
        SequenceBy | None,
        Option("Image files that form a sequence: those of one folder (default), or all."),
    ] = None

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        if self.sequence is None and self.sequence_by is not None:
            raise UsageError("--sequence-by needs --sequence")

    def check_coder(self, coder: CoderOptions) -> None:
        """Refuse methods that cannot compare with rebuilt frames.

        Raises:
            UsageError: there are sequences, and the configuration cannot be decoded.
        """
        if self.sequence is not None and not coder.decodable:
            raise UsageError(
                f"sequences compare with rebuilt frames, and {coder.label} cannot be decoded; "
                "use pred_2d (anchored), left_or_above, raster or serpentine"
            )

    def as_config(self) -> dict[str, Any]:
        """Return what stored metadata says of sequences: nothing if there are none."""
        if self.sequence is None:
            return {}
        by = self.sequence_by or SequenceBy.FOLDER
        return {"sequence": self.sequence.value, "sequence_by": by.value}


@dataclass(frozen=True, slots=True)
class RequestSequenceOptions(Options):
    """Whether images of one request may repeat tiles of the image next to them.

    Attributes:
        sequence: the image that an image is compared with; None for none. Every page of a file is
            an image.
    """

    panel: ClassVar = "Coder"

    sequence: Annotated[
        Direction | None,
        Option(
            "Also prune tiles that the image before in the same request shows in the same place "
            "(forward), or the image after (reverse). Needs --requests.",
        ),
    ] = None

    def frames(self) -> SequenceOptions:
        """Return the options of images that are frames of one sequence."""
        return SequenceOptions(self.sequence)

    def as_config(self) -> dict[str, Any]:
        """Return what stored metadata says of sequences: nothing if there are none."""
        return {} if self.sequence is None else {"sequence": self.sequence.value}


def sequence_for_models(sequence: str | None, coder: CoderOptions) -> Direction | None:
    """Return the direction that a Python program spells, such as "forward"; None for none.

    Raises:
        UsageError: the direction is unknown, or the configuration of the coder cannot be decoded.
    """
    options = SequenceOptions(cast("Direction | None", sequence))  # which parses the name
    options.check_coder(coder)
    return options.sequence
