"""Settings of generation, against transformers' own list of them."""

from pathlib import Path

import pytest
from transformers import GenerationConfig

from ppcli.errors import ModelError
from ppcli.models.config_section import token_ids
from ppcli.models.generation_config import CHANGING, HARMLESS, READ, SAMPLING, generation_of
from tests.models.tiny_checkpoint import write_json

pytestmark = pytest.mark.oracle

NOT_OF_TRANSFORMERS = {"presence_penalty", "frequency_penalty"}  # vLLM knows them


def written(folder: Path, settings: object) -> str:
    write_json(folder / "generation_config.json", settings)
    return str(folder)


def test_every_setting_of_transformers_is_sorted_into_one_kind() -> None:
    kinds = [READ, SAMPLING.keys(), CHANGING.keys(), HARMLESS]
    assert sum(len(kind) for kind in kinds) == len(set().union(*kinds))
    assert set(vars(GenerationConfig())) <= set().union(*kinds)


def test_what_changes_answers_there_is_known_to_change_them() -> None:
    """The greedy and the drawing processors that transformers builds for a setting."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    sizes = {"num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1}
    model = Qwen2ForCausalLM(
        Qwen2Config(vocab_size=16, hidden_size=8, intermediate_size=8, **sizes)
    )
    values = {
        "temperature": 0.5,
        "top_k": 3,
        "top_p": 0.5,
        "min_p": 0.1,
        "top_h": 0.4,
        "typical_p": 0.5,
        "epsilon_cutoff": 0.01,
        "eta_cutoff": 0.01,
        "repetition_penalty": 1.2,
        "no_repeat_ngram_size": 2,
        "bad_words_ids": [[3]],
        "suppress_tokens": [3],
        "begin_suppress_tokens": [3],
        "sequence_bias": [[[3], 1.0]],
        "forced_eos_token_id": 2,
        "forced_bos_token_id": 2,
        "exponential_decay_length_penalty": [1, 1.1],
        "min_length": 30,
        "min_new_tokens": 5,
    }
    for name, value in values.items():
        config = GenerationConfig(
            **{name: value}, do_sample=name in SAMPLING, eos_token_id=1, max_length=40
        )
        config._eos_token_tensor = torch.tensor([1])
        made = model._get_logits_processor(
            config, 2, torch.ones(1, 2, dtype=torch.long), None, [], device="cpu"
        )
        assert len(made) > 0, name
        assert name in (SAMPLING if name in SAMPLING else CHANGING)


def test_settings_that_change_answers(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        {
            "temperature": 0.7,
            "repetition_penalty": 1.05,
            "suppress_tokens": [],
            "min_new_tokens": 3,
            "num_beams": 1,
            "top_p": 0.8,
            "use_cache": False,
            "wisdom": 9,
            "folly": None,
        },
    )
    found = generation_of(folder)
    assert dict(found.settings) == {"repetition_penalty": 1.05, "min_new_tokens": 3}
    assert found.unknown == ("wisdom",)
    assert found.not_applied(["repetition_penalty"]) == ["min_new_tokens", "wisdom"]


def test_settings_of_drawing_count_where_tokens_are_drawn(tmp_path: Path) -> None:
    settings = {"do_sample": True, "temperature": 0.7, "top_p": 1.0, "top_k": 20}
    found = generation_of(written(tmp_path, settings)).settings
    assert found == {"do_sample": True, "temperature": 0.7, "top_k": 20}
    assert not generation_of(written(tmp_path, settings | {"do_sample": False})).settings


def test_end_tokens_of_the_generation_settings_win(tmp_path: Path) -> None:
    assert generation_of(str(tmp_path), (2,)).end_tokens == {2}
    assert generation_of(written(tmp_path, {"eos_token_id": [0, 2]}), (9,)).end_tokens == {0, 2}
    assert generation_of(written(tmp_path, {"eos_token_id": 7})).end_tokens == {7}
    assert generation_of(written(tmp_path, {"eos_token_id": None}), (9,)).end_tokens == {9}


@pytest.mark.parametrize("wrong", ["<|im_end|>", "7", [2, "x"], True, -1, 1.5, {"id": 2}, [[2]]])
def test_end_tokens_that_are_none(tmp_path: Path, wrong: object) -> None:
    with pytest.raises(ModelError, match=r"generation_config\.json: eos_token_id is .* the id of"):
        generation_of(written(tmp_path, {"eos_token_id": wrong}))
    with pytest.raises(ValueError, match="eos_token_id"):
        token_ids(wrong)
