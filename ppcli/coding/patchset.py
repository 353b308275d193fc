"""Patch sets: the keep mask and the kept tiles of one image, and how they are decoded."""

from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray

from ppcli.arguments import describe_value
from ppcli.coding.auto_threshold import CAP
from ppcli.coding.coder_options import AUTO, CoderOptions, require_decodable
from ppcli.coding.selection import check_array, check_raster, selection_of
from ppcli.coding.similarity import lanes_of
from ppcli.coding.tile_grid import Comparison
from ppcli.coding.tile_kernels import gather, gather_into
from ppcli.errors import DamagedError, UsageError
from ppcli.jit.kernel import Variant


@dataclass(frozen=True, slots=True, eq=False)
class KeptTiles:
    """The tiles of an image that a model receives.

    Attributes:
        keep: bool (grid_h, grid_w), true where the tile is kept.
        tiles: uint8 (kept, tile, tile, 3), the kept tiles in row-major order, RGB.
        options: the configuration that the mask was made with. Its threshold is a number.
        choices: uint32 (pruned,), how pruned tiles are rebuilt; None for methods without choices,
            and where the raster is not rebuilt.
        unchanged: bool (pruned,), which pruned tiles are those of the frame before, in its place in
            the sequence; None if there is none.

    Raises:
        UsageError: an argument is not an array, or the options are not CoderOptions of one image.
        DamagedError: mask and tiles do not fit together.
    """

    keep: NDArray[np.bool_]
    tiles: NDArray[np.uint8]
    options: CoderOptions
    choices: NDArray[np.uint32] | None = None
    unchanged: NDArray[np.bool_] | None = None

    @classmethod
    def of_raster(
        cls,
        raster: NDArray[np.uint8],
        tile: int,
        options: CoderOptions,
        image_id: str = "",
        before: NDArray[np.uint8] | None = None,
    ) -> "KeptTiles":
        """Select the tiles of a raster, and copy those that are kept.

        Args and errors are those of `selection_of`.
        """
        made = selection_of(raster, tile, options, image_id, before)
        tiles = cut_tiles(raster, made.keep, tile)
        return cls(made.keep, tiles, made.options, made.choices, made.unchanged)

    def __post_init__(self) -> None:
        check_array(self.keep, "a keep mask")
        check_array(self.tiles, "the stack of tiles")
        _check_options(self.options)
        if self.keep.dtype != np.bool_ or self.tiles.dtype != np.uint8:
            raise DamagedError("the keep mask is not bool, or the tiles are not uint8")
        if self.keep.ndim != 2 or not self.keep.any():
            raise DamagedError("the keep mask does not have two dimensions, or keeps no tile")
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
        """Number of tiles, kept and pruned."""
        return int(self.keep.size)

    @property
    def kept(self) -> int:
        """Number of kept tiles."""
        return int(np.count_nonzero(self.keep))

    @property
    def kept_intra(self) -> int:
        """Number of tiles that are kept or unchanged: what the frame needs by itself."""
        return self.kept + (0 if self.unchanged is None else int(np.count_nonzero(self.unchanged)))

    @property
    def intra(self) -> NDArray[np.bool_]:
        """The tiles that are kept or unchanged: bool (grid_h, grid_w)."""
        if self.unchanged is None:
            return self.keep
        both = self.keep.copy()
        both[~self.keep] = self.unchanged
        return both

    @property
    def keep_ratio(self) -> float:
        """Kept tiles over all tiles."""
        return self.kept / self.tokens


@dataclass(frozen=True, slots=True, eq=False)
class PatchSet(KeptTiles):
    """A pruned image from which its raster can be rebuilt.

    Raises:
        UsageError: the configuration cannot be decoded, or an argument is not an array.
        DamagedError: mask and tiles do not fit together.
    """

    def __post_init__(self) -> None:
        _check_options(self.options)
        require_decodable(self.options)
        KeptTiles.__post_init__(self)
        if not self.keep[0, 0]:
            raise DamagedError("the keep mask does not keep its first tile")
        if self.options.implementation.has_choices != (self.choices is not None):
            raise DamagedError(f"the choices of method {self.options.method} are missing or extra")
        if self.choices is not None and (
            self.choices.dtype != np.uint32 or self.choices.shape != (self.tokens - self.kept,)
        ):
            raise DamagedError("there is not one choice for each pruned tile")
        if self.unchanged is not None and (
            self.unchanged.dtype != np.bool_ or self.unchanged.shape != (self.tokens - self.kept,)
        ):
            raise DamagedError("it is not known of each pruned tile whether it is unchanged")

    @classmethod
    def of(cls, kept: KeptTiles) -> "PatchSet":
        """Return the patch set of kept tiles."""
        return cls(kept.keep, kept.tiles, kept.options, kept.choices, kept.unchanged)

    def reconstruct(self, before: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Rebuild the raster: uint8 (grid_h·tile, grid_w·tile, 3).

        At threshold 0 it equals the source, bit for bit. Above it, in anchored mode, every tile
        is within the threshold of the source.

        Args:
            before: the rebuilt raster of the frame before; only used if `unchanged` is not None.

        Raises:
            UsageError: the frame before is missing, or has another size.
            DamagedError: the choices are impossible.
        """
        grid_h, grid_w = self.keep.shape
        comparison = Comparison.of(self.options, self.tile)
        intra, tiles, choices = self.intra, self.tiles, self.choices
        if self.unchanged is not None:
            tiles = self._with_unchanged(before)
            choices = None if choices is None else choices[~self.unchanged]
        source = self.options.implementation.sources(intra, tiles, choices, comparison)
        raster = np.empty((grid_h, self.tile, grid_w, self.tile, 3), dtype=np.uint8)
        for row, sources in zip(raster, source, strict=True):  # row by row, to save memory
            row.transpose(1, 0, 2, 3)[...] = tiles[sources]
        return raster.reshape(grid_h * self.tile, grid_w * self.tile, 3)

    def _with_unchanged(self, before: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        """Return the kept and the unchanged tiles, in row-major order."""
        grid_h, grid_w = self.keep.shape
        if before is None:
            raise UsageError("the frame depends on the one before; give its rebuilt raster")
        before, tile = check_raster(before, self.tile)
        if before.shape != (grid_h * tile, grid_w * tile, 3):
            raise UsageError("the frame before has another size")
        intra = self.intra
        is_kept = self.keep[intra]
        tiles = np.empty((len(is_kept), tile, tile, 3), dtype=np.uint8)
        tiles[is_kept] = self.tiles
        tiles[~is_kept] = cut_tiles(before, intra & ~self.keep, tile)
        return tiles


def _check_options(options: object) -> None:
    if not isinstance(options, CoderOptions):
        raise UsageError(f"the options are {describe_value(options)}; they must be CoderOptions")
    if options.threshold == AUTO:
        raise UsageError("the threshold of kept tiles is a number, the one that auto stood for")


def cut_tiles(raster: NDArray[np.uint8], keep: NDArray[np.bool_], tile: int) -> NDArray[np.uint8]:
    """Copy the tiles that `keep`, bool (grid_h, grid_w), selects: uint8 (kept, tile, tile, 3)."""
    flat = raster.reshape(raster.shape[0], -1)
    return gather(flat, keep, tile, lanes_of(3 * tile)).reshape(-1, tile, tile, 3)


def patch_set_kernels(options: CoderOptions, tile: int) -> list[Variant]:
    """Return the kernels that cut the kept tiles and rebuild the raster for its digest."""
    comparison = Comparison.of(options.settled(CAP), tile)
    cutting = [gather_into.of(comparison.lanes)]
    if options.threshold == 0:  # the source is the raster
        return cutting
    return cutting + options.implementation.decoding_kernels(comparison)


def encode(
    raster: NDArray[np.uint8],
    tile: int,
    options: CoderOptions,
    before: NDArray[np.uint8] | None = None,
) -> PatchSet:
    """Prune a raster, uint8 (grid_h·tile, grid_w·tile, 3), to its patch set.

    Args:
        raster: the frame.
        tile: side of a tile in pixels.
        options: the configuration of the coder.
        before: the rebuilt frame before in a sequence, of the same shape; None for none.

    Raises:
        UsageError: the raster is not a whole number of tiles, the method is not decodable, or the
            frame before has another size.
    """
    require_decodable(options)
    raster, tile = check_raster(raster, tile)
    return PatchSet.of(KeptTiles.of_raster(raster, tile, options, before=before))


def raster_digest(raster: NDArray[np.uint8]) -> str:
    """Return the XXH3 128-bit hash of a raster's bytes, row by row, in hexadecimal."""
    return xxhash.xxh3_128_hexdigest(np.ascontiguousarray(raster).data)
