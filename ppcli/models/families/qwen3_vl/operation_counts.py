"""Counts the multiplications and additions of matrix products and attention.

Norms, activations and rotations are left out; they are small and grow with the same lengths.
"""

from ppcli.models.families.qwen3_vl.sizes import TextConfig, VisionConfig


def vision_operations(config: VisionConfig, patches: int) -> int:
    """Count the operations of the vision transformer over the patches of one image.

    Args:
        config: sizes of the vision transformer.
        patches: N, a multiple of M².
    """
    hidden, tokens = config.hidden_size, patches // config.merge_size**2
    wide = hidden * config.merge_size**2
    linear = patches * hidden * (4 * hidden + 2 * config.intermediate_size)
    attention = 2 * patches * patches * hidden
    mergers = (1 + len(config.deepstack)) * tokens * wide * (wide + config.out_hidden_size)
    embedding = patches * config.patch_values * hidden
    return 2 * (config.depth * (linear + attention) + mergers + embedding)


def decoder_operations(text: TextConfig, deepstack_layers: int, tokens: int, past: int = 0) -> int:
    """Count the operations of the language model, with logits of the last token only.

    Args:
        text: sizes of the language model.
        deepstack_layers: number of layers that add a DeepStack feature.
        tokens: S, fed together.
        past: tokens that are cached already.
    """
    heads, hidden = text.num_heads * text.head_size, text.hidden_size
    projections = hidden * (heads + 2 * text.num_kv_heads * text.head_size)
    attention = 2 * heads * (tokens * past + tokens * (tokens + 1) // 2)
    after = heads * hidden + 3 * hidden * text.intermediate_size
    total = text.num_layers * (tokens * (projections + after) + attention)
    if text.num_layers > deepstack_layers:  # the last layer continues with the last token only
        total -= (tokens - 1) * after
    return 2 * (total + hidden * text.vocab_size)
