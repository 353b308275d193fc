"""Patch sets: the keep mask and the kept tiles of one image, and the way back to the raster."""

from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray

from ppcli.arguments import describe_value
from ppcli.coding import kernels
from ppcli.coding.coder_options import CoderOptions, Method, distance_bound, require_decodable
from ppcli.coding.methods import KERNEL_METRIC, check_array, check_raster, select
from ppcli.errors import DamagedError, UsageError
from ppcli.jit.kernel import Variant


@dataclass(frozen=True, slots=True, eq=False)
class KeptTiles:
    """What a model takes of an image.

    Attributes:
        keep: bool (grid_h, grid_w), true where the tile is kept.
        tiles: uint8 (kept, tile, tile, 3), the kept tiles in row-major order, RGB.
        options: the configuration that the mask was made with.

    Raises:
        UsageError: when they are no arrays, or the options are something else.
        DamagedError: when mask and tiles do not belong together.
    """

    keep: NDArray[np.bool_]
    tiles: NDArray[np.uint8]
    options: CoderOptions

    def __post_init__(self) -> None:
        check_array(self.keep, "a keep mask")
        check_array(self.tiles, "the stack of tiles")
        _check_options(self.options)
        if self.keep.dtype != np.bool_ or self.tiles.dtype != np.uint8:
            raise DamagedError("a keep mask is bool, and tiles are uint8")
        if self.keep.ndim != 2 or not self.keep.any():
            raise DamagedError("a keep mask has two dimensions and keeps a tile")
        tile = self.tiles.shape[1] if self.tiles.ndim == 4 else 0
        if tile < 1 or self.tiles.shape != (self.kept, tile, tile, 3):
            raise DamagedError(
                f"the mask keeps {self.kept} tiles, and the tiles have shape {self.tiles.shape}"
            )

    @property
    def tile(self) -> int:
        """Side of a tile in pixels."""
        return int(self.tiles.shape[1])

    @property
    def tokens(self) -> int:
        """Tiles of the image, kept or not."""
        return int(self.keep.size)

    @property
    def kept(self) -> int:
        """Tiles that are kept."""
        return int(np.count_nonzero(self.keep))

    @property
    def keep_ratio(self) -> float:
        """Kept tiles over all tiles."""
        return self.kept / self.tokens


@dataclass(frozen=True, slots=True, eq=False)
class PatchSet(KeptTiles):
    """What is left of an image after pruning, enough to rebuild it.

    Raises:
        UsageError: when the method's choices cannot be replayed from mask and tiles, or these are
            no arrays.
        DamagedError: when mask and tiles do not belong together.
    """

    def __post_init__(self) -> None:
        _check_options(self.options)
        require_decodable(self.options)
        KeptTiles.__post_init__(self)
        if not self.keep[0, 0]:
            raise DamagedError("a keep mask keeps its first tile")

    def reconstruct(self) -> NDArray[np.uint8]:
        """Rebuild the raster: uint8 (grid_h·tile, grid_w·tile, 3).

        At threshold 0 it is the source, bit for bit; above it, in anchored mode, every tile is
        within the threshold of the source.
        """
        grid_h, grid_w = self.keep.shape
        source = self._sources()
        raster = np.empty((grid_h, self.tile, grid_w, self.tile, 3), dtype=np.uint8)
        for row, sources in zip(raster, source, strict=True):  # by rows, for the memory of a copy
            row.transpose(1, 0, 2, 3)[...] = self.tiles[sources]
        return raster.reshape(grid_h * self.tile, grid_w * self.tile, 3)

    def _sources(self) -> NDArray[np.int64]:
        """Which kept tile each tile is a copy of: int64 (grid_h, grid_w)."""
        if self.options.method is Method.PRED_2D:
            stacked = np.ascontiguousarray(self.tiles).reshape(-1, self.tile * 3)
            bound = distance_bound(self.options.metric, self.options.threshold, self.tile)
            metric = KERNEL_METRIC[self.options.metric]
            return kernels.rebuild_pred_2d(
                self.keep, stacked, kernels.lanes_of(3 * self.tile), metric, bound
            )
        if self.options.method is Method.RASTER:
            return (np.cumsum(self.keep) - 1).reshape(self.keep.shape)
        return _serpentine_sources(self.keep)


def _serpentine_sources(keep: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The last kept tile along the boustrophedon scan, as an index into the row-major tiles."""
    row_major = np.where(keep, np.cumsum(keep).reshape(keep.shape) - 1, -1)
    row_major[1::2] = row_major[1::2, ::-1]
    scan = row_major.ravel()
    last_kept = np.maximum.accumulate(np.where(scan >= 0, np.arange(scan.size), 0))
    sources = scan[last_kept].reshape(keep.shape)
    sources[1::2] = sources[1::2, ::-1].copy()
    return sources


def _check_options(options: object) -> None:
    if not isinstance(options, CoderOptions):
        raise UsageError(f"the options are {describe_value(options)}; they must be CoderOptions")


def cut(raster: NDArray[np.uint8], keep: NDArray[np.bool_], tile: int) -> NDArray[np.uint8]:
    """The tiles that `keep` (bool (grid_h, grid_w)) names: uint8 (kept, tile, tile, 3)."""
    flat = raster.reshape(raster.shape[0], -1)
    return kernels.gather(flat, keep, tile, kernels.lanes_of(3 * tile)).reshape(-1, tile, tile, 3)


def kernels_of_patches(options: CoderOptions, tile: int) -> list[Variant]:
    """What cuts the kept tiles, and rebuilds the raster to take its digest."""
    lanes = kernels.lanes_of(3 * tile)
    cutting = [kernels.collect.of(lanes)]
    if options.method is not Method.PRED_2D or options.threshold == 0:
        return cutting
    return [*cutting, kernels.trace.of(lanes, KERNEL_METRIC[options.metric])]


def encode(raster: NDArray[np.uint8], tile: int, options: CoderOptions) -> PatchSet:
    """Prune a raster, uint8 (grid_h·tile, grid_w·tile, 3), to its patch set.

    Raises:
        UsageError: for a raster that is not whole tiles, or a method that cannot be decoded.
    """
    require_decodable(options)
    raster, tile = check_raster(raster, tile)
    keep = select(raster, tile, options)
    return PatchSet(keep, cut(raster, keep, tile), options)


def raster_digest(raster: NDArray[np.uint8]) -> str:
    """The XXH3 128-bit hash of a raster's bytes, row by row, in hexadecimal."""
    return xxhash.xxh3_128_hexdigest(np.ascontiguousarray(raster).data)
