"""What export finds out before it writes anything, rather than infer at the first request."""

import json
import re
from pathlib import Path

import pytest

from ppcli.errors import ModelError
from ppcli.models.families.family_registry import read_config
from ppcli.models.generation_config import generation_of
from ppcli.models.onnx.prompt_check import check_prompts
from ppcli.models.text.chat_tokenizer import ChatTokenizer
from tests.command import pixelprune
from tests.models.tiny_checkpoint import (
    TEMPLATE,
    Tiny,
    write_checkpoint,
    write_json,
    write_settings,
)


def tried(folder: Path, template: str = TEMPLATE, **config: object) -> list[str]:
    write_settings(folder)
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    write_json(folder / "config.json", Tiny().config() | config)
    read = read_config(str(folder))
    generation = generation_of(str(folder), read.end_tokens)
    return check_prompts(str(folder), ChatTokenizer(str(folder)), read, generation)


def test_a_sound_checkpoint(tmp_path: Path) -> None:
    assert tried(tmp_path) == []


@pytest.mark.parametrize(
    ("template", "config", "words"),
    [
        ("{{ messages[0].role }}", {}, "0 image tokens for a message with 1"),
        (
            TEMPLATE.replace("<|image_pad|>", "<image>"),
            {},
            "0 image tokens for a message with 1",
        ),
        (TEMPLATE, {"image_token_id": 60}, r"image_token_id in config\.json is 60 \(.+\)"),
        (
            TEMPLATE.replace("<|image_pad|>", "<|image_pad|>" * 2),
            {},
            "2 image tokens for a message with 1",
        ),
        ("<|image_pad|>", {}, "1 image tokens for a message with 0"),
        (TEMPLATE, {"image_token_id": 9999}, "no token 9999"),
        ("{{ raise_exception('no images') }}", {}, "rejects the messages: no images"),
        ("{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3, {}, "takes more than"),
        (TEMPLATE, {"eos_token_id": 99_999}, "no answer would end, because .* names token 99999"),
        (TEMPLATE, {"eos_token_id": "<|im_end|>"}, "eos_token_id is '<|im_end|>'; it must be"),
    ],
)
def test_what_is_refused(tmp_path: Path, template: str, config: dict, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        tried(tmp_path, template, **config)


def test_tokens_that_the_model_does_not_have(tmp_path: Path) -> None:
    text = Tiny().config()["text_config"] | {"vocab_size": 5}
    with pytest.raises(ModelError, match=r"writes token \d+ \(.*\), and the model has 5 tokens"):
        tried(tmp_path, text_config=text)


@pytest.mark.parametrize(
    ("template", "config", "words"),
    [
        (
            "{% if messages[-1].content|length > 2 %}{{ raise_exception('one, please') }}"
            "{% endif %}" + TEMPLATE,
            {},
            "several images will fail: .*: one, please",
        ),
        (
            TEMPLATE.replace(
                "{%- for part in message.content %}", "{%- for part in message.content[-2:] %}"
            ),
            {},
            "several images will fail: .* 1 image tokens for a message with 2",
        ),
        (TEMPLATE, {"eos_token_id": None}, "has an eos_token_id: every answer runs to"),
        (TEMPLATE, {"eos_token_id": [2, 99_999]}, "token 99999, which the model does not have"),
    ],
)
def test_what_is_told(tmp_path: Path, template: str, config: dict, words: str) -> None:
    [told] = tried(tmp_path, template, **config)
    assert re.search(words, told)


def test_ends_that_transformers_would_not_look_for(tmp_path: Path) -> None:
    assert tried(tmp_path) == []  # without settings of generation it takes those, too
    for text in ({}, {"eos_token_id": None}, {"eos_token_id": []}):
        write_json(tmp_path / "generation_config.json", text)
        [told] = tried(tmp_path)
        assert re.search("answers end at token 2 from config.json; transf", told)
    write_json(tmp_path / "generation_config.json", {"eos_token_id": 2})
    assert tried(tmp_path) == []


def test_export_tells_it(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint", Tiny(layers=2, depth=2, deepstack=(0,)))
    for name in ("config.json", "generation_config.json"):
        content = json.loads((checkpoint / name).read_text())
        write_json(checkpoint / name, content | {"eos_token_id": None})
    done = pixelprune("export", checkpoint, tmp_path / "model")
    assert done.returncode == 0
    assert b"checkpoint: neither generation_config.json nor config.json has an" in done.stderr
