"""How much a model computes: multiplications and additions of its matrix products and attention.

What is left out, norms and activations and rotations, grows with the same lengths and is small.
"""

from ppcli.models.families.qwen3_vl.configuration import ModelConfig, VisionConfig


def vision_operations(config: VisionConfig, patches: int) -> int:
    """Of the vision transformer over the patches of one image.

    Args:
        config: sizes of the model.
        patches: N; a multiple of M².
    """
    hidden, tokens = config.hidden_size, patches // config.merge_size**2
    wide = hidden * config.merge_size**2
    linear = patches * hidden * (4 * hidden + 2 * config.intermediate_size)
    attention = 2 * patches * patches * hidden
    mergers = (1 + len(config.deepstack)) * tokens * wide * (wide + config.out_hidden_size)
    embedding = patches * config.patch_values * hidden
    return 2 * (config.depth * (linear + attention) + mergers + embedding)


def decoder_operations(config: ModelConfig, tokens: int, past: int = 0) -> int:
    """Of the language model over some tokens, with logits after the last of them only.

    Args:
        config: sizes of the model.
        tokens: S, fed together.
        past: tokens whose keys and values are there already.
    """
    text = config.text
    heads, hidden = text.num_heads * text.head_size, text.hidden_size
    projections = hidden * (heads + 2 * text.num_kv_heads * text.head_size)
    attention = 2 * heads * (tokens * past + tokens * (tokens + 1) // 2)
    after = heads * hidden + 3 * hidden * text.intermediate_size
    whole = text.num_layers * (tokens * (projections + after) + attention)
    if text.num_layers > len(config.vision.deepstack):  # of the last layer one token goes on
        whole -= (tokens - 1) * after
    return 2 * (whole + hidden * text.vocab_size)
