"""Reads `generation_config.json`: which tokens end an answer, and how tokens are chosen."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ppcli.errors import ModelError
from ppcli.models.config_section import token_ids
from ppcli.models.model_files import read_json

GENERATION = "generation_config.json"
READ = frozenset({"eos_token_id"})
# Settings of sampling, with neutral values; transformers ignores them in greedy search.
SAMPLING: Mapping[str, Any] = MappingProxyType(
    {
        "temperature": 1.0,
        "top_k": 0,
        "top_p": 1.0,
        "min_p": 0.0,
        "top_h": 1.0,
        "typical_p": 1.0,
        "epsilon_cutoff": 0.0,
        "eta_cutoff": 0.0,
    }
)
# Settings that change answers, with the values at which they do not; null never does.
CHANGING: Mapping[str, Any] = MappingProxyType(
    {
        "do_sample": False,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "encoder_repetition_penalty": 1.0,
        "no_repeat_ngram_size": 0,
        "encoder_no_repeat_ngram_size": 0,
        "bad_words_ids": [],
        "force_words_ids": [],
        "constraints": [],
        "suppress_tokens": [],
        "begin_suppress_tokens": [],
        "sequence_bias": {},
        "forced_bos_token_id": None,
        "forced_eos_token_id": None,
        "exponential_decay_length_penalty": None,
        "min_length": 0,
        "min_new_tokens": 0,
        "max_time": None,
        "stop_strings": [],
        "num_beams": 1,
        "num_return_sequences": 1,
        "token_healing": False,
        "guidance_scale": 1.0,
        "penalty_alpha": 0.0,
        "dola_layers": None,
        "watermarking_config": None,
    }
)
# Lengths, which --max-new-tokens replaces, and settings of beam search, of speed, of memory, of
# return values, or of other kinds of models.
HARMLESS = frozenset(
    """
    max_length max_new_tokens early_stopping length_penalty diversity_penalty num_beam_groups
    renormalize_logits remove_invalid_values use_cache use_mtp cache_implementation cache_config
    max_cache_len output_attentions output_hidden_states output_scores output_logits
    return_dict_in_generate return_legacy_cache pad_token_id bos_token_id decoder_start_token_id
    is_assistant num_assistant_tokens num_assistant_tokens_schedule assistant_confidence_threshold
    prompt_lookup_num_tokens max_matching_ngram_size assistant_early_exit assistant_lookbehind
    target_lookbehind assistant_ensemble_weight speculation_type compile_config disable_compile
    continuous_batching_config low_memory prefill_chunk_size transformers_version
    _from_model_config generation_kwargs
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class Generation:
    """The generation settings of a model.

    Attributes:
        end_tokens: ids of the tokens that end an answer.
        settings: settings that change answers, by their names in transformers; those of sampling
            only if `do_sample` is true. Values are not checked.
        unknown: names of settings that are not known to be harmless.
        borrowed_ends: whether the file exists without end tokens, so that those of `config.json`
            are used. transformers would not use them.
    """

    end_tokens: frozenset[int]
    settings: Mapping[str, Any]
    unknown: tuple[str, ...]
    borrowed_ends: bool = False

    def not_applied(self, applied: Collection[str]) -> list[str]:
        """Names of settings that change answers, or may do so, and are not in `applied`."""
        return sorted({*self.settings, *self.unknown} - set(applied))


def generation_of(folder: str, config_end_tokens: tuple[int, ...] = ()) -> Generation:
    """Read the generation settings of a checkpoint or of a model directory.

    Args:
        folder: with or without a `generation_config.json`.
        config_end_tokens: end tokens according to `config.json`, used if that file has none.

    Raises:
        ModelError: if the file cannot be read, or its `eos_token_id` is invalid.
    """
    path = os.path.join(folder, GENERATION)
    found = read_json(path)
    text = found or {}
    try:
        ends = token_ids(text.get("eos_token_id"))
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from error
    settings = {name: value for name, value in text.items() if _changes_answers(name, value)}
    if text.get("do_sample") is True:
        settings |= {
            name: text[name]
            for name, neutral in SAMPLING.items()
            if text.get(name) not in (None, neutral)
        }
    known = READ | SAMPLING.keys() | CHANGING.keys() | HARMLESS
    unknown = tuple(sorted(name for name in text if name not in known and text[name] is not None))
    borrowed = found is not None and not ends and bool(config_end_tokens)
    return Generation(
        frozenset(ends or config_end_tokens), MappingProxyType(settings), unknown, borrowed
    )


def _changes_answers(name: str, value: Any) -> bool:  # noqa: ANN401
    return name in CHANGING and value is not None and value != CHANGING[name]
