"""Images of vLLM's requests as kept patches, prepared as `pixelprune infer` prepares them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from vllm.multimodal.media.base import MediaWithBytes

from ppcli.arguments import describe_value
from ppcli.coding.coder_options import CoderOptions
from ppcli.coding.frame_chain import code_frames
from ppcli.coding.patchset import KeptTiles, cut_tiles, patch_set_kernels
from ppcli.coding.selection import selection_kernels
from ppcli.errors import ErrorCode, ImageError, UsageError, bounded
from ppcli.files import MemoryFile
from ppcli.imaging import direct
from ppcli.imaging.colour import to_rgb, upright
from ppcli.imaging.fit import MAX_ASPECT_RATIO, fit_image
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS, WHITE, Colour
from ppcli.imaging.page_source import source_of
from ppcli.imaging.pixels import (
    MAX_ROUNDING_ERROR,
    invert_pixel_levels,
    invert_pixel_values,
    pixel_levels,
    pixel_values,
)
from ppcli.imaging.presets import Preset
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.imaging.resample import KERNELS as RESAMPLING
from ppcli.jit.kernel import Variant
from ppcli.models.checkpoints.preprocessor_config import HARMLESS, NORMALIZATION, normalization
from ppcli.models.integrations.vllm.vllm_options import OPTION, PruningOptions
from ppcli.models.kept_patches import patches_kept

Mask = NDArray[np.bool_]
# Where the error gives advice that is for the command line.
_REASONS = {
    ErrorCode.ASPECT_RATIO: f"one side is more than {MAX_ASPECT_RATIO} times the other",
    ErrorCode.TOO_LARGE: f"it has more than {DEFAULT_MAX_IMAGE_PIXELS:,} pixels",
}
_SIZES = ("patch_size", "merge_size", "temporal_patch_size")
_LIMITS = frozenset({"size", "min_pixels", "max_pixels"})
_FIXED: Mapping[str, Any] = {"do_resize": True, "do_convert_rgb": True, "resample": 3}
_CHANNELS = (1, 3, 4)
# A level that was rounded to bfloat16 is off by a quarter of a level at most.
_MAX_ERROR_LOW_PRECISION = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class PreparedImage:
    """An image as the pruning model takes it.

    Attributes:
        patches: (kept·M², 3·temporal·P·P), float32 normalised, or uint8 levels where the model
            normalises them itself.
        keep: bool (grid_h, grid_w).
    """

    patches: torch.Tensor
    keep: Mask


def image_settings(processor: Any, given: Mapping[str, Any], size: Mapping[str, int]) -> Preset:
    """Return how images are prepared for a model.

    Args:
        processor: the image processor of Hugging Face, whose settings are used.
        given: the options that vLLM would call it with.
        size: `shortest_edge` and `longest_edge`, the limits of pixels.

    Raises:
        UsageError: for an option that this preparation does not know, or an invalid one.
    """
    settings = {
        name: getattr(processor, name)
        for name in (*_SIZES, *NORMALIZATION, *_FIXED)
        if hasattr(processor, name)
    }
    settings |= {name: value for name, value in given.items() if value is not None}
    for name, value in settings.items():
        known = name in NORMALIZATION or name in _SIZES or name in HARMLESS or name in _LIMITS
        if not known and (name not in _FIXED or value != _FIXED[name]):
            raise UsageError(
                f"{OPTION} cannot prepare images with {bounded(name)} {describe_value(value)}; "
                'use "preparation": "huggingface"'
            )
    try:
        mean, std, factor = normalization(settings)
    except (KeyError, ValueError) as error:
        raise UsageError(f"{OPTION}: the image processor's {error}") from error
    patch, merge, temporal = (int(settings[name]) for name in _SIZES)
    least, most = int(size["shortest_edge"]), int(size["longest_edge"])
    return Preset(patch, merge, temporal, least, most, mean, std, factor)


def prepare_images(
    items: Sequence[object],
    numbers: Collection[int],
    preset: Preset,
    options: PruningOptions,
    *,
    as_levels: bool,
) -> list[PreparedImage]:
    """Decode, fit and prune images.

    They are fitted as `pixelprune infer` fits them, so that their kept patches equal those of
    transformers' `Qwen2VLImageProcessorPil` bit for bit. What vLLM loads by default resizes with
    torchvision, whose pixels differ.

    Args:
        items: images as vLLM's parser keeps them. Of an image that came as a file the bytes are
            decoded anew, so that orientation, transparency, 16 bits and CMYK mean the same as in
            `analyze`; of a PIL image, array or tensor the pixels are taken.
        numbers: which of them are returned; the others are what these are compared with.
        preset: how images are prepared for the model.
        options: how the images are pruned.
        as_levels: whether the model normalises.

    Raises:
        UsageError: an image cannot be used.
    """
    fit = FitOptions.of_preset(preset)
    kept = _pruned((_raster(item, fit) for item in items), fit.tile, options)
    convert = pixel_levels if as_levels else pixel_values
    return [
        PreparedImage(torch.from_numpy(convert(one.tiles, preset)), one.keep)
        for number, one in enumerate(kept)
        if number in numbers
    ]


def _raster(item: object, fit: FitOptions) -> NDArray[np.uint8]:
    try:
        return fit_image(_pixels(item), fit).raster
    except ImageError as error:
        reason = _REASONS.get(error.code, str(error))
        raise UsageError(f"an image cannot be used ({error.code}): {reason}") from error


def _pruned(
    rasters: Iterable[NDArray[np.uint8]], tile: int, options: PruningOptions
) -> list[KeptTiles]:
    if options.enabled:
        return code_frames(rasters, tile, options.coder, options.sequence)
    return [_whole(raster, tile, options.coder) for raster in rasters]


def _whole(raster: NDArray[np.uint8], tile: int, coder: CoderOptions) -> KeptTiles:
    keep = np.ones(tuple(side // tile for side in raster.shape[:2]), dtype=np.bool_)
    return KeptTiles(keep, cut_tiles(raster, keep, tile), coder)


def prune_prepared(
    images: Sequence[tuple[torch.Tensor, tuple[int, int, int]]],
    numbers: Collection[int],
    preset: Preset,
    options: PruningOptions,
) -> list[PreparedImage]:
    """Prune images that the image processor of Hugging Face has prepared.

    Args:
        images: of each image its patches, (rows·columns, 3·temporal·P·P), uint8 levels or floating
            and normalised; and its grid, (1, rows, columns) of patches.
        numbers: which of them are returned; the others are what these are compared with.
        preset: with sizes, mean and std of that processor.
        options: how the images are pruned.

    Raises:
        UsageError: the patches were not made of 8-bit levels, so the raster cannot be recovered.
    """
    m = preset.merge_size
    if options.enabled:
        rasters = (_recovered(patches, grid, preset) for patches, grid in images)
        tile = preset.patch_size * m
        keeps = [one.keep for one in code_frames(rasters, tile, options.coder, options.sequence)]
    else:
        keeps = [np.ones((rows // m, columns // m), np.bool_) for _, (_, rows, columns) in images]
    return [
        PreparedImage(patches[torch.from_numpy(patches_kept(keep, m))], keep)
        for number, ((patches, _), keep) in enumerate(zip(images, keeps, strict=True))
        if number in numbers
    ]


def _recovered(
    patches: torch.Tensor, grid: tuple[int, int, int], preset: Preset
) -> NDArray[np.uint8]:
    shape = grid[1] // preset.merge_size, grid[2] // preset.merge_size
    if patches.dtype == torch.uint8:
        return invert_pixel_levels(patches.numpy(), shape, preset)
    exact = patches.dtype == torch.float32
    max_error = MAX_ROUNDING_ERROR if exact else _MAX_ERROR_LOW_PRECISION
    return invert_pixel_values(patches.float().numpy(), shape, preset, max_error)


def needed_kernels(options: PruningOptions, tile: int) -> Iterable[Variant]:
    """Return the kernels that images of an engine may need."""
    yield from direct.KERNELS
    yield from RESAMPLING
    yield from selection_kernels(options.coder, tile)
    yield from patch_set_kernels(options.coder, tile)


def _pixels(item: object) -> NDArray[np.uint8]:
    """Return RGB uint8 (height, width, 3), upright."""
    if isinstance(item, MediaWithBytes):
        settings = item.io_config or {}
        if settings.get("image_mode", "RGB") in (None, "RGB"):
            background = settings.get("rgba_background_color", WHITE)
            return _decoded(item.original_bytes, tuple(background))
        item = item.media
    if isinstance(item, Image.Image):
        return upright(np.array(to_rgb(item)), item)
    if isinstance(item, torch.Tensor):
        item = item.cpu().numpy()
    if not isinstance(item, np.ndarray) or item.dtype != np.uint8 or item.ndim not in (2, 3):
        raise UsageError(
            f"{OPTION} takes images as files, PIL images and uint8 arrays, not "
            f'{describe_value(item)}; use "preparation": "huggingface"'
        )
    if item.ndim == 3 and item.shape[-1] not in _CHANNELS:
        item = np.moveaxis(item, 0, -1)
    if item.ndim == 3 and item.shape[-1] == 1:
        item = item[..., 0]
    try:
        return np.array(to_rgb(Image.fromarray(np.ascontiguousarray(item))))
    except TypeError as error:
        raise UsageError(f"{OPTION} takes arrays of 1, 3 or 4 channels: {error}") from error


def _decoded(content: bytes, background: Colour) -> NDArray[np.uint8]:
    reading = ReadingOptions(background=background, max_image_pixels=DEFAULT_MAX_IMAGE_PIXELS)
    source = source_of(MemoryFile("image", content).open(), "image", reading)
    try:
        return source.page(1, background)
    finally:
        source.close()
