"""What is told of a model's own settings."""

from types import MappingProxyType

import pytest

from ppcli.errors import ModelError
from ppcli.jobs.generation_defaults import with_model_defaults
from ppcli.models.generation_config import Generation
from ppcli.models.serving.generation_request import GenerationRequest

LONG = "x" * 1_000_000


def generation(*unknown: str, **settings: object) -> Generation:
    return Generation(frozenset({2}), MappingProxyType(settings), unknown)


def test_what_a_stranger_wrote_is_bounded(caplog) -> None:
    with_model_defaults(
        generation(LONG, do_sample=True, temperature=LONG), GenerationRequest("x"), {}
    )
    assert len(caplog.messages) == 2
    assert all(len(one) < 1_000 for one in caplog.messages)
    with pytest.raises(ModelError) as caught:
        with_model_defaults(generation(repetition_penalty=LONG), GenerationRequest("x"), {})
    assert len(str(caught.value)) < 5_000


def test_a_model_that_asks_for_nothing_is_silent(caplog) -> None:
    assert with_model_defaults(generation(), GenerationRequest("x"), {}) == GenerationRequest("x")
    assert not caplog.messages


def test_eval_gives_no_advice_that_it_cannot_take(caplog) -> None:
    settings = generation(do_sample=True, top_k=20, repetition_penalty=1.1)
    assert with_model_defaults(settings, GenerationRequest("x")).repetition_penalty == 1.1
    assert not caplog.messages


def test_a_presence_penalty_is_told_with_its_option_until_it_is_chosen(caplog) -> None:
    settings = generation(presence_penalty=1.5)
    with_model_defaults(settings, GenerationRequest("x"), {})
    told = ["generation_config.json of the model sets presence_penalty, which is not applied"]
    assert caplog.messages == [*told, "to apply it, use --presence-penalty 1.5"]
    caplog.clear()
    with_model_defaults(
        settings, GenerationRequest("x", presence_penalty=1.0), {"presence_penalty"}
    )
    assert not caplog.messages
    with_model_defaults(settings, GenerationRequest("x"))  # by eval, which has no such option
    assert caplog.messages == told
