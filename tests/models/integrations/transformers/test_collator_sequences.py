"""Images of an example as frames of a sequence: masks of `prune`, positions of transformers."""

import numpy as np
import pytest
import torch
from transformers import Qwen2VLImageProcessorPil

from ppcli import PrunedCollator
from ppcli.errors import UsageError
from tests.models.frames import LEVELS, chained_keeps, frames
from tests.models.integrations.transformers.test_collator import example
from tests.models.random_images import IMAGE_TOKEN
from tests.models.reference import transformers_model
from tests.models.tiny_checkpoint import Tiny

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def model():
    return transformers_model(Tiny())


@pytest.fixture(scope="module")
def processor() -> Qwen2VLImageProcessorPil:
    size = {"shortest_edge": 4096, "longest_edge": 1 << 24}
    return Qwen2VLImageProcessorPil(size=size, patch_size=16, temporal_patch_size=2, merge_size=2)


@pytest.mark.parametrize("threshold", [0, LEVELS / 255])
@pytest.mark.parametrize("sequence", [None, "forward", "reverse"])
def test_kept_patches_and_their_places(model, processor, sequence, threshold) -> None:
    """Each example is a sequence of its own, though the second shows what the first one shows."""
    shown = frames(), frames()[:2]
    examples = [example(processor, 3, [50], images) for images in shown]
    batch = PrunedCollator(processor, model.config, threshold=threshold, sequence=sequence)(
        examples
    )
    keeps = [chained_keeps(images, sequence, threshold) for images in shown]
    tiles = [np.concatenate([keep.ravel() for keep in some]) for some in keeps]
    whole = torch.cat([one["pixel_values"] for one in examples])
    assert torch.equal(batch["pixel_values"], whole[np.concatenate(tiles).repeat(4)])
    for row, (one, kept) in enumerate(zip(examples, tiles, strict=True)):
        ids = one["input_ids"]
        fed = np.ones(len(ids), dtype=bool)
        fed[ids == IMAGE_TOKEN] = kept
        positions, _ = model.model.get_rope_index(
            ids[None],
            mm_token_type_ids=(ids == IMAGE_TOKEN).int()[None],
            image_grid_thw=one["image_grid_thw"],
        )
        used = batch["attention_mask"][row] > 0
        assert torch.equal(batch["input_ids"][row, used], ids[fed])
        assert torch.equal(batch["position_ids"][:, row, used], positions[:, 0, fed])


def test_the_model_learns_from_a_sequence(model, processor) -> None:
    """The batch is one that the model takes, and another than without the sequence."""
    examples = [example(processor, 1, [60, 61], frames())]
    losses = [
        model(**PrunedCollator(processor, model.config, sequence=one)(examples)).loss.item()
        for one in (None, "forward", "reverse")
    ]
    assert np.isfinite(losses).all()
    assert len(set(losses)) == 3


def test_what_is_refused(model, processor) -> None:
    with pytest.raises(UsageError, match="unknown sequence True"):
        PrunedCollator(processor, model.config, sequence=True)
    sliding = {"mode": "sliding", "threshold": 0.1}
    with pytest.raises(UsageError, match=r"sliding.*cannot be decoded"):
        PrunedCollator(processor, model.config, sequence="reverse", **sliding)
    assert PrunedCollator(processor, model.config, **sliding)
