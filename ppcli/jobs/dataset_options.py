"""Options of view and of commands that read datasets. Imports little: `--help` needs them."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ppcli.arguments import parse_choice
from ppcli.coding.coder_options import Method
from ppcli.errors import UsageError
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
from ppcli.imaging.reading_options import MaxStoredPixels
from ppcli.models.families.family_registry import PUBLISHED_SIZES
from ppcli.options import Option, Options
from ppcli.store.output_options import Overwrite

ImageIds = Annotated[
    tuple[str, ...],
    Option("Use only this image of a dataset; repeatable.", flags=("--image-id",), metavar="ID"),
]


def parse_methods(text: str) -> tuple[Method, ...]:
    """Parse names of methods that commas separate.

    Raises:
        UsageError: a name is unknown or repeated.
    """
    methods = tuple(parse_choice(Method, "method", name.strip()) for name in text.split(","))
    if len(set(methods)) < len(methods):
        raise UsageError(f"--compare is {text!r}, which names a method twice")
    return methods


@dataclass(frozen=True, slots=True)
class ViewOptions(Options):
    """What the pictures of view show.

    Attributes:
        image_ids: images of a dataset; empty for all.
        side_by_side: draw the source beside the pruned image.
        compare: draw one panel for each of these methods; None for the method of the coder.
        error: draw where the rebuilt image differs from the source, and by how much.
        grid: draw lines between tiles.
    """

    panel: ClassVar = "Picture"

    image_ids: ImageIds = ()
    side_by_side: Annotated[bool, Option("Draw the source beside the pruned image.")] = False
    compare: Annotated[
        tuple[Method, ...] | None,
        Option(
            "Draw one panel for each method, such as pred_2d,raster,conncomp,random.",
            metavar="METHODS",
            parse=parse_methods,
        ),
    ] = None
    error: Annotated[
        bool, Option("Draw where the rebuilt image differs from the source, and by how much.")
    ] = False
    grid: Annotated[bool, Option("Draw lines between tiles.")] = False


@dataclass(frozen=True, slots=True)
class PictureOutputOptions(Options):
    """Where pictures are written.

    Attributes:
        output: a folder, or a `.png` file for one image.
        overwrite: replace existing pictures.
    """

    panel: ClassVar = "Output"

    output: Annotated[
        str,
        Option("Folder, or .png file for one image.", flags=("--output", "-o"), metavar="OUT"),
    ] = "pixelprune-view"
    overwrite: Overwrite = False


@dataclass(frozen=True, slots=True)
class ReportOptions(Options):
    """What a report shows of a dataset, and where it is written.

    Attributes:
        dataset: a folder that analyze wrote, or a folder or a `.parquet` file of sweep.
        answers: a folder that infer wrote; its answers appear below the pictures.
        model: models whose savings are estimated: published sizes, or folders.
        max_image_pixels: larger rasters are not rebuilt.
        output: an `.html` file.
        overwrite: replace an existing file.
    """

    dataset: Annotated[
        str,
        Option(
            "Folder or URL that analyze wrote; or a folder or .parquet file of sweep.",
            metavar="DATASET",
            is_argument=True,
        ),
    ]
    answers: Annotated[
        str | None, Option("Folder or URL that infer wrote, to show its answers.", metavar="DIR")
    ] = None
    model: Annotated[
        tuple[str, ...],
        Option(
            f"Estimate the savings of a model: {', '.join(PUBLISHED_SIZES)}, or a folder; "
            "repeatable. Default: the sizes whose tiles match.",
            metavar="MODEL",
        ),
    ] = ()
    max_image_pixels: MaxStoredPixels = DEFAULT_MAX_IMAGE_PIXELS
    output: Annotated[
        str, Option("HTML file to write.", flags=("--output", "-o"), metavar="FILE")
    ] = "report.html"
    overwrite: Overwrite = False


@dataclass(frozen=True, slots=True)
class ReconstructOptions(Options):
    """Which images of a dataset are rebuilt, and where they are written.

    Attributes:
        dataset: a folder that analyze wrote, or one of its patch files.
        to: folder of the PNG files.
        image_ids: images to rebuild; empty for all.
        max_image_pixels: larger rasters are not rebuilt.
        overwrite: replace existing files.
    """

    dataset: Annotated[
        str,
        Option(
            "Folder or URL that analyze wrote, or one of its patch files.",
            metavar="DATASET",
            is_argument=True,
        ),
    ]
    to: Annotated[str, Option("Folder for the PNG files.", metavar="DIR")]
    image_ids: ImageIds = ()
    max_image_pixels: MaxStoredPixels = DEFAULT_MAX_IMAGE_PIXELS
    overwrite: Overwrite = False


@dataclass(frozen=True, slots=True)
class VerifyOptions(Options):
    """What is checked.

    Attributes:
        path: a folder that analyze, sweep, infer, eval or export wrote, or one `.parquet` file.
        data: rebuild every raster and compare its digest.
        max_image_pixels: larger rasters are not rebuilt.
    """

    path: Annotated[
        str,
        Option(
            "Folder or URL that analyze, sweep, infer or eval wrote, one of its .parquet files, or "
            "a folder that export wrote.",
            metavar="PATH",
            is_argument=True,
        ),
    ]
    data: Annotated[bool, Option("Rebuild every raster and compare its digest.")] = False
    max_image_pixels: MaxStoredPixels = DEFAULT_MAX_IMAGE_PIXELS
