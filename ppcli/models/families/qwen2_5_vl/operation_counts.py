"""Counts the multiplications and additions of matrix products and attention.

Norms, activations and rotations are left out; they are small and grow with the same lengths.
"""

from ppcli.models.families.qwen2_5_vl.sizes import TextConfig, VisionConfig


def vision_operations(config: VisionConfig, patches: int) -> int:
    """Count the operations of the vision transformer over the patches of one image.

    Where the patches lie is not known. Within windows, each is counted as attending to a full
    window, or to all patches if those are fewer. This is too much for images with pruned patches,
    by less than 1 % with the published sizes.

    Args:
        config: sizes of the vision transformer.
        patches: N, a multiple of M².
    """
    hidden, tokens = config.hidden_size, patches // config.merge_size**2
    wide = hidden * config.merge_size**2
    linear = config.depth * patches * hidden * (4 * hidden + 3 * config.intermediate_size)
    within = min(patches, (config.window_tiles * config.merge_size) ** 2)
    full = len(config.full_attention)
    attention = 2 * hidden * patches * (full * patches + (config.depth - full) * within)
    merger = tokens * wide * (wide + config.out_hidden_size)
    embedding = patches * config.patch_values * hidden
    return 2 * (linear + attention + merger + embedding)


def decoder_operations(text: TextConfig, tokens: int, past: int = 0) -> int:
    """Count the operations of the language model, with logits of the last token only.

    Args:
        text: sizes of the language model.
        tokens: S, fed together.
        past: tokens that are cached already.
    """
    hidden = text.hidden_size
    projections = hidden * (hidden + 2 * text.num_kv_heads * text.head_size)
    attention = 2 * hidden * (tokens * past + tokens * (tokens + 1) // 2)
    after = hidden * hidden + 3 * hidden * text.intermediate_size
    total = text.num_layers * (tokens * (projections + after) + attention)
    total -= (tokens - 1) * after  # the last layer continues with the last token only
    return 2 * (total + hidden * text.vocab_size)
