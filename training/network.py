"""A small Qwen3-VL, with a forward pass for a batch of images of one size.

The modules are those of transformers, so that what is trained is a checkpoint like any other; the
pass is our own because theirs goes through the pictures one by one. Tests hold the two equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from ppcli.models.checkpoints.byte_tokenizer import SPECIAL_TOKENS, byte_tokenizer
from ppcli.models.families.prompt_layout import layout_mrope
from ppcli.models.families.qwen3_vl.patch_positions import patch_positions
from training.samples import IMAGE_MEAN, IMAGE_STD

PATCH, MERGE, CHANNELS = 16, 2, 3
IMAGE_TOKEN, END_TOKEN, IMAGE_START, IMAGE_END = (
    SPECIAL_TOKENS.index(name)
    for name in ("<|image_pad|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>")
)
TEMPLATE = """\
{%- for message in messages -%}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content -%}
{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>\
{% else %}{{ part.text }}{% endif %}
{%- endfor %}{% endif %}<|im_end|>
{%- endfor %}"""
CHARACTERS_OF_TILE, CELLS_OF_PATCH, CHARACTER_CODES = 12, 8, 128
_THETA_OF_VISION = 10_000.0


def small_config() -> Qwen3VLConfig:
    """The size of pixelprune's small model."""
    return Qwen3VLConfig(
        architectures=["Qwen3VLForConditionalGeneration"],
        vision_config={
            "depth": 6,
            "hidden_size": 192,
            "intermediate_size": 576,
            "num_heads": 3,
            "out_hidden_size": 256,
            "num_position_embeddings": 24**2,
            "deepstack_visual_indexes": [2],
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": 2,
        },
        text_config={
            "vocab_size": byte_tokenizer().get_vocab_size(),
            "hidden_size": 256,
            "intermediate_size": 512,
            "num_hidden_layers": 5,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "max_position_embeddings": 2048,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10_000.0,
                "mrope_section": [12, 10, 10],
                "mrope_interleaved": True,
            },
            "tie_word_embeddings": True,
        },
        tie_word_embeddings=True,
        image_token_id=IMAGE_TOKEN,
        vision_start_token_id=IMAGE_START,
        vision_end_token_id=IMAGE_END,
        eos_token_id=END_TOKEN,
    )


@dataclass(frozen=True, slots=True)
class Grid:
    """Positions of the patches and tiles of images of one size, on one device.

    B is 1 where all tiles of all pictures are kept.

    Attributes:
        rows, columns: of tiles.
        taps: int64 (B, N, 4), rows of the learned position embeddings.
        shares: float (B, N, 4), of each.
        cos, sin: (B, N, head), of the vision transformer.
        tile_positions: int64 (B, V, 3), of the tiles in the language model.
        speeds: float (head/2,), how fast the angles of the language model turn.
        axes: int64 (head/2,), with which of the three positions.
        there: bool (B, V), which tiles do not just fill up; None where all are.
    """

    rows: int
    columns: int
    taps: Tensor
    shares: Tensor
    cos: Tensor
    sin: Tensor
    tile_positions: Tensor
    speeds: Tensor
    axes: Tensor
    there: Tensor | None = None

    @classmethod
    def of(cls, rows: int, columns: int, config: Qwen3VLConfig, device: torch.device) -> "Grid":
        """Make the grid of an image size with all tiles kept."""
        vision, text = config.vision_config, config.text_config
        keep = np.ones((rows, columns), dtype=np.bool_)
        places = patch_positions(keep, MERGE, int(vision.num_position_embeddings**0.5))
        quarter = vision.hidden_size // vision.num_heads // 4
        turning = _THETA_OF_VISION ** (-np.arange(quarter) / quarter)
        angles = (places.pos_hw[:, :, None] * turning).reshape(len(places.pos_hw), -1)
        both = torch.from_numpy(np.tile(angles, 2)).float()
        tokens = layout_mrope([IMAGE_START, IMAGE_TOKEN], IMAGE_TOKEN, [keep])
        half = text.head_dim // 2
        axes = np.zeros(half, dtype=np.int64)
        for axis in (1, 2):
            axes[axis : text.rope_parameters["mrope_section"][axis] * 3 : 3] = axis
        speeds = text.rope_parameters["rope_theta"] ** (-np.arange(half) / half)
        tensors = (
            torch.from_numpy(places.interp_idx),
            torch.from_numpy(places.interp_w),
            both.cos(),
            both.sin(),
            torch.from_numpy(tokens.positions[:, 1:].T.copy()),
        )
        of_all = (tensor[None].to(device) for tensor in tensors)
        turns = (torch.from_numpy(speeds).float().to(device), torch.from_numpy(axes).to(device))
        return cls(rows, columns, *of_all, *turns)

    def kept(self, tiles: Tensor) -> "Grid":
        """Select tiles of each image; they keep their positions.

        Args:
            tiles: int64 (B, K); −1 fills up.
        """
        per_patch = {
            name: of_kept(getattr(self, name), tiles, MERGE**2)
            for name in ("taps", "shares", "cos", "sin")
        }
        places = of_kept(self.tile_positions, tiles)
        return replace(self, **per_patch, tile_positions=places, there=tiles >= 0)


def of_kept(values: Tensor, tiles: Tensor, per_tile: int = 1) -> Tensor:
    """Gather the rows of selected tiles; −1 is padding and gathers the first tile.

    Args:
        values: (B or 1, V · per_tile, …), of all tiles.
        tiles: int64 (B, K).
        per_tile: how many values follow one another for each tile.

    Returns:
        (B, K · per_tile, …).
    """
    each = tiles.clamp(min=0)[:, :, None] * per_tile
    index = (each + torch.arange(per_tile, device=tiles.device)).flatten(1)
    if len(values) == 1:
        return values[0][index]
    return values[torch.arange(len(values), device=tiles.device)[:, None], index]


def patches_of(rasters: Tensor) -> Tensor:
    """Convert uint8 (B, rows, columns, 3) to float (B, N, 3·16·16) in merge-block order.

    The two moments of a still picture are alike, so that one of them is left out.
    """
    batch, height, width, _ = rasters.shape
    side = PATCH * MERGE
    cut = rasters.reshape(
        batch, height // side, MERGE, PATCH, width // side, MERGE, PATCH, CHANNELS
    )
    cut = cut.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(batch, -1, CHANNELS * PATCH * PATCH)
    return (cut.to(torch.float32) / 255 - IMAGE_MEAN) / IMAGE_STD


def see(
    visual: Any,  # noqa: ANN401
    patches: Tensor,
    grid: Grid,
) -> tuple[Tensor, list[Tensor], Tensor]:
    """The vision transformer for images of one size.

    Args:
        visual: `model.model.visual`.
        patches: (B, N, 768).
        grid: of the pictures.

    Returns:
        (B, V, D) of the tiles; the same for each of the first layers of the language model; and
        (B, N, width) of the patches, before they become tiles.
    """
    dtype = visual.pos_embed.weight.dtype
    weight = visual.patch_embed.proj.weight.sum(dim=2).flatten(1)  # over the two moments
    hidden = F.linear(patches.to(dtype), weight, visual.patch_embed.proj.bias)
    learned = visual.pos_embed.weight[grid.taps] * grid.shares[..., None]
    hidden = hidden + learned.sum(dim=-2).to(dtype)
    cos, sin = grid.cos[:, None].to(dtype), grid.sin[:, None].to(dtype)
    bias = None
    if grid.there is not None:
        bias = _unseen(~grid.there.repeat_interleave(MERGE**2, 1), dtype)[:, None, None]
    deepstack = []
    for number, block in enumerate(visual.blocks):
        hidden = hidden + _attend(block.attn, block.norm1(hidden), cos, sin, bias)
        hidden = hidden + block.mlp(block.norm2(hidden))
        if number in visual.deepstack_visual_indexes:
            merger = visual.deepstack_merger_list[visual.deepstack_visual_indexes.index(number)]
            deepstack.append(_merged(merger, hidden))
    return _merged(visual.merger, hidden), deepstack, hidden


def _attend(
    attention: Any,  # noqa: ANN401
    hidden: Tensor,
    cos: Tensor,
    sin: Tensor,
    bias: Tensor | None,
) -> Tensor:
    batch, length, width = hidden.shape
    packed = attention.qkv(hidden).view(batch, length, 3, attention.num_heads, -1)
    query, key, value = packed.permute(2, 0, 3, 1, 4).unbind(0)
    mixed = _mixed(_turned(query, cos, sin), _turned(key, cos, sin), value, bias)
    return attention.proj(mixed.transpose(1, 2).reshape(batch, length, width))


def _mixed(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute attention; on the CPU explicitly, which makes the backward pass twice as fast."""
    if query.is_cuda:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-1, -2))
    if bias is not None:
        scores = scores + bias
    return torch.matmul(scores.softmax(dim=-1), value)


def _turned(value: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate queries or keys by the angles of their positions."""
    half = value.shape[-1] // 2
    turned = torch.cat((-value[..., half:], value[..., :half]), dim=-1)
    return value * cos + turned * sin


def _merged(merger: Any, hidden: Tensor) -> Tensor:  # noqa: ANN401
    batch, length, width = hidden.shape
    tiles = (batch, length // MERGE**2, width * MERGE**2)
    if merger.use_postshuffle_norm:
        normed = merger.norm(hidden.reshape(tiles))
    else:
        normed = merger.norm(hidden).reshape(tiles)
    return merger.linear_fc2(F.gelu(merger.linear_fc1(normed)))


@dataclass(frozen=True, slots=True)
class Texts:
    """Questions and answers about each image; questions do not attend to one another.

    Attributes:
        ids: int64 (B, S).
        parts: int64 (B, S), which question a token belongs to; −1 fills up.
        positions: int64 (B, S), from 0 after the picture, for each question anew.
        targets: int64 (B, S), the token that is to come; −1 where nothing is learnt.
    """

    ids: Tensor
    parts: Tensor
    positions: Tensor
    targets: Tensor

    def to(self, device: torch.device) -> "Texts":
        """Return a copy on a device."""
        return Texts(*(getattr(self, name).to(device) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Picture:
    """What the language model gets of one picture of each prompt.

    Attributes:
        embeds: (B, V, D), of `see`.
        deepstack: likewise.
        grid: of the pictures.
    """

    embeds: Tensor
    deepstack: list[Tensor]
    grid: Grid


def read(
    model: Qwen3VLForConditionalGeneration, pictures: Sequence[Picture], texts: Texts
) -> Tensor:
    """The language model for images and questions: logits (B, S, vocabulary) of the texts.

    Args:
        model: the whole.
        pictures: of each prompt, in order: one, or several.
        texts: what is asked of them.
    """
    language = model.model.language_model
    batch, length = texts.ids.shape
    table = language.embed_tokens
    before, after = (
        table(texts.ids.new_full((batch, 1), token)) for token in (IMAGE_START, IMAGE_END)
    )
    parts = [part for one in pictures for part in (before, one.embeds, after)]
    hidden = torch.cat([*parts, table(texts.ids)], dim=1)
    cos, sin = (part.to(hidden.dtype) for part in _angles(pictures, texts))
    bias = _bias(pictures, texts, hidden.dtype)
    for number, layer in enumerate(language.layers):
        normed = _normed(layer.input_layernorm, hidden)
        hidden = hidden + _self_attention(layer.self_attn, normed, cos, sin, bias)
        hidden = hidden + layer.mlp(_normed(layer.post_attention_layernorm, hidden))
        if number < len(pictures[0].deepstack):
            added = [F.pad(one.deepstack[number], (0, 0, 1, 1)) for one in pictures]
            hidden = hidden + F.pad(torch.cat(added, dim=1), (0, 0, 0, length))
    return model.lm_head(_normed(language.norm, hidden[:, -length:]))


def _normed(norm: Any, hidden: Tensor) -> Tensor:  # noqa: ANN401
    """Apply RMS norm, with the mean in float32 and the rest in the weights' dtype."""
    mean = hidden.float().pow(2).mean(-1, keepdim=True)
    scale = torch.rsqrt(mean + norm.variance_epsilon).to(hidden.dtype)
    return hidden * scale * norm.weight


def _angles(pictures: Sequence[Picture], texts: Texts) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of M-RoPE, (B, 1, length, head)."""
    batch = len(texts.ids)
    parts = []
    start = texts.ids.new_zeros((batch, 1, 3))
    for grid in (one.grid for one in pictures):
        end = start + 1 + max(grid.rows, grid.columns)
        parts += [start, start + grid.tile_positions, end]
        start = end + 1
    parts.append(start + texts.positions[:, :, None])
    grid = pictures[0].grid
    angles = torch.cat(parts, dim=1)[:, :, grid.axes] * grid.speeds
    both = torch.cat([angles, angles], dim=-1)[:, None]
    return both.cos(), both.sin()


def _bias(pictures: Sequence[Picture], texts: Texts, dtype: torch.dtype) -> Tensor:
    """Return the mask, (B, 1, length, length): 0 for earlier tokens of images and question."""
    before = []
    for one in pictures:
        tiles = texts.parts.new_full(one.embeds.shape[:2], -2)
        if one.grid.there is not None:
            tiles = tiles.masked_fill(~one.grid.there, -3)
        before.append(F.pad(tiles, (1, 1), value=-2))
    parts = torch.cat([*before, texts.parts], dim=1)
    seen = (parts[:, :, None] == parts[:, None, :]) | (parts[:, None, :] == -2)
    seen = seen & torch.ones_like(seen[0]).tril()
    return _unseen(~seen, dtype)[:, None]


def _unseen(hidden: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the additive attention mask, with a large negative number for masked positions."""
    return torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill(hidden, -1e9)


def _self_attention(
    attention: Any,  # noqa: ANN401
    hidden: Tensor,
    cos: Tensor,
    sin: Tensor,
    bias: Tensor,
) -> Tensor:
    batch, length, _ = hidden.shape
    heads = (batch, length, -1, attention.head_dim)
    query = _normed(attention.q_norm, attention.q_proj(hidden).view(heads)).transpose(1, 2)
    key = _normed(attention.k_norm, attention.k_proj(hidden).view(heads)).transpose(1, 2)
    value = attention.v_proj(hidden).view(heads).transpose(1, 2)
    times = query.shape[1] // key.shape[1]
    key = _turned(key, cos, sin).repeat_interleave(times, 1)
    mixed = _mixed(_turned(query, cos, sin), key, value.repeat_interleave(times, 1), bias)
    return attention.o_proj(mixed.transpose(1, 2).reshape(batch, length, -1))
