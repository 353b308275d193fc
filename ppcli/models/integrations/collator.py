"""Training on pruned patches, with transformers' own Qwen3-VL classes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ppcli.arguments import as_bool, as_int, describe_value
from ppcli.coding.coder_options import coder_for_models
from ppcli.coding.selection import select_tiles
from ppcli.errors import ModelError, UsageError, bounded
from ppcli.imaging.pixels import invert_pixel_values
from ppcli.imaging.presets import Preset
from ppcli.models.checkpoints.preprocessor_config import NORMALIZATION, normalization
from ppcli.models.families.base import Family
from ppcli.models.families.family_registry import FAMILIES, family_of_type

if TYPE_CHECKING:
    from torch import Tensor

_NO_LABEL = -100
Mask = NDArray[np.bool_]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Pruned:
    """One example without its pruned patches.

    Attributes:
        ids: int64 (S,).
        labels: likewise; None where none are given.
        positions: int64 (3, S).
        patches: of each image float32 (N, values).
        inputs: of each image, the other arguments of transformers for its patches.
    """

    ids: Integers
    labels: Integers | None
    positions: Integers
    patches: list[NDArray[np.float32]]
    inputs: list[dict[str, NDArray[Any]]]


class PrunedCollator:
    """Puts examples together as a batch for `Qwen3VLForConditionalGeneration`, pruned.

    It stands where another collator stood (`DataLoader(collate_fn=…)`, `Trainer(data_collator=…)`),
    and so runs in the loader's workers. An example is what transformers' processor gives for one
    conversation with any number of images, and labels:

    - `input_ids`, int64 (S,) or (1, S), and `attention_mask` likewise, if there is padding;
    - `labels`, likewise; −100 where nothing is learnt; in all examples of a batch, or in none;
    - `pixel_values`, float32 (N, values), and `image_grid_thw`, int64 (images, 3), of its images.

    The coder gets the RGB raster back from the pixel values, exactly. The patches and tokens of
    pruned tiles are left out; all others keep the places that they had in the vision transformer
    and in M-RoPE, and their labels, but for one right after a pruned tile: the token that would
    have foretold it is gone.
    """

    def __init__(
        self,
        processor: Any,  # noqa: ANN401
        config: Any,  # noqa: ANN401
        *,
        prune: bool = True,
        method: str = "pred_2d",
        metric: str = "max",
        threshold: float = 0.0,
        mode: str = "anchored",
    ) -> None:
        """Prepare for a model.

        Args:
            processor: of transformers: its image processor is what made the pixel values.
            config: `model.config`.
            prune: False keeps every patch, for comparison.
            method: pred_2d, raster, serpentine or conncomp.
            metric: exact, max, mae or rmse, in units of full scale.
            threshold: τ in [0, 1]; at 0 nothing is lost.
            mode: anchored (bounded error) or sliding (may drift).

        Raises:
            MissingDependencyError: transformers is missing, or too old to take patch positions.
            UsageError: for an unknown name, a number out of range, another kind of model, or a
                processor that cuts other patches than the model takes.
        """
        coder = coder_for_models(method, metric, threshold, mode)
        self._coder = coder if as_bool(prune, "prune") else None
        family = _trainable_family(getattr(config, "model_type", None))
        family.check_transformers()
        self._preset = _preset(getattr(processor, "image_processor", processor))
        self._layout = family.training_layout(config)
        cut = (
            self._preset.patch_size,
            self._preset.merge_size,
            self._preset.temporal_patch_size,
        )
        taken = self._layout.patch_sizes
        if cut != taken:
            raise UsageError(
                f"the processor cuts patches of {cut} (pixels, patches of a tile's side, frames), "
                f"the model takes {taken}"
            )
        self._image_token = self._layout.image_token

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> "dict[str, Tensor]":
        """One batch, texts padded on the right.

        Raises:
            UsageError: when an example is not what the processor makes.
        """
        import torch

        if isinstance(examples, Mapping | str) or not isinstance(examples, Iterable):
            raise UsageError(
                f"a batch is a list of examples, and this is {describe_value(examples)}"
            )
        pruned = [self._pruned(one) for one in examples]
        if not pruned:
            raise UsageError("a batch holds one example at least")
        labelled = [one.labels is not None for one in pruned]
        if any(labelled) and not all(labelled):
            raise UsageError("some examples of a batch have labels, and others have none")
        longest = max(one.ids.size for one in pruned)
        shape = len(pruned), longest
        filler = 0 if self._image_token != 0 else 1
        ids = np.full(shape, filler, dtype=np.int64)
        labels = np.full(shape, _NO_LABEL, dtype=np.int64)
        mask = np.zeros(shape, dtype=np.int64)
        positions = np.zeros((3, *shape), dtype=np.int64)
        for row, one in enumerate(pruned):
            used = one.ids.size
            ids[row, :used], mask[row, :used] = one.ids, 1
            positions[:, row, :used] = one.positions
            if one.labels is not None:
                labels[row, :used] = one.labels
        batch: dict[str, NDArray[Any]] = {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": positions,
            **({"labels": labels} if all(labelled) else {}),
            **self._images(pruned),
        }
        return {name: torch.from_numpy(array) for name, array in batch.items()}

    def _images(self, pruned: Sequence[_Pruned]) -> dict[str, NDArray[Any]]:
        """What the vision transformer takes; nothing where there is no image."""
        patches = [array for one in pruned for array in one.patches]
        inputs = [one_image for one in pruned for one_image in one.inputs]
        if not patches:
            return {}
        m = self._preset.merge_size
        # transformers takes from the grids how many tokens each image has, and nothing else
        grids = [(1, m, len(array) // m) for array in patches]
        return {
            "pixel_values": np.concatenate(patches),
            "image_grid_thw": np.array(grids, dtype=np.int64),
            **{name: np.concatenate([one[name] for one in inputs]) for name in inputs[0]},
        }

    def _pruned(self, example: Mapping[str, Any]) -> _Pruned:
        """One example without its pruned patches."""
        if not isinstance(example, Mapping):
            raise UsageError(
                f"an example is what a processor gives, and this is {describe_value(example)}"
            )
        if example.get("pixel_values_videos") is not None:
            raise UsageError("an example holds a video; only images are pruned")
        ids, labels = _tokens(example)
        patches, keeps = self._kept(example)
        flat = np.concatenate([keep.ravel() for keep in keeps] or [np.zeros(0, np.bool_)])
        visual = ids == self._image_token
        if visual.sum() != flat.size:
            raise UsageError(
                f"an example has {visual.sum()} image tokens where its images have {flat.size} "
                "tiles; was it cut off?"
            )
        stays = np.ones(ids.size, dtype=np.bool_)
        stays[visual] = flat
        firsts = np.cumsum([0, *(keep.size for keep in keeps)])[:-1]
        one_each = np.ones(ids.size, dtype=np.bool_)
        one_each[visual] = np.isin(np.arange(flat.size), firsts)
        tokens = self._layout.layout_prompt(ids[one_each].tolist(), keeps)
        if labels is not None:
            labels = np.where(np.append(True, stays[:-1]), labels, _NO_LABEL)[stays]
        inputs = [self._layout.patch_inputs(keep) for keep in keeps]
        return _Pruned(ids[stays], labels, tokens.positions, patches, inputs)

    def _kept(self, example: Mapping[str, Any]) -> tuple[list[NDArray[np.float32]], list[Mask]]:
        """The kept patches of each image, and which tiles they are."""
        if example.get("pixel_values") is None:
            return [], []
        values = _floats(example["pixel_values"])
        m, at = self._preset.merge_size, 0
        patches, keeps = [], []
        for height, width in _grids(example.get("image_grid_thw"), m):
            mine = values[at : at + height * width]
            at += height * width
            keep = np.ones((height // m, width // m), dtype=np.bool_)
            if self._coder is not None:
                raster = invert_pixel_values(mine, keep.shape, self._preset)
                keep = select_tiles(raster, self._preset.patch_size * m, self._coder)
            keeps.append(keep)
            patches.append(mine[np.repeat(keep.ravel(), m * m)])
        if at != len(values):
            raise UsageError(f"an example has {len(values)} patches where its grids have {at}")
        return patches, keeps


def _trainable_family(model_type: object) -> Family:
    """The family of a model.

    Raises:
        UsageError: if models of this type cannot be trained on pruned patches.
    """
    family: Family | None
    try:
        family = family_of_type(model_type)
    except ModelError:
        family = None
    if family is None or not family.trainable:
        types = (name for one in FAMILIES if one.trainable for name in one.model_types)
        raise UsageError(
            f"config has the model type {bounded(str(model_type))}; supported for training: "
            f"{', '.join(types)}"
        )
    return family


def _preset(images: Any) -> Preset:  # noqa: ANN401
    """How an image processor cuts and scales.

    Raises:
        UsageError: when it is none.
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


def _grids(given: Any, merge_size: int) -> list[tuple[int, int]]:  # noqa: ANN401
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


def _tokens(example: Mapping[str, Any]) -> tuple[Integers, Integers | None]:
    """Ids and labels without padding."""
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


def _floats(given: Any) -> NDArray[np.float32]:  # noqa: ANN401
    """Pixel values in float32, also those that were rounded to a type that NumPy lacks."""
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
