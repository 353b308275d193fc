"""Training on pruned patches, with transformers' own classes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ppcli.arguments import as_bool, describe_value
from ppcli.coding.coder_options import Threshold, coder_for_models
from ppcli.coding.sequence_options import sequence_for_models
from ppcli.errors import ModelError, UsageError, bounded
from ppcli.models.families.base import Family
from ppcli.models.families.family_registry import FAMILIES, family_of_type
from ppcli.models.integrations.transformers.processor_examples import (
    Integers,
    image_grids,
    pixel_values_of,
    processor_preset,
    tokens_of,
)
from ppcli.models.kept_patches import keeps_of_pixel_values, one_token_each, patches_kept

if TYPE_CHECKING:
    from torch import Tensor

_NO_LABEL = -100
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _Pruned:
    """One example without its pruned patches.

    Attributes:
        ids: int64 (S,).
        labels: likewise; None where none are given.
        positions: int64 (axes, S).
        patches: of each image float32 (N, values).
        keeps: of each image bool (grid_h, grid_w), the kept tiles.
    """

    ids: Integers
    labels: Integers | None
    positions: Integers
    patches: list[NDArray[np.float32]]
    keeps: list[Mask]


class PrunedCollator:
    """Puts examples together as a pruned batch for transformers, such as for Qwen3-VL.

    It replaces another collator (`DataLoader(collate_fn=…)`, `Trainer(data_collator=…)`), and so
    runs in the loader's workers. An example is what the processor of transformers gives for one
    conversation with any number of images, and labels:

    - `input_ids`, int64 (S,) or (1, S), and `attention_mask` likewise, if there is padding;
    - `labels`, likewise; −100 where nothing is learned; in all examples of a batch, or in none;
    - `pixel_values`, float32 (N, 3·temporal·P·P), and `image_grid_thw`, int64 (images, 3).

    The coder gets the RGB raster back from the pixel values, exactly. The patches and tokens of
    pruned tiles are left out. All others keep their positions in the vision transformer and in
    the language model, and their labels. One exception: the token right after a pruned tile gets
    no label, because the token that would predict it is gone.

    Examples:
        >>> from importlib.resources import files
        >>> import numpy as np
        >>> from PIL import Image
        >>> from transformers import Qwen2VLImageProcessorPil, Qwen3VLConfig
        >>> from ppcli import PrunedCollator
        >>> folder = str(files("ppcli") / "small_model")
        >>> processor = Qwen2VLImageProcessorPil.from_pretrained(folder)
        >>> config = Qwen3VLConfig.from_pretrained(folder)
        >>> blank = Image.new("RGB", (320, 256), "white")
        >>> seen = processor(images=[blank], return_tensors="np")
        >>> tokens = np.array([7, *[config.image_token_id] * 80, 8, 9])
        >>> batch = PrunedCollator(processor, config)([{"input_ids": tokens, **seen}])
        >>> batch["input_ids"].shape, batch["pixel_values"].shape
        (torch.Size([1, 4]), torch.Size([4, 1536]))
        >>> batch["position_ids"][:, 0, -1].tolist()  # as behind all 8 × 10 tiles
        [12, 12, 12]
    """

    def __init__(
        self,
        processor: Any,  # noqa: ANN401
        config: Any,  # noqa: ANN401
        *,
        prune: bool = True,
        method: str = "pred_2d",
        metric: str = "max",
        threshold: Threshold = 0.0,
        mode: str = "anchored",
        sequence: str | None = None,
    ) -> None:
        """Prepare for a model.

        Args:
            processor: of transformers: its image processor is what made the pixel values.
            config: `model.config`.
            prune: False keeps every patch, for comparison.
            method: a method of `pixelprune analyze --method`, except controls such as random.
            metric: exact, max, mae, rmse or two_scale, in units of full scale.
            threshold: τ in [0, 1]; at 0 nothing is lost. "auto" (max or two_scale) follows the
                noise of each image.
            mode: anchored (bounded error) or sliding (may drift).
            sequence: forward, to prune also tiles that the image before shows in the same place,
                in the same example; or reverse, for the image after. Images of another grid begin
                anew.

        Raises:
            MissingDependencyError: transformers is missing, or too old to take patch positions.
            UsageError: for an unknown name, a number out of range, another kind of model, a
                processor that cuts other patches than the model takes, or a sequence with a
                method that cannot be decoded.
        """
        coder = coder_for_models(method, metric, threshold, mode)
        self._coder = coder if as_bool(prune, "prune") else None
        self._sequence = sequence_for_models(sequence, coder)
        family = _trainable_family(getattr(config, "model_type", None))
        family.check_transformers()
        self._preset = processor_preset(getattr(processor, "image_processor", processor))
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
        """Make one batch of B examples, texts padded on the right to S tokens.

        Returns:
            Tensors by the name of the argument of transformers: `input_ids` and `attention_mask`,
            int64 (B, S); `position_ids`, int64 (axes, B, S); `labels`, int64 (B, S), where
            examples have them; and with images `pixel_values`, float32 (N, 3·temporal·P·P),
            `image_grid_thw`, int64 (images, 3), and the positions of the N patches.

        Raises:
            UsageError: an example is not what the processor makes, or there is none.
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
        positions = np.zeros((len(pruned[0].positions), *shape), dtype=np.int64)
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
        if not patches:
            return {}
        m = self._preset.merge_size
        # transformers takes from the grids how many tokens each image has, and nothing else
        grids = [(1, m, len(array) // m) for array in patches]
        return {
            "pixel_values": np.concatenate(patches),
            "image_grid_thw": np.array(grids, dtype=np.int64),
            **self._layout.patch_inputs([keep for one in pruned for keep in one.keeps]),
        }

    def _pruned(self, example: Mapping[str, Any]) -> _Pruned:
        """One example without its pruned patches."""
        if not isinstance(example, Mapping):
            raise UsageError(
                f"an example is what a processor gives, and this is {describe_value(example)}"
            )
        if example.get("pixel_values_videos") is not None:
            raise UsageError("an example holds a video; only images are pruned")
        ids, labels = tokens_of(example)
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
        prompt = one_token_each(ids, self._image_token, [keep.size for keep in keeps])
        tokens = self._layout.layout_prompt(prompt.tolist(), keeps)
        if labels is not None:
            labels = np.where(np.append(True, stays[:-1]), labels, _NO_LABEL)[stays]
        return _Pruned(ids[stays], labels, tokens.positions, patches, keeps)

    def _kept(self, example: Mapping[str, Any]) -> tuple[list[NDArray[np.float32]], list[Mask]]:
        """The kept patches of each image, and which tiles they are."""
        if example.get("pixel_values") is None:
            return [], []
        values = pixel_values_of(example["pixel_values"])
        m = self._preset.merge_size
        grids = image_grids(example.get("image_grid_thw"), m)
        ends = np.cumsum([0, *(height * width for height, width in grids)]).tolist()
        if ends[-1] != len(values):
            raise UsageError(
                f"an example has {len(values)} patches where its grids have {ends[-1]}"
            )
        every = [values[first:end] for first, end in pairwise(ends)]
        shapes = [(height // m, width // m) for height, width in grids]
        if self._coder is None:
            keeps = [np.ones(shape, dtype=np.bool_) for shape in shapes]
        else:
            images = zip(every, shapes, strict=True)
            keeps = keeps_of_pixel_values(images, self._preset, self._coder, self._sequence)
        kept = [patches_kept(keep, m) for keep in keeps]
        return [mine[one] for mine, one in zip(every, kept, strict=True)], keeps


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
