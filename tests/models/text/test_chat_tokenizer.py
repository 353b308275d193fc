"""Chat template and tokenisation against transformers."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from ppcli.errors import ModelError, UsageError
from ppcli.inputs.image_fields import ImageFolder
from ppcli.inputs.requests import parse_request
from ppcli.models.text.chat_tokenizer import ChatTokenizer, chat_messages, expand_pages, with_system
from tests.models.tiny_checkpoint import TEMPLATE, write_json, write_settings

pytestmark = pytest.mark.oracle

PROMPTS = [
    "What is the total?",
    "  spaces and\n\nlines\t ",
    "naïve café, 東京, ελληνικά, emoji 🙂",
    "",
    "{{ braces }} {% raw %} <|im_end|>",
    "\u202eright to left\u0000",
]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("settings")
    write_settings(folder)
    return folder


@pytest.fixture(scope="module")
def theirs(settings: Path) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_file(str(settings / "tokenizer.json")),
        chat_template=TEMPLATE,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("images", [0, 1, 2])
@pytest.mark.parametrize("system", [None, "You answer briefly. 🙂"])
def test_as_transformers(settings, theirs, prompt: str, images: int, system: str | None) -> None:
    messages = chat_messages(prompt, images, system)
    ours = ChatTokenizer(str(settings))
    text = theirs.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert ours.render(messages) == text
    ids = theirs.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    assert ours.encode_messages(messages) == ids


def test_conversations_as_transformers(settings, theirs) -> None:
    """Lines of an OpenAI batch; transformers gets the same messages, each image as its part."""
    image = {"type": "image_url", "image_url": {"url": "a.png"}}
    turns = [
        [{"role": "user", "content": [{"type": "text", "text": "Before 東"}, image]}],
        [{"role": "user", "content": [image, {"type": "text", "text": " a "}, image]}],
        [{"role": "user", "content": [image]}, {"role": "assistant", "content": "A square."}],
        [
            {"role": "system", "content": [{"type": "text", "text": "Short."}]},
            {"role": "user", "content": "What?"},
            {"role": "assistant", "content": [{"type": "text", "text": "x"}]},
            {"role": "user", "content": [{"type": "text", "text": "Why"}, image]},
        ],
    ]
    for messages in turns:
        line = json.dumps({"body": {"messages": messages}}).encode()
        request = parse_request(line, 1, ImageFolder(""))
        assert request.fault is None and request.messages is not None
        ours = ChatTokenizer(str(settings))
        given = json.loads(json.dumps(messages).replace(json.dumps(image), '{"type": "image"}'))
        expected = theirs.apply_chat_template(given, add_generation_prompt=True)["input_ids"]
        assert ours.encode_messages(request.messages) == expected
        assert ours.encode_messages(request.messages).count(5) == len(request.images)
        with_default = with_system(request.messages, "Long.")
        changed = given[0]["role"] != "system"
        given = [{"role": "system", "content": "Long."}, *given] if changed else given
        expected = theirs.apply_chat_template(given, add_generation_prompt=True)["input_ids"]
        assert ours.encode_messages(with_default) == expected


def test_each_page_has_its_place_in_a_conversation() -> None:
    text, image = {"type": "text", "text": "x"}, {"type": "image"}
    messages = [
        {"role": "user", "content": [text, image, text, image]},
        {"role": "assistant", "content": "y"},
        {"role": "user", "content": [image]},
    ]
    assert expand_pages(messages, [1, 1, 1]) == messages
    assert [one["content"] for one in expand_pages(messages, [3, 1, 2])] == [
        [text, image, image, image, text, image],
        "y",
        [image, image],
    ]


def test_answers_are_decoded_as_transformers_decodes_them(settings, theirs) -> None:
    ours = ChatTokenizer(str(settings))
    tokens = theirs("The total is 12.50. 東京 🙂")["input_ids"]
    for cut in range(len(tokens) + 1):
        given = [1, *tokens[:cut], 2]
        assert ours.decode(given) == theirs.decode(given, skip_special_tokens=True)


def test_messages_have_one_user_turn() -> None:
    assert chat_messages("p", 1) == [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "p"}]}
    ]
    assert chat_messages("p", 0, "s")[0] == {"role": "system", "content": "s"}


@pytest.mark.parametrize("place", ["jinja", "json", "config", "list"])
def test_the_template_is_found_wherever_it_lies(tmp_path, place: str) -> None:
    write_settings(tmp_path)
    if place != "jinja":
        (tmp_path / "chat_template.jinja").unlink()
        found: object = [{"name": "default", "template": TEMPLATE}] if place == "list" else TEMPLATE
        name = "chat_template.json" if place == "json" else "tokenizer_config.json"
        write_json(tmp_path / name, {"chat_template": found})
    assert "<|vision_start|>" in ChatTokenizer(str(tmp_path)).render(chat_messages("x", 1))


def test_what_a_tokenizer_must_have(tmp_path) -> None:
    write_settings(tmp_path)
    (tmp_path / "chat_template.jinja").write_text("{% for %}")
    with pytest.raises(ModelError, match="the chat template is invalid"):
        ChatTokenizer(str(tmp_path))
    (tmp_path / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template"):
        ChatTokenizer(str(tmp_path))
    (tmp_path / "chat_template.jinja").write_text(TEMPLATE)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        ChatTokenizer(str(tmp_path))
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"no tokenizer\.json"):
        ChatTokenizer(str(tmp_path))


def test_a_template_may_refuse_but_not_reach_out(tmp_path) -> None:
    write_settings(tmp_path)
    with pytest.raises(UsageError, match="parts of type video"):
        ChatTokenizer(str(tmp_path)).render([{"role": "user", "content": [{"type": "video"}]}])
    (tmp_path / "chat_template.jinja").write_text("{{ messages.__class__.__mro__ }}")
    with pytest.raises(UsageError, match="rejects the messages"):
        ChatTokenizer(str(tmp_path)).render(chat_messages("x", 0))
