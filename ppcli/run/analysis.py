"""One input file to its rows: decode, fit, code, compress. Pure, so that any worker can do it."""

import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from PIL import Image

from ppcli.coding.distinct import distinct_tiles
from ppcli.coding.methods import select
from ppcli.coding.options import CoderOptions
from ppcli.coding.patchset import PatchSet, cut, raster_digest, require_decodable
from ppcli.errors import ImageError
from ppcli.imaging.choices import DEFAULT_MAX_IMAGE_PIXELS, Frames
from ppcli.imaging.colour import WHITE, Colour
from ppcli.imaging.decode import ImageSource, UnreachableFrameError
from ppcli.imaging.fit import FitOptions, FittedRaster, fit_image
from ppcli.inputs.refs import ImageRef, printable
from ppcli.store.codec import pack
from ppcli.store.rows import ERROR, PatchRow, StatsRow


@dataclass(frozen=True, slots=True)
class AnalysisOptions:
    """All that the rows of an input depend on.

    Attributes:
        coder: method, metric, threshold.
        fit: the grid and the limits.
        frames: which frames of an animation become rows.
        background: what shows behind transparent pixels.
        max_image_pixels: larger images are error rows.
        patches: whether patch sets are made.

    Raises:
        UsageError: when patch sets are asked of a method that cannot be decoded.
    """

    coder: CoderOptions
    fit: FitOptions
    frames: Frames = Frames.FIRST
    background: Colour = WHITE
    max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS
    patches: bool = True

    def __post_init__(self) -> None:
        if self.patches:
            require_decodable(self.coder)

    def as_config(self) -> dict[str, Any]:
        """Flat and JSON-ready, for the metadata of what is written."""
        nested: dict[str, Any] = asdict(self)
        flat: dict[str, Any] = nested.pop("coder") | nested.pop("fit") | nested
        return flat | {"background": "#{:02x}{:02x}{:02x}".format(*self.background)}


@dataclass(frozen=True, slots=True)
class PageResult:
    """The row of one page or frame, and its patch set where one was made."""

    stats: StatsRow
    patches: PatchRow | None = None


def analyze_file(ref: ImageRef, options: AnalysisOptions) -> Iterator[PageResult]:
    """The rows of one input file, at least one, whatever is wrong with it."""
    blank = _blank_row(ref, options)
    started = time.perf_counter()
    try:
        source = ImageSource(ref.path, options.max_image_pixels)
    except ImageError as error:
        yield PageResult(_failed(blank, error))
        return
    with source:
        row = replace(blank, frames=source.frames, format=source.format)
        several = source.gives_several(options.frames)
        for number in range(1, source.frames + 1 if several else 2):
            name = ref.page_id(number) if several else ref.image_id
            page = replace(row, image_id=name, page=number)
            try:
                image = source.page(number, options.background)
                page = replace(page, width=image.width, height=image.height)
                yield _analyze_page(image, page, options, started)
            except ImageError as error:
                yield PageResult(_failed(page, error))
                if isinstance(error, UnreachableFrameError):
                    return
            started = time.perf_counter()


def _blank_row(ref: ImageRef, options: AnalysisOptions) -> StatsRow:
    return StatsRow(
        image_id=ref.image_id,
        path=ref.shown_path,
        file_bytes=_size_of(ref.path),
        tile=options.fit.tile,
        fit=options.fit.fit.value,
        method=options.coder.method.value,
        metric=options.coder.metric.value,
        mode=options.coder.mode.value,
        threshold=options.coder.threshold,
    )


def _size_of(path: str) -> int | None:
    try:
        return os.path.getsize(path)
    except (OSError, ValueError):
        return None


def _failed(row: StatsRow, error: ImageError) -> StatsRow:
    message = printable(f"{row.image_id}: {error.message}")
    return replace(row, status=ERROR, error_code=error.code.value, error_message=message)


def _analyze_page(
    image: Image.Image, row: StatsRow, options: AnalysisOptions, started: float
) -> PageResult:
    fitted = fit_image(image, options.fit)
    decoded = time.perf_counter()
    tile = options.fit.tile
    keep = select(fitted.raster, tile, options.coder, row.image_id)
    unique = distinct_tiles(fitted.raster, keep, tile, options.coder)
    patches = None
    if options.patches:
        patch_set = PatchSet(keep, cut(fitted.raster, keep, tile), options.coder)
        patches = _pack(row.image_id, image.size, fitted, patch_set, options)
    coded = time.perf_counter()
    grid_h, grid_w = keep.shape
    tokens, kept = keep.size, int(keep.sum())
    stats = replace(
        row,
        fitted_width=fitted.width,
        fitted_height=fitted.height,
        grid_h=grid_h,
        grid_w=grid_w,
        tokens=tokens,
        kept=kept,
        keep_ratio=kept / tokens,
        unique=unique,
        unique_ratio=unique / tokens,
        decode_ms=(decoded - started) * 1000,
        code_ms=(coded - decoded) * 1000,
    )
    return PageResult(stats, patches)


def _pack(
    image_id: str,
    size: tuple[int, int],
    fitted: FittedRaster,
    patch_set: PatchSet,
    options: AnalysisOptions,
) -> PatchRow:
    lossless = options.coder.threshold == 0
    rebuilt = fitted.raster if lossless else patch_set.reconstruct()
    return pack(
        image_id,
        size,
        (fitted.width, fitted.height),
        options.fit.fit,
        patch_set,
        raster_digest(rebuilt),
    )
