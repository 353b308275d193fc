"""The models of transformers as an oracle, on all tiles and on a selection of them.

The oracle for pruning computes positions of the full image in torch, selects those of the kept
tiles, and runs the blocks of transformers on them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers
from transformers import DynamicCache, PreTrainedModel
from transformers.vision_utils import (
    get_vision_interpolation_indices_and_weights,
    get_vision_position_ids,
)

from tests.models.random_images import IMAGE_TOKEN, Image
from tests.models.tiny_model import TinyModel


def transformers_model(tiny: TinyModel) -> PreTrainedModel:
    """Return the model of transformers with the weights of a tiny checkpoint."""
    config = tiny.config()
    kind = getattr(transformers, config["architectures"][0])
    model = kind(kind.config_class.from_dict(config)).eval()
    weights = {name: torch.from_numpy(weight) for name, weight in tiny.weights().items()}
    if tiny.tied:
        weights["lm_head.weight"] = weights["model.language_model.embed_tokens.weight"]
    model.load_state_dict(weights)
    return model


@dataclass(frozen=True, eq=False)
class Answer:
    tokens: list[int]
    logits: list[np.ndarray]  # before each token


def expanded(ids: Sequence[int], images: Sequence[Image]) -> tuple[torch.Tensor, torch.Tensor]:
    """Expand each image token of a prompt.

    Returns:
        The full sequence, and which of its tokens are fed to the model."""
    full, fed = [], []
    remaining = iter(images)
    for token in ids:
        tiles = next(remaining).keep.reshape(-1) if token == IMAGE_TOKEN else np.ones(1, bool)
        full += [token] * len(tiles)
        fed += tiles.tolist()
    return torch.tensor(full)[None], torch.tensor(fed)


@torch.no_grad()
def stock_answer(
    model: PreTrainedModel,
    ids: Sequence[int],
    images: Sequence[Image],
    steps: int,
    **settings: Any,
) -> Answer:
    """Answer with `generate` and every tile."""
    full, _ = expanded(ids, images)
    given = {"input_ids": full, "attention_mask": torch.ones_like(full)}
    if images:
        given |= {
            "pixel_values": torch.tensor(np.concatenate([one.pixel_values for one in images])),
            "image_grid_thw": torch.tensor([one.grid for one in images]),
            "mm_token_type_ids": (full == IMAGE_TOKEN).int(),
        }
    model.model.rope_deltas = None
    out = model.generate(
        **given,
        max_new_tokens=steps,
        min_new_tokens=steps,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_logits=True,
        **settings,
    )
    tokens = out.sequences[0, full.shape[1] :].tolist()
    return Answer(tokens, [step[0].numpy() for step in out.logits])


def seen_by_qwen3_vl(
    model: PreTrainedModel, image: Image
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """What the vision transformer gives of the kept tiles: embeddings, DeepStack features."""
    visual, grid = model.model.visual, torch.tensor([image.grid])
    kept = torch.tensor(image.patches_kept)
    indices, shares = get_vision_interpolation_indices_and_weights(
        grid,
        num_grid_per_side=visual.num_grid_per_side,
        mode="bilinear",
        align_corners=True,
        spatial_merge_size=visual.spatial_merge_size,
    )
    out = visual(
        torch.tensor(image.pixel_values)[kept],
        grid_thw=grid,
        cu_seqlens=torch.tensor([0, int(kept.sum())], dtype=torch.int32),
        position_ids=get_vision_position_ids(grid, visual.spatial_merge_size)[kept],
        interp_indices=indices[kept],
        interp_weights=shares[kept],
    )
    return out.pooler_output, getattr(out, "deepstack_features", [])


Seen = Callable[[PreTrainedModel, Image], tuple[torch.Tensor, list[torch.Tensor]]]


@torch.no_grad()
def pruned_answer(
    model: PreTrainedModel,
    ids: Sequence[int],
    images: Sequence[Image],
    steps: int,
    seen_by: Seen = seen_by_qwen3_vl,
) -> Answer:
    """Answer greedily with the kept tiles only."""
    full, fed = expanded(ids, images)
    positions = torch.arange(full.shape[1]).expand(3, 1, -1)
    if images:
        positions, _ = model.model.get_rope_index(
            full,
            mm_token_type_ids=(full == IMAGE_TOKEN).int(),
            image_grid_thw=torch.tensor([one.grid for one in images]),
        )
    following = int(positions.max()) + 1
    hidden = model.model.get_input_embeddings()(full[:, fed])
    visual = full[:, fed] == IMAGE_TOKEN
    deepstack: list[torch.Tensor] = []
    if images:
        seen = [seen_by(model, one) for one in images]
        hidden = hidden.masked_scatter(visual[..., None], torch.cat([one[0] for one in seen]))
        deepstack = [torch.cat(layer) for layer in zip(*[one[1] for one in seen], strict=True)]
    cache = DynamicCache(config=model.config.text_config)
    places = positions[:, :, fed]
    answer = Answer([], [])
    for step in range(steps):
        given = {"visual_pos_masks": visual, "deepstack_visual_embeds": deepstack}
        out = model.model.language_model(
            inputs_embeds=hidden,
            position_ids=places,
            past_key_values=cache,
            use_cache=True,
            **(given if step == 0 and deepstack else {}),
        )
        logits = model.lm_head(out.last_hidden_state[:, -1])[0]
        answer.logits.append(logits.numpy())
        answer.tokens.append(int(logits.argmax()))
        hidden = model.model.get_input_embeddings()(torch.tensor([[answer.tokens[-1]]]))
        places = torch.full((3, 1, 1), following + step)
    return answer
