"""Converts patch sets to rows and back."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ppcli.coding.coder_options import CoderOptions, Method, Metric, Mode
from ppcli.coding.patchset import KeptTiles, PatchSet, raster_digest
from ppcli.errors import DamagedError, ErrorCode, ImageError, UsageError
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS, Fit
from ppcli.imaging.limits import check_grid
from ppcli.store.formats import ZSTD_LEVEL
from ppcli.store.rows import PatchRow


@dataclass(frozen=True, slots=True, eq=False)
class StoredPatchSet:
    """A patch set read from a dataset, with the sizes of its image.

    Attributes:
        image_id: id of its row.
        width: width of the source image in pixels, after EXIF orientation.
        height: height of the source image in pixels, after EXIF orientation.
        fitted_width: width of the image within the raster, without padding.
        fitted_height: height of the image within the raster, without padding.
        fit: how the image was fitted to the tile grid.
        patch_set: keep mask and kept tiles.
        raster_digest: XXH3-128 of the raster that decoding must give, hexadecimal; empty if the
            method cannot be decoded.
    """

    image_id: str
    width: int
    height: int
    fitted_width: int
    fitted_height: int
    fit: Fit
    patch_set: PatchSet
    raster_digest: str

    def raster(self) -> NDArray[np.uint8]:
        """Rebuild the raster and compare its digest.

        Returns:
            RGB uint8 (grid_h·tile, grid_w·tile, 3).

        Raises:
            DamagedError: the raster differs from the one that was stored.
        """
        raster = self.patch_set.reconstruct()
        if raster_digest(raster) != self.raster_digest:
            raise DamagedError("the rebuilt raster differs from the one that was stored")
        return raster

    def image(self) -> NDArray[np.uint8]:
        """Rebuild the image: the raster without padding.

        Returns:
            RGB uint8 (fitted_height, fitted_width, 3).

        Raises:
            DamagedError: the raster differs from the one that was stored.
        """
        return self.raster()[: self.fitted_height, : self.fitted_width]


def to_patch_row(
    image_id: str,
    size: tuple[int, int],
    fitted: tuple[int, int],
    fit: Fit,
    kept: KeptTiles,
    digest: str,
    zstd_level: int = ZSTD_LEVEL,
) -> PatchRow:
    """Convert kept tiles to a row: the mask as bits, the tiles as one zstd frame.

    Args:
        image_id: id of the row.
        size: (width, height) of the source in pixels.
        fitted: (width, height) of the image within the raster in pixels.
        fit: how the image was fitted to the tile grid.
        kept: keep mask and kept tiles.
        digest: `raster_digest` of the raster that decoding must give; empty if the method cannot
            be decoded.
        zstd_level: 1 to 22; every level is read in the same way.
    """
    grid_h, grid_w = kept.keep.shape
    tiles = np.ascontiguousarray(kept.tiles).data.cast("B")
    return PatchRow(
        image_id=image_id,
        width=size[0],
        height=size[1],
        fitted_width=fitted[0],
        fitted_height=fitted[1],
        grid_h=grid_h,
        grid_w=grid_w,
        tile=kept.tile,
        fit=fit.value,
        method=kept.options.method.value,
        metric=kept.options.metric.value,
        mode=kept.options.mode.value,
        threshold=kept.options.tau,
        keep=np.packbits(kept.keep).tobytes(),
        tiles=pa.Codec("zstd", zstd_level).compress(tiles, asbytes=True),
        raster_digest=digest,
        choices=_packed(kept.choices, zstd_level),
    )


def _packed(choices: NDArray[np.uint32] | None, zstd_level: int) -> bytes | None:
    """Return choices as one zstd frame of little-endian numbers."""
    if choices is None:
        return None
    raw = np.ascontiguousarray(choices, dtype="<u4").tobytes()
    return bytes(pa.Codec("zstd", zstd_level).compress(raw, asbytes=True))


def check_declared_size(row: PatchRow, max_image_pixels: int) -> None:
    """Check the size of an untrusted row before anything is allocated for it.

    Args:
        row: row of a patch-set file.
        max_image_pixels: most pixels of its raster.

    Raises:
        DamagedError: the grid or the tile is empty.
        ImageError: `too_large`.
    """
    if min(row.grid_h, row.grid_w, row.tile) < 1:
        raise DamagedError("its grid or its tile is empty")
    check_grid(row.grid_h, row.grid_w, row.tile, max_image_pixels)


def from_patch_row(
    row: PatchRow, max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS
) -> StoredPatchSet:
    """Convert a row to its patch set.

    Args:
        row: row of a patch-set file.
        max_image_pixels: most pixels of its raster.

    Raises:
        DamagedError: the columns contradict one another.
        ImageError: `too_large`.
    """
    check_declared_size(row, max_image_pixels)
    with _contradictions_as_damage():
        kept = kept_tiles(row)
        patch_set = PatchSet.of(kept)
        fit = Fit(row.fit)
    if not (0 < row.fitted_width <= row.grid_w * row.tile) or not (
        0 < row.fitted_height <= row.grid_h * row.tile
    ):
        raise DamagedError("the fitted size exceeds the grid")
    return StoredPatchSet(
        row.image_id,
        row.width,
        row.height,
        row.fitted_width,
        row.fitted_height,
        fit,
        patch_set,
        row.raster_digest,
    )


@contextmanager
def _contradictions_as_damage() -> Iterator[None]:
    try:
        yield
    except (ValueError, UsageError, OSError, OverflowError, MemoryError) as error:
        raise DamagedError(str(error) or type(error).__name__) from error


def kept_tiles(row: PatchRow) -> KeptTiles:
    """Convert a row to mask and tiles, also for methods that cannot be decoded.

    Raises:
        DamagedError: the columns contradict one another.
    """
    with _contradictions_as_damage():
        return _kept_tiles(row)


def kept_tiles_of_image(row: PatchRow) -> KeptTiles:
    """Do the same where damage fails one image, not the run.

    Raises:
        ImageError: `corrupt`, if the columns contradict one another.
    """
    try:
        return kept_tiles(row)
    except DamagedError as error:
        raise ImageError(ErrorCode.CORRUPT, f"its patch set is damaged: {error}") from error


def _kept_tiles(row: PatchRow) -> KeptTiles:
    tokens = row.grid_h * row.grid_w
    if row.grid_h < 1 or row.grid_w < 1 or row.tile < 1 or len(row.keep) != math.ceil(tokens / 8):
        raise DamagedError("the keep mask does not match the size of the grid")
    bits = np.unpackbits(np.frombuffer(row.keep, dtype=np.uint8))
    if bits[tokens:].any():
        raise DamagedError("the keep mask has bits beyond the grid")
    keep = bits[:tokens].astype(np.bool_).reshape(row.grid_h, row.grid_w)
    shape = (int(keep.sum()), row.tile, row.tile, 3)
    raw = pa.Codec("zstd").decompress(row.tiles, decompressed_size=math.prod(shape))
    tiles = np.frombuffer(raw, dtype=np.uint8).reshape(shape)
    options = CoderOptions(Method(row.method), Metric(row.metric), Mode(row.mode), row.threshold)
    return KeptTiles(keep, tiles, options, _choices(row, tokens - shape[0]))


def _choices(row: PatchRow, pruned: int) -> NDArray[np.uint32] | None:
    if row.choices is None:
        return None
    raw = pa.Codec("zstd").decompress(row.choices, decompressed_size=4 * pruned) if pruned else b""
    return np.frombuffer(raw, dtype="<u4").astype(np.uint32, copy=False)
