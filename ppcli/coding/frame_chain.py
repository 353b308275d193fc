"""The frames of a sequence, one after another."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ppcli.coding.coder_options import CoderOptions
from ppcli.coding.patchset import KeptTiles, PatchSet
from ppcli.coding.sequence_options import MOST_FRAMES, Direction

MOST_PIXELS = 1 << 26  # 200 MB of rasters, which a reader may hold


@dataclass(frozen=True, slots=True, eq=False)
class CodedFrame:
    """One frame of a sequence.

    Attributes:
        kept: its tiles.
        rebuilt: its raster as decoding gives it, uint8 (grid_h·tile, grid_w·tile, 3).
        reference: name of the frame that it depends on; None if it is whole.
    """

    kept: KeptTiles
    rebuilt: NDArray[np.uint8]
    reference: str | None


class FrameChain:
    """Codes frames, each compared with the one before.

    A sequence ends after 32 frames or 2²⁶ pixels, so that a frame is rebuilt from few others; the
    next frame is whole. So is a frame of another size than the one before.

    Args of the constructor:
        options: of the coder; they can be decoded.
    """

    def __init__(self, options: CoderOptions) -> None:
        self._options = options
        self._before: tuple[str, NDArray[np.uint8]] | None = None
        self._frames = self._pixels = 0

    def code(self, raster: NDArray[np.uint8], tile: int, name: str) -> CodedFrame:
        """Code the next frame.

        Args:
            raster: uint8 (grid_h·tile, grid_w·tile, 3).
            tile: side of a tile in pixels.
            name: of the frame, for the next one.
        """
        reference, before = self._before or (None, None)
        if before is None or before.shape != raster.shape:
            self.end()
            reference = before = None
        kept = KeptTiles.of_raster(raster, tile, self._options, name, before)
        lossless = kept.options.threshold == 0
        if not lossless:
            rebuilt = PatchSet.of(kept).reconstruct(before)
        else:  # a view may be of memory where the next frame will be
            rebuilt = raster if raster.flags.owndata else raster.copy()
        self._before = name, rebuilt
        self._frames += 1
        self._pixels += raster.shape[0] * raster.shape[1]
        if self.is_full(self._frames, self._pixels):
            self.end()
        return CodedFrame(kept, rebuilt, reference)

    @staticmethod
    def is_full(frames: int, pixels: int) -> bool:
        """Return whether a sequence ends after so many frames, with so many pixels."""
        return frames >= MOST_FRAMES or pixels >= MOST_PIXELS

    def end(self) -> None:
        """Begin a new sequence with the next frame."""
        self._before, self._frames, self._pixels = None, 0, 0


def code_frames(
    rasters: Iterable[NDArray[np.uint8]],
    tile: int,
    options: CoderOptions,
    sequence: Direction | None,
) -> list[KeptTiles]:
    """Code images that are given together, such as those of one request.

    Args:
        rasters: uint8 (grid_h·tile, grid_w·tile, 3) each. Forward each is let go of when the next
            one is coded; in reverse all are held, since the last one is coded first.
        tile: side of a tile in pixels.
        options: of the coder.
        sequence: whether they are frames of a sequence; None if each stands by itself.

    Returns:
        The tiles of each image, in the order of the images.
    """
    if sequence is None:
        return [KeptTiles.of_raster(raster, tile, options) for raster in rasters]
    chain = FrameChain(options)
    if sequence is Direction.FORWARD:
        return [chain.code(raster, tile, "").kept for raster in rasters]
    return [chain.code(raster, tile, "").kept for raster in reversed(list(rasters))][::-1]
