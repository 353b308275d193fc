"""Places of patches and tokens against transformers' own, selected."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from transformers import Qwen3VLModel
from transformers.vision_utils import (
    get_vision_interpolation_indices_and_weights,
    get_vision_position_ids,
)

from ppcli.errors import UsageError
from ppcli.models.families.prompt_layout import layout_mrope
from ppcli.models.families.qwen3_vl.patch_positions import patch_positions

pytestmark = pytest.mark.oracle

IMAGE = 5
grids = st.tuples(st.integers(1, 6), st.integers(1, 6))
keeps = grids.flatmap(lambda grid: arrays(bool, grid)).filter(np.any)


@given(keep=keeps, merge=st.integers(1, 3), side=st.integers(1, 9))
def test_patches_keep_the_places_of_the_whole_image(keep, merge: int, side: int) -> None:
    grid = torch.tensor([[1, keep.shape[0] * merge, keep.shape[1] * merge]])
    fed = np.repeat(keep.reshape(-1), merge**2)
    indices, shares = get_vision_interpolation_indices_and_weights(
        grid, side, mode="bilinear", align_corners=True, spatial_merge_size=merge
    )
    ours = patch_positions(keep, merge, side)
    assert np.array_equal(ours.pos_hw, get_vision_position_ids(grid, merge).numpy()[fed])
    assert np.array_equal(ours.interp_idx, indices.numpy()[fed])
    assert np.array_equal(ours.interp_w, shares.numpy()[fed])


class _Positions:
    """Just what `get_rope_index` asks of a model."""

    class config:  # noqa: N801
        class vision_config:  # noqa: N801
            spatial_merge_size = 2

    get_vision_position_ids = Qwen3VLModel.get_vision_position_ids
    get_rope_index = Qwen3VLModel.get_rope_index


@given(images=st.lists(keeps, max_size=3), texts=st.lists(st.integers(1, 4), min_size=4))
def test_tokens_keep_the_places_of_the_whole_prompt(images, texts: list[int]) -> None:
    ids: list[int] = []
    full: list[int] = []
    fed: list[bool] = []
    for number, length in enumerate(texts[: len(images) + 1]):
        words = [10 + number] * length
        keep = images[number] if number < len(images) else None
        ids += words + ([IMAGE] if keep is not None else [])
        full += words + ([IMAGE] * keep.size if keep is not None else [])
        fed += [True] * length + (keep.reshape(-1).tolist() if keep is not None else [])
    tokens = torch.tensor(full)[None]
    grid = [[1, 2 * keep.shape[0], 2 * keep.shape[1]] for keep in images]
    positions, delta = _Positions().get_rope_index(
        tokens,
        mm_token_type_ids=(tokens == IMAGE).int(),
        image_grid_thw=torch.tensor(grid) if images else None,
    )
    ours = layout_mrope(ids, IMAGE, images)
    assert np.array_equal(ours.ids, np.array(full)[fed])
    assert np.array_equal(ours.positions, positions[:, 0].numpy()[:, fed])
    assert ours.next_position == len(full) + int(delta)
    assert np.array_equal(np.flatnonzero(ours.ids == IMAGE), ours.visual)


@pytest.mark.parametrize(
    ("images", "advice"), [(0, "remove them from the text"), (2, "ask about the images one by one")]
)
def test_a_prompt_that_speaks_of_other_images_is_refused(images: int, advice: str) -> None:
    with pytest.raises(UsageError, match=f"1 image tokens for {images} images.*{advice}"):
        layout_mrope([1, IMAGE, 2], IMAGE, [np.ones((1, 1), bool)] * images)
