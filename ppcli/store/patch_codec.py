"""Converts patch sets to rows and back."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ppcli.coding.coder_options import CoderOptions, Method, Metric, Mode
from ppcli.coding.patchset import KeptTiles, PatchSet, raster_digest
from ppcli.errors import DamagedError, ErrorCode, ImageError, UsageError, bounded
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
        before: the frame that it depends on; None for none.
    """

    image_id: str
    width: int
    height: int
    fitted_width: int
    fitted_height: int
    fit: Fit
    patch_set: PatchSet
    raster_digest: str
    before: "StoredPatchSet | None" = None
    _rebuilt: list[NDArray[np.uint8]] = field(default_factory=list, init=False, repr=False)

    def raster(self) -> NDArray[np.uint8]:
        """Rebuild the raster and compare its digest.

        The rasters of frames that others depend on are kept, and are read-only.

        Returns:
            RGB uint8 (grid_h·tile, grid_w·tile, 3).

        Raises:
            DamagedError: the raster differs from the one that was stored.
        """
        if self._rebuilt:
            return self._rebuilt[0]
        before = None if self.before is None else self.before._raster_of_frame()
        raster = self.patch_set.reconstruct(before)
        if raster_digest(raster) != self.raster_digest:
            raise DamagedError("the rebuilt raster differs from the one that was stored")
        return raster

    def _raster_of_frame(self) -> NDArray[np.uint8]:
        if not self._rebuilt:
            raster = self.raster()
            raster.flags.writeable = False
            self._rebuilt.append(raster)
        return self._rebuilt[0]

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
    reference: str | None = None,
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
        reference: id of the row of the frame that it depends on; None for none.
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
        reference=reference,
        unchanged=None if kept.unchanged is None else np.packbits(kept.unchanged).tobytes(),
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
    row: PatchRow,
    max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
    before: StoredPatchSet | None = None,
) -> StoredPatchSet:
    """Convert a row to its patch set.

    Args:
        row: row of a patch-set file.
        max_image_pixels: most pixels of its raster.
        before: the frame that it depends on.

    Raises:
        DamagedError: the columns contradict one another, or the frame before is missing or has
            another size.
        ImageError: `too_large`.
    """
    if row.reference is None:
        before = None
    elif before is None:
        raise DamagedError(f"the frame {bounded(row.reference)} that it depends on is missing")
    elif before.patch_set.keep.shape != (row.grid_h, row.grid_w):
        raise DamagedError(f"the frame {bounded(row.reference)} before it has another size")
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
        before,
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
    if row.grid_h < 1 or row.grid_w < 1 or row.tile < 1:
        raise DamagedError("its grid or its tile is empty")
    keep = _bits(row.keep, tokens, "the keep mask").reshape(row.grid_h, row.grid_w)
    shape = (int(keep.sum()), row.tile, row.tile, 3)
    raw = pa.Codec("zstd").decompress(row.tiles, decompressed_size=math.prod(shape))
    tiles = np.frombuffer(raw, dtype=np.uint8).reshape(shape)
    options = CoderOptions(Method(row.method), Metric(row.metric), Mode(row.mode), row.threshold)
    pruned = tokens - shape[0]
    if (row.reference is None) != (row.unchanged is None):
        raise DamagedError("it names a frame without its unchanged tiles, or the other way round")
    unchanged = None
    if row.unchanged is not None:
        unchanged = _bits(row.unchanged, pruned, "the mask of unchanged tiles")
    return KeptTiles(keep, tiles, options, _choices(row, pruned), unchanged)


def _bits(packed: bytes, number: int, what: str) -> NDArray[np.bool_]:
    """Unpack a mask: bool (number,).

    Raises:
        DamagedError: it has another size.
    """
    if len(packed) != math.ceil(number / 8):
        raise DamagedError(f"{what} does not match the size of the grid")
    bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8))
    if bits[number:].any():
        raise DamagedError(f"{what} has bits beyond the grid")
    return bits[:number].astype(np.bool_)


def _choices(row: PatchRow, pruned: int) -> NDArray[np.uint32] | None:
    if row.choices is None:
        return None
    raw = pa.Codec("zstd").decompress(row.choices, decompressed_size=4 * pruned) if pruned else b""
    return np.frombuffer(raw, dtype="<u4").astype(np.uint32, copy=False)
