"""M-RoPE positions of pruned prompts in vLLM: those of the whole prompt, and a table for them."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from vllm.model_executor.layers.rotary_embedding.mrope import MRotaryEmbedding

from ppcli.errors import ModelError
from ppcli.imaging.fit import MAX_ASPECT_RATIO

KEEP = "image_keep"  # the field of an image that holds its keep mask, bool (tiles,)

_TOKENS_PER_IMAGE = 3  # start, one tile at least, end
_MOST_TIMES_LONGER = 4  # what vLLM itself allows where it prunes videos
_ROUNDING = 1e-5


def whole_prompt(
    tokens: Sequence[int], features: Sequence[Any], image_token: int
) -> tuple[list[int], list[Any], NDArray[np.bool_]]:
    """Put the tokens of pruned tiles back into a prompt.

    Args:
        tokens: the ids of the pruned prompt, S of them.
        features: vLLM's `MultiModalFeatureSpec` of each image and video in it.
        image_token: the id that stands for a tile.

    Returns:
        The ids of the whole prompt, W of them, the features with their places in it, and which of
        its tokens are in the pruned prompt, bool (W,) with S true.
    """
    whole: list[int] = []
    stays: list[NDArray[np.bool_]] = []
    moved = []
    done = 0
    for feature in sorted(features, key=lambda one: one.mm_position.offset):
        place = feature.mm_position
        end = place.offset + place.length
        whole += tokens[done : place.offset]
        stays.append(np.ones(place.offset - done, dtype=np.bool_))
        offset = len(whole)
        if KEEP in feature.data:
            keep = feature.data[KEEP].data.cpu().numpy()
            whole += [image_token] * keep.size
        else:
            keep = np.ones(place.length, dtype=np.bool_)
            whole += tokens[place.offset : end]
        stays.append(keep)
        place = replace(place, offset=offset, length=len(whole) - offset)
        moved.append(replace(feature, mm_position=place))
        done = end
    whole += tokens[done:]
    stays.append(np.ones(len(tokens) - done, dtype=np.bool_))
    return whole, moved, np.concatenate(stays)


def longest_span(max_pixels: int, tile: int) -> int:
    """Return the most tiles along the longer side of a fitted image.

    Args:
        max_pixels: the most pixels of a fitted image.
        tile: side of a tile in pixels.
    """
    return math.ceil(math.sqrt(max_pixels * MAX_ASPECT_RATIO) / tile) + 1


def table_rows(
    max_model_len: int, max_positions: int, images: int, max_pixels: int, tile: int
) -> int:
    """Return how many positions pruned prompts may need.

    A pruned image can have a single token and still span its longer side. At most four times the
    positions of the model are provided, which is what vLLM provides for pruned videos.

    Args:
        max_model_len: the most tokens of prompt and answer.
        max_positions: positions that the model was made for.
        images: the most images of a prompt.
        max_pixels: the most pixels of a fitted image.
        tile: side of a tile in pixels.
    """
    images = min(images, max_model_len // _TOKENS_PER_IMAGE)
    needed = max_model_len + images * (longest_span(max_pixels, tile) - 1)
    return min(needed, _MOST_TIMES_LONGER * max(max_model_len, max_positions))


def enlarge_tables(model: torch.nn.Module, rows: int) -> None:
    """Give the tables of M-RoPE in a model at least so many positions.

    Raises:
        ModelError: the model has no such table, or its rows are computed in another way.
    """
    tables = [module for module in model.modules() if isinstance(module, MRotaryEmbedding)]
    if not tables and any(True for _ in model.parameters()):
        raise ModelError("the language model has no M-RoPE, which pixelprune needs in vLLM")
    for table in {id(one): one for one in tables}.values():
        _enlarge(table, rows)


def _enlarge(table: MRotaryEmbedding, rows: int) -> None:
    known = table.cos_sin_cache
    if len(known) >= rows:
        return
    more = _rows(table, len(known) - 1, rows).to(known)
    if not torch.allclose(more[0].float(), known[-1].float(), atol=_ROUNDING, rtol=0):
        raise ModelError(
            "the installed vLLM computes the table of M-RoPE positions in a way that pixelprune "
            "does not know"
        )
    table.cos_sin_cache = torch.cat([known, more[1:]])
    if getattr(table, "cos_sin_cache_bf16", None) is not None:
        table.cos_sin_cache_bf16 = table.cos_sin_cache.to(torch.bfloat16)


def _rows(table: MRotaryEmbedding, first: int, end: int) -> torch.Tensor:
    """Compute rows first … end−1 of a table, float32 (rows, rotary_dim)."""
    scaled = table.scaling_factor is not None
    frequencies = table._compute_inv_freq(table.scaling_factor if scaled else table.base)
    angles = torch.outer(torch.arange(first, end, dtype=torch.float), frequencies)
    return torch.cat((angles.cos(), angles.sin()), dim=-1) * float(table.mscale)
