"""Options of the tile grid. Imports little, since `--help` needs them."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import Fit
from ppcli.models.families.family_registry import DEFAULT_PRESET, PRESETS, get_preset
from ppcli.options import Option, Options

_INSTEAD = "Overrides the preset."


@dataclass(frozen=True, slots=True)
class GridOptions(Options):
    """The grid that the user chooses: a preset, and numbers that override the preset.

    Attributes:
        preset: name of a model family.
        patch_size: P, in pixels.
        merge_size: M; a tile is P·M pixels wide and high.
        min_pixels: `resize` enlarges images with fewer pixels.
        max_pixels: images with more pixels are reduced.
        fit: `resize` or `pad`.

    Raises:
        UsageError: the preset is unknown, or no image could meet the numbers.
    """

    panel: ClassVar = "Tile grid"

    preset: Annotated[
        str,
        Option(
            f"Model family whose patch size and pixel limits apply: {', '.join(PRESETS)}.",
            metavar="NAME",
        ),
    ] = DEFAULT_PRESET
    patch_size: Annotated[
        int | None, Option(f"Side of a patch in pixels. {_INSTEAD}", metavar="N")
    ] = None
    merge_size: Annotated[
        int | None, Option(f"Patches along the side of a tile. {_INSTEAD}", metavar="N")
    ] = None
    min_pixels: Annotated[
        int | None, Option(f"Enlarge images with fewer pixels. {_INSTEAD}", metavar="N")
    ] = None
    max_pixels: Annotated[
        int | None, Option(f"Reduce images with more pixels. {_INSTEAD}", metavar="N")
    ] = None
    fit: Annotated[
        Fit, Option("Resize images to whole tiles, as the model does, or pad their edges.")
    ] = Fit.RESIZE

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        self.fit_options()

    def fit_options(self) -> FitOptions:
        """Return the grid and the limits."""
        preset = get_preset(self.preset)
        return FitOptions(
            self.fit,
            preset.patch_size if self.patch_size is None else self.patch_size,
            preset.merge_size if self.merge_size is None else self.merge_size,
            preset.min_pixels if self.min_pixels is None else self.min_pixels,
            preset.max_pixels if self.max_pixels is None else self.max_pixels,
        )
