"""What several commands take. Imports little: it is there before `--help` is."""

import logging
from enum import StrEnum
from typing import Annotated

import typer

from ppcli.coding.coder_options import Method, Metric, Mode
from ppcli.errors import UsageError
from ppcli.imaging.image_choices import Fit, Frames, PdfImages
from ppcli.models.families.family_registry import PRESETS
from ppcli.models.model_choices import Device
from ppcli.store.formats import Format
from ppcli.store.output_paths import is_same_file, row_file_type

STDOUT = "-"

logger = logging.getLogger("pixelprune")


class LogFormat(StrEnum):
    """How messages are written to standard error."""

    TEXT = "text"
    JSON = "json"


Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress, no table, no line for a failed image.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more about what is done.")]
LogFormatOption = Annotated[
    LogFormat, typer.Option(help="Messages on standard error as text or as lines of JSON.")
]

INPUTS, CODER, IMAGE, OUTPUT, RUN, MODEL = "Inputs", "Coder", "Image", "Output", "Run", "Model"

InputsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUTS",
        help="Files, folders, globs, or - for standard input: paths, one a line, or one image.",
    ),
]
Files0From = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Paths from a NUL-separated file (-: stdin).",
        rich_help_panel=INPUTS,
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN", help="In folders, only names like this.", rich_help_panel=INPUTS
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="In folders, no names like this.", rich_help_panel=INPUTS),
]
RootOption = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="Read no image of a request or question outside this folder, links followed.",
        rich_help_panel=INPUTS,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Stop after so many inputs.", rich_help_panel=INPUTS),
]
_METHODS = "; ".join(f"{method}: {method.implementation.help}" for method in Method)
MethodOption = Annotated[
    Method, typer.Option(help=f"Pruning method. {_METHODS}.", rich_help_panel=CODER)
]
MetricOption = Annotated[
    Metric, typer.Option(help="The distance of two tiles.", rich_help_panel=CODER)
]
ThresholdOption = Annotated[
    str,
    typer.Option(
        metavar="TAU",
        help="Tiles at most this far apart are similar: 0 to 1, such as 0.03 or 3/255.",
        rich_help_panel=CODER,
    ),
]
ModeOption = Annotated[
    Mode,
    typer.Option(help="Compare with rebuilt tiles, or with source tiles.", rich_help_panel=CODER),
]
SkipRatioOption = Annotated[
    float,
    typer.Option(
        metavar="SHARE",
        help="conncomp: the pruned share of a component.",
        rich_help_panel=CODER,
    ),
]
MatchCountOption = Annotated[
    bool,
    typer.Option(
        "--match-count",
        help="conncomp: keep about as many as pred_2d.",
        rich_help_panel=CODER,
    ),
]
SeedOption = Annotated[
    int,
    typer.Option(
        metavar="N", help="Of --method random, and of sampling with infer.", rich_help_panel=CODER
    ),
]
PresetOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=f"The model's numbers: {', '.join(PRESETS)}.",
        rich_help_panel=IMAGE,
    ),
]
FitOption = Annotated[
    Fit,
    typer.Option(help="Resample onto the grid as the model does, or pad.", rich_help_panel=IMAGE),
]
FramesOption = Annotated[
    Frames, typer.Option(help="Frames of an animation.", rich_help_panel=IMAGE)
]
BackgroundOption = Annotated[
    str,
    typer.Option(metavar="COLOUR", help="Behind transparent pixels.", rich_help_panel=IMAGE),
]
DpiOption = Annotated[
    float,
    typer.Option(
        min=1, max=9600, metavar="N", help="Pixels an inch of PDF pages.", rich_help_panel=IMAGE
    ),
]
PagesOption = Annotated[
    str | None,
    typer.Option(
        metavar="PAGES",
        help="Of PDF and TIFF files, such as 1-3,7 or 5-. Default: all.",
        rich_help_panel=IMAGE,
    ),
]
PdfImagesOption = Annotated[
    PdfImages,
    typer.Option(
        help="Draw PDF pages, or take the own pixels of those that are one image.",
        rich_help_panel=IMAGE,
    ),
]
MaxImagePixelsOption = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="Larger images are not decoded: error rows.",
        rich_help_panel=IMAGE,
    ),
]
StoredPixelsOption = Annotated[
    int,
    typer.Option("--max-image-pixels", min=1, metavar="N", help="Larger rasters are not rebuilt."),
]
OverwriteOption = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace an earlier output.", rich_help_panel=OUTPUT),
]
ResumeOption = Annotated[
    bool,
    typer.Option(help="Go on with an unfinished dataset.", rich_help_panel=OUTPUT),
]
RetryFailedOption = Annotated[
    bool,
    typer.Option(
        "--retry-failed",
        help="In an existing dataset, try the inputs that failed again.",
        rich_help_panel=OUTPUT,
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="What pixelprune export wrote; without it the small model of the package answers.",
        rich_help_panel=MODEL,
    ),
]
DeviceOption = Annotated[Device, typer.Option(help="Where the model runs.", rich_help_panel=MODEL)]
DeviceIdOption = Annotated[
    int, typer.Option(min=0, metavar="N", help="Which GPU.", rich_help_panel=MODEL)
]
ThreadsOption = Annotated[
    int,
    typer.Option(
        min=0, metavar="N", help="Threads of the CPU; 0: all cores.", rich_help_panel=MODEL
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="Processes; 0 works in this one. Default: the cores.",
        rich_help_panel=RUN,
    ),
]
TimeoutOption = Annotated[
    float,
    typer.Option(
        min=0.001,
        metavar="SECONDS",
        help="For one image, or all of one request.",
        rich_help_panel=RUN,
    ),
]
WorkerMemoryOption = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Limit of each worker, such as 4GB. Default: its share of three quarters of all.",
        rich_help_panel=RUN,
    ),
]
MaxFailuresOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Stop after so many failures.", rich_help_panel=RUN),
]
FailFastOption = Annotated[
    bool,
    typer.Option("--fail-fast", help="Stop at the first failure.", rich_help_panel=RUN),
]


def check_output(output: str, row_format: Format | None, *read: str | None) -> None:
    """See that `-o` names what rows can be written to, and that `--format` is for it.

    Args:
        output: what `-o` names.
        row_format: what `--format` says.
        read: files that the run reads, which it must not replace.

    Raises:
        UsageError: when not.
    """
    if not output:
        raise UsageError("-o is empty; name a folder, a file, or - for standard output")
    kind = None if output == STDOUT else row_file_type(output)
    openai_file = row_format is Format.OPENAI and kind is not None and kind.format is Format.JSONL
    if row_format is not None and output != STDOUT and not openai_file:
        raise UsageError("--format is for standard output (-o -); files are named for theirs")
    for path in read:
        if path is not None and is_same_file(path, output):
            raise UsageError(f"-o is {output}, which the run reads; use another name")
