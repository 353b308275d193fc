"""Every key of a Qwen3-VL `config.json`: read, harmless, refused unless it is neutral, or told."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ppcli.errors import ModelError, bounded
from ppcli.models.families.qwen3_vl.rotary import BESIDE
from ppcli.models.generation_config import CHANGING, SAMPLING
from ppcli.models.generation_config import HARMLESS as HARMLESS_IN_GENERATION

_EVERYWHERE = frozenset({"model_type", "quantization_config", "compression_config"})
READ: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "": _EVERYWHERE
        | frozenset(
            """
            architectures text_config vision_config image_token_id eos_token_id tie_word_embeddings
            """.split()  # noqa: SIM905
        ).union(BESIDE),
        "text_config": _EVERYWHERE
        | frozenset(
            """
            vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads
            num_key_value_heads head_dim hidden_act max_position_embeddings rms_norm_eps
            attention_bias original_max_position_embeddings eos_token_id tie_word_embeddings
            """.split()  # noqa: SIM905
        ).union(BESIDE),
        "vision_config": _EVERYWHERE
        | frozenset(
            """
            depth num_hidden_layers hidden_size hidden_act intermediate_size num_heads
            num_attention_heads head_dim in_channels patch_size spatial_merge_size
            temporal_patch_size out_hidden_size num_position_embeddings deepstack_visual_indexes
            """.split()  # noqa: SIM905
        ).union(BESIDE),
    }
)
# They are of training, of other tasks, of what a call gives back, of how a program goes about it,
# of tokens that no graph sees, or notes of the program that wrote the file.
HARMLESS = frozenset(
    """
    transformers_version architectures output_hidden_states output_attentions return_dict
    use_return_dict dtype torch_dtype torchscript use_bfloat16 chunk_size_feed_forward id2label
    label2id num_labels problem_type finetuning_task task_specific_params _name_or_path name_or_path
    _commit_hash attn_implementation _attn_implementation _attn_implementation_internal
    _attn_implementation_autoset experts_implementation _experts_implementation
    _experts_implementation_internal tf_legacy_loss tie_encoder_decoder tokenizer_class prefix
    bos_token_id pad_token_id sep_token_id video_token_id vision_start_token_id vision_end_token_id
    use_cache initializer_range attention_dropout max_window_layers unsloth_fixed unsloth_version
    """.split()  # noqa: SIM905
)
_HARMLESS_IN_VISION = frozenset({"tie_word_embeddings"})


def _is_plain_attention(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, list) and all(kind == "full_attention" for kind in value)


# They would make another model; with these values they do not. Null never does.
NEUTRAL: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {
        "layer_types": _is_plain_attention,
        "sliding_window": lambda value: False,
        "use_sliding_window": lambda value: value is False,
        "per_layer_config": lambda value: value == {},
        "pruned_heads": lambda value: value == {},
        "is_encoder_decoder": lambda value: value is False,
        "is_decoder": lambda value: True,
        "add_cross_attention": lambda value: value is False,
        "cross_attention_hidden_size": lambda value: False,
        "transformers_weights": lambda value: False,
        "configuration_files": lambda value: value == [],
    }
)


def check_keys(text: dict[str, Any]) -> list[str]:
    """Look at every key of a `config.json`.

    Args:
        text: the parsed file.

    Returns:
        Names of those that nothing here reads although they are set; transformers passes over
        them, too, or leaves them to `generation_config.json`.

    Raises:
        ModelError: for a key that transformers reads, with a value that is not supported.
    """
    told = []
    for section, read in READ.items():
        values = text if not section else text.get(section)
        harmless = HARMLESS | _HARMLESS_IN_VISION if section == "vision_config" else HARMLESS
        for key, value in values.items() if isinstance(values, dict) else ():
            name = bounded(f"{section}.{key}" if section else key)
            if value is None or key in read or key in harmless:
                continue
            if key not in NEUTRAL:
                told += [] if _is_idle_setting(key, value) else [name]
            elif not NEUTRAL[key](value):
                raise ModelError(f"{name} is {bounded(str(value))}, which is not supported")
    return told


def _is_idle_setting(key: str, value: Any) -> bool:  # noqa: ANN401
    """Whether a setting of generation, which older programs wrote here, changes nothing."""
    if key in HARMLESS_IN_GENERATION or key in SAMPLING:  # which count with do_sample only
        return True
    return key in CHANGING and value == CHANGING[key]
