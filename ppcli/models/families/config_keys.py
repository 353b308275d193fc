"""Checks every key of a `config.json`, so that no setting is ignored unnoticed.

A key is read, harmless, refused unless its value is neutral, or reported to the user.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ppcli.errors import ModelError, bounded
from ppcli.models.generation_config import CHANGING, SAMPLING
from ppcli.models.generation_config import HARMLESS as HARMLESS_IN_GENERATION

# Keys of training, of other tasks, of return values, of the implementation, of tokens that no
# graph sees, and notes of the program that wrote the file.
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


def _is_plain_attention(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, list) and all(kind == "full_attention" for kind in value)


# Keys that make another model unless their value passes the test; null always passes.
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


@dataclass(frozen=True, slots=True)
class ConfigKeys:
    """What a family knows about the keys of its `config.json`.

    Attributes:
        read: keys that the family reads, by section; `""` is the top level. It wins over the
            other two.
        harmless: further keys without effect, by section.
        neutral: keys that are refused unless their value passes the test.
    """

    read: Mapping[str, frozenset[str]]
    harmless: Mapping[str, frozenset[str]]
    neutral: Mapping[str, Callable[[Any], bool]] = field(default_factory=lambda: NEUTRAL)

    def check(self, config: dict[str, Any]) -> list[str]:
        """Check every key.

        Args:
            config: the parsed file.

        Returns:
            Names of the keys that are set and not read. transformers ignores them too, or reads
            them from `generation_config.json`.

        Raises:
            ModelError: for a key that transformers reads, with a value that is not supported.
        """
        unread = []
        for section, read in self.read.items():
            values = config if not section else config.get(section)
            harmless = HARMLESS | self.harmless.get(section, frozenset())
            for key, value in values.items() if isinstance(values, dict) else ():
                name = bounded(f"{section}.{key}" if section else key)
                if value is None or key in read or key in harmless:
                    continue
                if key not in self.neutral:
                    unread += [] if _is_neutral_generation_setting(key, value) else [name]
                elif not self.neutral[key](value):
                    raise ModelError(f"{name} is {bounded(str(value))}, which is not supported")
        return unread


def _is_neutral_generation_setting(key: str, value: Any) -> bool:  # noqa: ANN401
    """Whether a key is a generation setting, as older programs write them here, without effect."""
    if key in HARMLESS_IN_GENERATION or key in SAMPLING:  # SAMPLING counts with do_sample only
        return True
    return key in CHANGING and value == CHANGING[key]
