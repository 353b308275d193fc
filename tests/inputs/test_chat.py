"""Lines of OpenAI batches: what is understood, and what is refused by name."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcli.inputs.image_fields import ImageFolder
from ppcli.inputs.requests import Request, parse_request
from ppcli.inputs.server_fields import AS_IT_IS, REFUSED, SERVER_FIELDS, WITHOUT_EFFECT

TEXT = {"role": "user", "content": "What?"}
IMAGE = {"type": "image_url", "image_url": {"url": "a.png"}}


def parsed(
    messages: object, line: dict | None = None, for_server: bool = False, **body: object
) -> Request:
    whole = {"custom_id": "c", "method": "POST", "url": "/v1/chat/completions"} | (line or {})
    whole["body"] = {"model": "any", "messages": messages} | body
    return parse_request(json.dumps(whole).encode(), 1, ImageFolder("in"), for_server)


def test_a_conversation() -> None:
    given = [
        {"role": "system", "content": "Short."},
        {"role": "user", "content": [{"type": "text", "text": "Before."}, IMAGE, IMAGE]},
        {"role": "assistant", "content": "A square.", "refusal": None, "tool_calls": []},
        {"role": "user", "content": [{"type": "text", "text": "And?"}, IMAGE]},
    ]
    request = parsed(given, max_completion_tokens=16.0, temperature=0, top_p=None, seed=3, n=1)
    assert request.fault is None
    assert request.messages == [
        {"role": "system", "content": "Short."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Before."}, {"type": "image"}, {"type": "image"}],
        },
        {"role": "assistant", "content": "A square."},
        {"role": "user", "content": [{"type": "text", "text": "And?"}, {"type": "image"}]},
    ]
    assert [image.file.name for image in request.images] == ["in/a.png"] * 3
    assert request.settings == {"max_new_tokens": 16, "temperature": 0.0, "seed": 3}
    assert request.prompt == "And?"


def test_another_conversation_is_another_request() -> None:
    turns = [TEXT, {"role": "assistant", "content": "x"}, TEXT]
    prints = {
        parsed(messages).fingerprint(failed=False)
        for messages in (turns, turns[1:], [TEXT], [turns[0], {**turns[1], "content": "y"}, TEXT])
    }
    assert len(prints) == 4


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"line": {"url": "/v1/embeddings"}}, "url is /v1/embeddings"),
        ({"line": {"method": "GET"}}, "method is GET"),
        ({"line": {"prompt": "x"}}, "unknown fields next to body: prompt"),
        ({"messages": []}, "body has no messages"),
        ({"messages": ["x"]}, "message 1: it is not a JSON object"),
        ({"messages": [TEXT, {"role": "tool", "content": "x"}]}, "message 2: the role tool"),
        ({"messages": [{"role": "developer", "content": "x"}]}, "the role developer"),
        ({"messages": [{"role": "user"}]}, "neither a string nor a list of parts"),
        ({"messages": [{**TEXT, "name": "Ann"}]}, "unsupported fields: name"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input_audio"),
        ({"messages": [{"role": "user", "content": [{"type": "file"}]}]}, "parts of type file"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "text is null"),
        (
            {"messages": [{"role": "assistant", "content": [IMAGE]}]},
            "the role assistant has an image",
        ),
        (
            {"messages": [{"role": "user", "content": [{**IMAGE, "image_url": {"url": ""}}]}]},
            "an image_url has no url",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {**IMAGE, "image_url": {"url": "a.png", "detail": "low"}},
                        ],
                    }
                ]
            },
            "the detail low",
        ),
        ({"n": 2}, "body sets n,"),
        ({"stream": True}, "body sets stream,"),
        ({"frequency_penalty": 0.5}, "body sets frequency_penalty,"),
        ({"response_format": {"type": "json_object"}}, "sets response_format,"),
        ({"tools": [{"type": "function"}]}, "sets tools,"),
        ({"max_new_tokens": 4}, "sets max_new_tokens,"),
        ({"chat_template_kwargs": {}}, "sets chat_template_kwargs,"),
        ({"max_tokens": 4, "max_completion_tokens": 5}, "max_tokens differ"),
        ({"max_tokens": "4"}, 'max_tokens is "4"'),
        ({"temperature": "hot"}, 'temperature is "hot"'),
    ],
)
def test_what_is_not_supported_is_refused_by_name(fields: dict, words: str) -> None:
    request = parsed(**{"messages": [TEXT], **fields})
    assert request.custom_id == "c"
    assert request.fault is not None and words in request.fault


def test_what_asks_for_what_is_done_anyway_is_taken() -> None:
    image = {**IMAGE, "image_url": {"url": "a.png", "detail": "auto"}}
    request = parsed(
        [{"role": "user", "content": [image]}],
        **{"stream": False, "n": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0, "tools": []},
        **{"logit_bias": {}, "response_format": {"type": "text"}, "logprobs": False},
        **{"max_tokens": 4, "max_completion_tokens": 4, "user": "me", "stop": None},
    )
    assert request.fault is None
    assert request.settings["max_new_tokens"] == 4


@pytest.mark.parametrize("name", sorted(SERVER_FIELDS))
def test_a_field_of_servers_is_kept_for_them_and_refused_otherwise(name: str) -> None:
    value = {"any": ["thing", None, 1.5]}
    kept = parsed([TEXT], for_server=True, **{name: value})
    assert (kept.fault, kept.server_fields) == (None, {name: value})
    assert parsed([TEXT], for_server=True, **{name: None}).server_fields == {}
    fault = parsed([TEXT], **{name: value}).fault
    assert fault == f"line 1: body sets {name}, which only a server can do (--server URL)"


@pytest.mark.parametrize("for_server", [False, True])
@pytest.mark.parametrize("name", [*sorted(REFUSED), "frobnicate", "max_new_tokens", "system"])
def test_what_nobody_takes_is_refused_by_name(name: str, for_server: bool) -> None:
    fault = parsed([TEXT], for_server=for_server, **{name: [7]}).fault
    reason = f"supported: {REFUSED[name]}" if name in REFUSED else "a known field"
    assert fault == f"line 1: body sets {name}, which is not {reason}"


@pytest.mark.parametrize("name", sorted(WITHOUT_EFFECT))
def test_fields_without_effect_are_sent_and_change_no_request(name: str) -> None:
    assert parsed([TEXT], **{name: "x"}) == parsed([TEXT])
    sent = parsed([TEXT], for_server=True, **{name: "x"})
    assert sent.server_fields == {name: "x"}
    assert sent.fingerprint(failed=False) == parsed([TEXT]).fingerprint(failed=False)


def test_what_servers_know_of_messages_is_kept_for_them() -> None:
    low = {**IMAGE, "image_url": {"url": "a.png", "detail": "low"}}
    given = [{"role": "developer", "content": "Short."}, {"role": "user", "content": [low, IMAGE]}]
    kept = parsed(given, for_server=True)
    parts = [{"type": "image", "detail": "low"}, {"type": "image"}]
    assert kept.fault is None
    assert kept.messages == [given[0], {"role": "user", "content": parts}]
    high = {**IMAGE, "image_url": {"url": "a.png", "detail": "high"}}
    assert parsed([{"role": "user", "content": [high]}]) == parsed(
        [{"role": "user", "content": [IMAGE]}]
    )


def test_fields_of_servers_are_part_of_the_request() -> None:
    schema = {"type": "object", "properties": {"b": {}, "a": {}}}
    turned = {"type": "object", "properties": {"a": {}, "b": {}}}
    prints = {
        parsed([TEXT], for_server=True, **body).fingerprint(failed=False)
        for body in (
            {},
            {"frequency_penalty": 0},
            {"frequency_penalty": 0.5},
            {"response_format": {"type": "json_object"}},
            {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}},
            {"response_format": {"type": "json_schema", "json_schema": {"schema": turned}}},
        )
    }
    assert len(prints) == 6, "the order of properties is that of the answer"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("inf"), "response_format contains NaN or an infinite number"),
        ({"a": [float("nan")]}, "response_format contains NaN"),
        ({"a": "\ud800"}, "response_format contains an unpaired surrogate"),
    ],
)
def test_what_is_sent_is_json(value: object, words: str) -> None:
    assert words in (parsed([TEXT], for_server=True, response_format=value).fault or "")


def test_each_field_is_in_one_list() -> None:
    assert not SERVER_FIELDS & WITHOUT_EFFECT
    assert not set(REFUSED) & (SERVER_FIELDS | WITHOUT_EFFECT)
    assert set(AS_IT_IS) <= set(REFUSED) | SERVER_FIELDS | {"parallel_tool_calls"}


@given(st.dictionaries(st.text(max_size=12), st.integers() | st.none() | st.text(max_size=5)))
def test_no_unknown_field_is_lost_in_silence(body: dict) -> None:
    body = {f"x-{name}": value for name, value in body.items()}
    line = json.dumps({"body": {"messages": [TEXT], **body}}).encode()
    given = {name for name, value in body.items() if value is not None}
    for for_server in (False, True):
        fault = parse_request(line, 1, ImageFolder(""), for_server).fault
        assert (fault is None) == (not given)
        assert fault is None or "which is not a known field" in fault
