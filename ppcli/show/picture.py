"""Draws what pruning does to an image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ppcli.coding.coder_options import CoderOptions, require_decodable, threshold_text
from ppcli.coding.patchset import PatchSet, encode
from ppcli.coding.selection import selection_of
from ppcli.errors import UsageError, pluralize
from ppcli.show.overlay import error_levels, error_map, overlay
from ppcli.show.sheet import Panel, sheet

Raster = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PictureOptions:
    """The panels of a picture.

    Attributes:
        coders: one panel for each.
        grid: draw lines between the tiles.
        side_by_side: add a panel with the source.
        error: add a panel with the reconstruction error.

    Raises:
        UsageError: `error` with a configuration that is lossless or cannot be decoded.
    """

    coders: tuple[CoderOptions, ...]
    grid: bool = False
    side_by_side: bool = False
    error: bool = False

    def __post_init__(self) -> None:
        if not self.error:
            return
        for coder in self.coders:
            require_decodable(coder)
            if coder.threshold == 0:
                raise UsageError("--error needs a --threshold above 0: at 0 there is no error")


def draw_image(raster: Raster, tile: int, options: PictureOptions, image_id: str) -> Image.Image:
    """Draw the panels of an image.

    Args:
        raster: uint8 (grid_h·tile, grid_w·tile, 3).
        tile: side of a tile in pixels.
        options: the panels.
        image_id: identity of the image, which seeds method random.
    """
    panels = [_source(raster, tile)] if options.side_by_side else []
    for coder in options.coders:
        keep, *_, taken = selection_of(raster, tile, coder, image_id)
        panels.append(Panel(overlay(raster, keep, options.grid), caption(keep, taken)))
        if options.error:
            levels = error_levels(raster, encode(raster, tile, taken).reconstruct())
            most = int(levels.max())
            words = (
                f"{_share(levels > 0)} of the pixels differ, by up to {pluralize(most, 'level')}"
            )
            panels.append(Panel(error_map(raster, levels), words, most))
    return sheet(panels)


def draw_patch_set(patches: PatchSet, raster: Raster, options: PictureOptions) -> Image.Image:
    """Draw the panels of a stored patch set.

    Args:
        patches: the patch set.
        raster: uint8 (grid_h·tile, grid_w·tile, 3), rebuilt from it.
        options: the panels; `coders` and `error` are ignored.
    """
    name = "source" if patches.options.threshold == 0 else "rebuilt"
    panels = [_source(raster, patches.tile, name)] if options.side_by_side else []
    faded = overlay(raster, patches.keep, options.grid)
    words = caption(patches.keep, patches.options)
    if patches.unchanged is not None:
        words += f"; {patches.kept_intra:,} without the frame beside it"
    return sheet([*panels, Panel(faded, words)])


def caption(keep: Mask, coder: CoderOptions) -> str:
    """Describe how many tokens are kept, and with which configuration."""
    words = f"{keep.sum():,} of {keep.size:,} tokens kept ({_share(keep)}), {coder.method.value}"
    if coder.implementation.is_control:
        words += ", as many as pred_2d"
    if coder.threshold == 0:
        return f"{words}, tau = 0"
    tau = threshold_text(coder.threshold)
    return f"{words}, tau = {tau} ({coder.metric.value}, {coder.mode.value})"


def _source(raster: Raster, tile: int, name: str = "source") -> Panel:
    height, width = raster.shape[:2]
    return Panel(raster, f"{name}, {width // tile * (height // tile):,} tokens")


def _share(mask: Mask) -> str:
    return f"{100 * np.count_nonzero(mask) / mask.size:.1f} %"
