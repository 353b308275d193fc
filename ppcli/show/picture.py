"""What pruning does to an image, as one picture."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ppcli.coding.coder_options import CoderOptions, require_decodable
from ppcli.coding.patchset import PatchSet, encode
from ppcli.coding.selection import select_tiles
from ppcli.errors import UsageError
from ppcli.show.overlay import error_levels, error_map, overlay
from ppcli.show.sheet import Panel, levels_in_words, sheet

Raster = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PictureOptions:
    """What is drawn of an image.

    Attributes:
        coders: a panel for each.
        grid: whether the tiles have lines between them.
        side_by_side: whether the source stands beside.
        error: whether a panel shows where the rebuilt raster differs from the source.

    Raises:
        UsageError: when there can be no difference, or none that could be shown.
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
                raise UsageError("at threshold 0 nothing differs; --error needs a --threshold")


def picture(raster: Raster, tile: int, options: PictureOptions, image_id: str) -> Image.Image:
    """The source, what each coder keeps of it, and where what it rebuilds differs.

    Args:
        raster: uint8 (grid_h·tile, grid_w·tile, 3).
        tile: its side in pixels.
        options: what is drawn.
        image_id: of the image; method random depends on it.
    """
    panels = [_source(raster, tile)] if options.side_by_side else []
    for coder in options.coders:
        keep = select_tiles(raster, tile, coder, image_id)
        panels.append(Panel(overlay(raster, keep, options.grid), caption(keep, coder)))
        if options.error:
            levels = error_levels(raster, encode(raster, tile, coder).reconstruct())
            most = int(levels.max())
            words = f"{_share(levels > 0)} of the pixels differ, by up to {levels_in_words(most)}"
            panels.append(Panel(error_map(raster, levels), words, most))
    return sheet(panels)


def picture_of_patch_set(patches: PatchSet, raster: Raster, options: PictureOptions) -> Image.Image:
    """What a patch set keeps of its image.

    Args:
        patches: mask and tiles.
        raster: uint8 (grid_h·tile, grid_w·tile, 3), that they rebuild.
        options: what is drawn.
    """
    name = "source" if patches.options.threshold == 0 else "rebuilt"
    panels = [_source(raster, patches.tile, name)] if options.side_by_side else []
    faded = overlay(raster, patches.keep, options.grid)
    return sheet([*panels, Panel(faded, caption(patches.keep, patches.options))])


def caption(keep: Mask, coder: CoderOptions) -> str:
    """How many tokens are left, and by which method."""
    words = f"{keep.sum():,} of {keep.size:,} tokens kept ({_share(keep)}), {coder.method.value}"
    if coder.implementation.is_control:
        words += ", as many as pred_2d"
    if coder.threshold == 0:
        return f"{words}, tau = 0"
    levels = 255 * coder.threshold
    tau = f"{levels:.0f}/255" if abs(levels - round(levels)) < 1e-6 else f"{coder.threshold:.4g}"
    return f"{words}, tau = {tau} ({coder.metric.value}, {coder.mode.value})"


def _source(raster: Raster, tile: int, name: str = "source") -> Panel:
    height, width = raster.shape[:2]
    return Panel(raster, f"{name}, {width // tile * (height // tile):,} tokens")


def _share(mask: Mask) -> str:
    return f"{100 * np.count_nonzero(mask) / mask.size:.1f} %"
