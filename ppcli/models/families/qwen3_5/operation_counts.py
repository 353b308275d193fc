"""Counts the multiplications and additions of matrix products, attention and recurrences.

Norms, activations, rotations and convolutions are left out; they are small and grow with the same
lengths.
"""

from ppcli.models.families.qwen3_5.sizes import LayerType, TextConfig


def decoder_operations(text: TextConfig, tokens: int, past: int = 0) -> int:
    """Count the operations of the language model, with logits of the last token only.

    A gated delta net reads its state twice and writes it once for each token.

    Args:
        text: sizes of the language model.
        tokens: S, fed together.
        past: tokens that are cached already.
    """
    hidden, delta = text.hidden_size, text.delta
    heads, pairs = text.num_heads * text.head_size, tokens * past + tokens * (tokens + 1) // 2
    mlp, total = 3 * hidden * text.intermediate_size, 0
    for kind in text.layer_types:
        if kind is LayerType.FULL:
            mixing = hidden * (2 * heads + 2 * text.num_kv_heads * text.head_size)
            total += tokens * mixing + 2 * heads * pairs
            after = heads * hidden + mlp
        else:
            gates = delta.values + 2 * delta.value_heads
            state = delta.value_heads * delta.key_size * delta.value_size
            total += tokens * (hidden * (delta.convolved + gates) + 3 * state)
            after = delta.values * hidden + mlp
        total += tokens * after
    total -= (tokens - 1) * after  # the last layer continues with the last token only
    return 2 * (total + hidden * text.vocab_size)
