"""Reads what a processor of transformers gives: one conversation with its images."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppcli.arguments import as_int
from ppcli.errors import UsageError
from ppcli.imaging.presets import Preset
from ppcli.models.checkpoints.preprocessor_config import NORMALIZATION, normalization

Integers = NDArray[np.int64]


def processor_preset(images: Any) -> Preset:  # noqa: ANN401
    """How an image processor of transformers cuts and scales.

    Raises:
        UsageError: when it is no image processor, or its settings are invalid.
    """
    patch_size, merge_size, temporal = (
        as_int(getattr(images, name, None), f"the processor's {name}", 1)
        for name in ("patch_size", "merge_size", "temporal_patch_size")
    )
    try:
        there = [name for name in NORMALIZATION if hasattr(images, name)]
        named = {name: getattr(images, name) for name in there}
        mean, std, factor = normalization(named)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"the processor's {error}") from error
    return Preset(patch_size, merge_size, temporal, 1, 1, mean, std, factor)


def image_grids(given: Any, merge_size: int) -> list[tuple[int, int]]:  # noqa: ANN401
    """Rows and columns of patches of each image.

    Raises:
        UsageError: when these are no grids of whole tiles of still images.
    """
    if given is None:
        raise UsageError("an example has pixel_values, and no image_grid_thw")
    grids = np.asarray(given)
    if grids.size % 3 or not np.issubdtype(grids.dtype, np.integer):
        raise UsageError(
            f"image_grid_thw is int64 (images, 3), and this one is {grids.dtype} {grids.shape}"
        )
    sizes = []
    for time, height, width in grids.reshape(-1, 3).tolist():
        if time != 1 or min(height, width) < 1 or height % merge_size or width % merge_size:
            raise UsageError(f"image_grid_thw holds {(time, height, width)}, which is no image")
        sizes.append((height, width))
    return sizes


def tokens_of(example: Mapping[str, Any]) -> tuple[Integers, Integers | None]:
    """Ids and labels without padding, int64 (S,) each; no labels where the example has none.

    Raises:
        UsageError: when ids are missing, or they are not one conversation.
    """
    if example.get("input_ids") is None:
        raise UsageError("an example has no input_ids")
    ids = _row(example["input_ids"])
    there = np.ones(ids.size, dtype=np.bool_)
    if example.get("attention_mask") is not None:
        there = _row(example["attention_mask"]) > 0
    labels = None if example.get("labels") is None else _row(example["labels"])
    for name, row in (("attention mask", there), ("labels", labels)):
        if row is not None and row.size != ids.size:
            raise UsageError(f"an example has {ids.size} tokens, and {row.size} of its {name}")
    return ids[there], None if labels is None else labels[there]


def pixel_values_of(given: Any) -> NDArray[np.float32]:  # noqa: ANN401
    """Pixel values as float32 (patches, values), also from a type that NumPy lacks.

    Raises:
        UsageError: when they have another shape, or are no numbers.
    """
    try:
        values = np.asarray(given.float() if hasattr(given, "float") else given, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise UsageError(f"pixel_values are float32 (patches, values): {error}") from error
    if isinstance(given, np.ma.MaskedArray) or values.ndim != 2:
        raise UsageError(f"pixel_values are float32 (patches, values), not {values.shape}")
    return values


def _row(given: Any) -> Integers:  # noqa: ANN401
    """The tokens of one example, whatever batch dimension it has."""
    try:
        row = np.asarray(given)
    except (TypeError, ValueError) as error:
        raise UsageError(f"tokens are int64 (S,): {error}") from error
    if row.dtype.kind not in "iub" or row.ndim == 0:
        raise UsageError(f"tokens are int64 (S,), and these are {row.dtype} {row.shape}")
    if row.size != row.shape[-1]:
        raise UsageError(f"an example holds one conversation, not {row.shape}")
    return row.reshape(-1).astype(np.int64)
