"""The tile grid that images are fitted to. Imports little, since `--help` needs it."""

from dataclasses import dataclass

from ppcli.errors import UsageError
from ppcli.imaging.image_choices import Fit
from ppcli.imaging.presets import Preset


@dataclass(frozen=True, slots=True)
class FitOptions:
    """The grid and the limits that images are fitted to.

    Attributes:
        fit: `resize` or `pad`.
        patch_size: P, in pixels.
        merge_size: M; a tile is P·M pixels wide and high.
        min_pixels: `resize` enlarges images with fewer pixels.
        max_pixels: images with more pixels are reduced.

    Raises:
        UsageError: no image could meet the numbers.
    """

    fit: Fit
    patch_size: int
    merge_size: int
    min_pixels: int
    max_pixels: int

    def __post_init__(self) -> None:
        if self.patch_size < 1 or self.merge_size < 1 or self.min_pixels < 1:
            raise UsageError("patch size, merge size and min pixels must be at least 1")
        if self.max_pixels < max(self.min_pixels, self.tile**2):
            raise UsageError(
                f"max pixels is {self.max_pixels}; it must be at least min pixels "
                f"({self.min_pixels}) and one tile ({self.tile}×{self.tile})"
            )

    @classmethod
    def of_preset(cls, preset: Preset, fit: Fit = Fit.RESIZE) -> "FitOptions":
        """Return the grid and the limits of a model."""
        return cls(fit, preset.patch_size, preset.merge_size, preset.min_pixels, preset.max_pixels)

    @property
    def limits(self) -> tuple[int, int] | None:
        """Minimum and maximum pixels that images are resampled to; None for `pad`."""
        return (self.min_pixels, self.max_pixels) if self.fit is Fit.RESIZE else None

    @property
    def tile(self) -> int:
        """Side of a tile in pixels."""
        return self.patch_size * self.merge_size
