"""Lines of OpenAI batches in `infer`: what reaches a server, images on servers, and answers."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import ppcli
from ppcli.api import RequestOptions, ServerOptions, WorkerOptions
from ppcli.inputs import http_fetch
from tests.chat_server import JSON, ChatServer, chat_server
from tests.cli.commands.answers import answers_in, infer, lines
from tests.command import pixelprune
from tests.conftest import blocks
from tests.image_server import ImageServer, image_server

HERE = ("--device", "cpu", "--max-new-tokens", "5")
ONE = {"role": "user", "content": "What?"}


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as running:
        yield running


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> Iterator[ImageServer]:
    monkeypatch.setattr(http_fetch, "_WAIT_SECONDS", 0.01)
    with image_server() as running:
        for seed, name in enumerate(("a.png", "b.png")):
            running.files[name] = png(seed)
            running.marks[name] = f'"{seed}"'
        yield running


def png(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(blocks(96, 64, seed=seed)).save(file, "PNG")
    return file.getvalue()


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def line(name: str, *messages: dict[str, Any], **body: Any) -> dict[str, Any]:
    whole = {"custom_id": name, "method": "POST", "url": "/v1/chat/completions"}
    return whole | {"body": {"model": "describer", "messages": list(messages)} | body}


def written(path: Path, *given: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in given))
    return path


DATA = [f"data:image/png;base64,{base64.b64encode(png(seed)).decode()}" for seed in range(3)]
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TEXT_PART = WORDS.map(lambda text: {"type": "text", "text": text})
DETAIL = st.sampled_from(["auto", "high", "low"])
IMAGE_URL = st.fixed_dictionaries({"url": st.sampled_from(DATA)}, optional={"detail": DETAIL})
USER_PART = TEXT_PART | IMAGE_URL.map(lambda one: {"type": "image_url", "image_url": one})


def message(role: str) -> st.SearchStrategy[dict[str, Any]]:
    part = USER_PART if role == "user" else TEXT_PART
    content = WORDS | st.lists(part, min_size=1, max_size=4)
    return st.fixed_dictionaries({"role": st.just(role), "content": content})


NUMBER = st.floats(-2, 2)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)
BODY = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.sampled_from(["system", "developer", "user", "assistant"]).flatmap(message),
            min_size=1,
            max_size=5,
        ),
        "max_tokens": st.integers(2, 99),
    },
    optional={
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0.1, 1),
        "seed": st.integers(0, 1 << 40),
        "stop": st.lists(WORDS.filter(bool), min_size=1, max_size=3),
        "response_format": VALUE.filter(lambda value: value is not None),
        "logit_bias": st.dictionaries(WORDS, NUMBER),
        "frequency_penalty": NUMBER,
        "chat_template_kwargs": st.dictionaries(WORDS, VALUE),
        "structured_outputs": st.dictionaries(WORDS, VALUE),
        "user": WORDS,
    },
)


@settings(max_examples=5)
@given(st.lists(BODY, min_size=10, max_size=20))
def test_what_the_parser_accepts_arrives_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("batch")
    file = written(folder / "r.jsonl", *({"body": one} for one in bodies))
    with chat_server() as server:
        result = ppcli.infer(
            requests=RequestOptions(str(file)),
            server=ServerOptions((server.url,), in_flight=1),
            workers=WorkerOptions(workers=0),
        )
        assert [row.status for row in result.rows] == ["ok"] * len(bodies)
        for body, sent in zip(bodies, server.questions, strict=True):
            sampled = body.get("temperature", 0) > 0
            for name, value in body.items():
                if name != "seed" or sampled:
                    assert sent[name] == value


def test_fields_that_only_servers_know_are_passed_on(
    server: ChatServer, model: Path, tmp_path: Path
) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    fields = {"response_format": schema, "reasoning_effort": "low", "guided_choice": ["a", "b"]}
    given = [
        line("json", ONE, **fields),
        *(line(name, ONE, **{name: [1]}) for name in ("n", "tools", "logprobs", "frobnicate")),
    ]
    file = written(tmp_path / "r.jsonl", *given)
    rows = lines(infer("--requests", file, "--server", server.url, code=3).stdout)
    assert [row["error_code"] for row in rows] == [None] + ["bad_request"] * 4
    for row in rows[1:]:
        assert f"body sets {row['custom_id']}, which is not" in row["error_message"]
    [body] = server.questions
    assert {name: body[name] for name in fields} == fields
    here = lines(infer("--requests", file, "--model", model, *HERE, code=3).stdout)
    assert here[0]["error_message"] == (
        "json: line 1: body sets guided_choice, which only a server can do (--server URL)"
    )
    assert [row["error_message"] for row in here[1:]] == [row["error_message"] for row in rows[1:]]


def test_another_model_is_told_once(server: ChatServer, tmp_path: Path) -> None:
    given = [line(name, ONE, model=name) for name in ("describer", "gpt-x", "gpt-y")]
    file = written(tmp_path / "r.jsonl", *given)
    done = infer("--requests", file, "--server", server.url)
    assert done.stderr.decode().count("asks for the model") == 1
    assert "gpt-x asks for the model gpt-x; the model of the server, describer," in (
        done.stderr.decode()
    )
    assert {body["model"] for body in server.questions} == {"describer"}


def test_a_changed_field_of_a_request_is_noticed(server: ChatServer, tmp_path: Path) -> None:
    file, out = tmp_path / "r.jsonl", tmp_path / "out"
    command = ("--requests", file, "--server", server.url, "-o", out)
    written(file, line("a", ONE, response_format={"type": "json_object"}))
    infer(*command)
    asked = len(server.questions)
    infer(*command)
    written(file, line("a", ONE, response_format={"type": "json_object"}, user="me"))
    infer(*command)
    written(file, line("a", ONE, response_format={"type": "text"}))
    infer(*command, code=5)
    assert len(server.questions) == asked


def test_images_on_servers_are_as_those_in_files(
    server: ChatServer, images: ImageServer, model: Path, tmp_path: Path
) -> None:
    """In both engines, with two turns and two images."""

    def turns(first: str, second: str) -> list[dict[str, Any]]:
        text = {"type": "text", "text": "And this?"}
        return [
            {"role": "user", "content": [image(first), {"type": "text", "text": "What is this?"}]},
            {"role": "assistant", "content": "A square."},
            {"role": "user", "content": [text, image(second)]},
        ]

    for name, content in images.files.items():
        (tmp_path / name).write_bytes(content)
    web = f"{images.url}/a.png", f"{images.url}/redirect/2/b.png?signature=secret"
    given = [
        line("x", *turns("a.png", "b.png"), seed=1),
        line("y", *turns(*web), seed=1),
        line("z", *turns(*reversed(web)), seed=1),
        {"custom_id": "p", "images": ["a.png", "b.png"], "prompt": "?"},
        {"custom_id": "q", "images": list(web), "prompt": "?"},
        {"custom_id": "r", "image": web[0], "page": 1, "prompt": "?"},
    ]
    file = written(tmp_path / "r.jsonl", *given)
    for engine in (("--server", server.url, "--in-flight", "1"), ("--model", model, *HERE)):
        done = infer("--requests", file, "--allow-http", *engine)
        x, y, z, p, q, r = lines(done.stdout)
        for row, same in ((y, x), (q, p)):
            assert row["answer"] == same["answer"] is not None
            assert row["prompt_tokens"] == same["prompt_tokens"]
        assert z["answer"] != x["answer"], "the order counts"
        assert r["image_id"] == f"{web[0]}#1"
        names = json.loads(y["image_id"])
        assert names[0] == web[0]
        assert "secret" not in done.stdout.decode() + done.stderr.decode()
    sent = server.questions[1]["messages"]
    assert [one["role"] for one in sent] == ["user", "assistant", "user"]
    urls = [sent[0]["content"][0], sent[2]["content"][1]]
    assert urls == [image(DATA[0]), image(DATA[1])]


def test_the_small_model_of_the_package_takes_turns_and_images_on_servers(
    images: ImageServer, tmp_path: Path
) -> None:
    turns = [
        {"role": "user", "content": [image(f"{images.url}/a.png")]},
        {"role": "assistant", "content": "A square."},
        {"role": "user", "content": [image(f"{images.url}/b.png"), {"type": "text", "text": "?"}]},
    ]
    file = written(tmp_path / "r.jsonl", line("x", *turns))
    [row] = lines(infer("--requests", file, "--allow-http", *HERE).stdout)
    assert row["status"] == "ok"
    assert row["answer_tokens"] > 0
    assert row["tokens"] == 2 * 3 * 2


def test_faults_of_images_on_servers_are_error_rows(
    server: ChatServer, images: ImageServer, tmp_path: Path
) -> None:
    codes = {
        "a.png": None,
        "missing": "not_found",
        "500": "unreadable",
        "loop": "unreadable",
        "bomb": "unreadable",
        "cut": "unreadable",
        "huge": "too_large",
        "html": "not_an_image",
        "json": "not_an_image",
        "empty": "empty",
    }
    given = [{"custom_id": name, "image": f"{images.url}/{name}", "prompt": "?"} for name in codes]
    given += [line("chat", {"role": "user", "content": [image(f"{images.url}/missing")]})]
    file = written(tmp_path / "r.jsonl", *given)
    command = ("--requests", file, "--server", server.url)
    rows = lines(infer(*command, "--allow-http", code=3).stdout)
    assert {row["custom_id"]: row["error_code"] for row in rows} == codes | {"chat": "not_found"}
    assert rows[1]["error_message"] == (f"missing: {images.url}/missing: the server answered 404")
    asked = len(images.asked)
    refused = lines(infer(*command, code=3).stdout)
    assert {row["error_code"] for row in refused} == {"bad_request"}
    assert all("--allow-http fetches it" in row["error_message"] for row in refused)
    assert len(images.asked) == asked


def test_a_root_and_servers_of_images_exclude_each_other(tmp_path: Path) -> None:
    file = written(tmp_path / "r.jsonl", {"image": "http://127.0.0.1:1/a.png", "prompt": "?"})
    for options, words in (
        (("--root", tmp_path, "--allow-http"), "leave --allow-http out"),
        (("--root", tmp_path), "only paths, file:// and data: URLs"),
    ):
        done = pixelprune("infer", "--requests", file, *options)
        assert done.returncode in (2, 3)
        assert words in (done.stdout + done.stderr).decode()
    done = pixelprune("infer", tmp_path, "--prompt", "?", "--allow-http")
    assert done.returncode == 2


def test_a_run_with_images_on_servers_resumes(
    server: ChatServer, images: ImageServer, tmp_path: Path
) -> None:
    names = ("a.png", "500", "b.png")
    given = [{"image": f"{images.url}/{name}", "prompt": "?"} for name in names]
    out = tmp_path / "out"
    command = (
        *("--requests", written(tmp_path / "r.jsonl", *given), "--server", server.url),
        *("--allow-http", "-o", out),
    )
    infer(*command, code=3)
    before, asked = answers_in(out), len(server.questions)
    infer(*command, code=3)
    assert answers_in(out) == before
    assert len(server.questions) == asked == 2
    images.marks["a.png"] = '"changed"'
    done = infer(*command, code=5)
    assert b"was modified" in done.stderr
    content = images.files.pop("a.png")
    done = infer(*command, code=5)
    assert f"{images.url}/a.png cannot be read now" in done.stderr.decode()
    images.files["a.png"], images.marks["a.png"] = content, '"0"'
    infer(*command, "--retry-failed", code=3)
    assert len(server.questions) == asked


def test_openai_lines_of_a_server(server: ChatServer, tmp_path: Path) -> None:
    def answer(number: int, body: Any) -> Any:
        kind = body["messages"][0]["content"]
        kind = kind if isinstance(kind, str) else kind[-1]["text"]
        message: dict[str, Any] = {"role": "assistant", "content": "yes"}
        choice = {"index": 0, "message": message, "finish_reason": "length"}
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
        if kind == "silent":
            return 200, JSON, json.dumps({"choices": [choice]}).encode()
        if kind == "refuse":
            message |= {"content": None, "refusal": "I will not."}
        if kind in ("plain", "refuse"):
            return 200, JSON, json.dumps({"choices": [choice], "usage": usage}).encode()
        if kind == "invalid":
            return 400, JSON, json.dumps({"error": {"message": "no such format"}}).encode()
        return None

    server.faults = answer
    kinds = ("plain", "silent", "refuse", "invalid", "other")
    given = [line(kind, {"role": "user", "content": kind}) for kind in kinds]
    given.append(line("broken", ONE, n=3))
    file = written(tmp_path / "r.jsonl", *given)
    command = ("--requests", file, "--server", server.url, "--format", "openai")
    plain, silent, *failed, other, broken = lines(infer(*command, code=3).stdout)
    for one in (plain, silent, other):
        assert one["error"] is None
        assert one["response"]["status_code"] == 200
        assert one["response"]["body"]["model"] == "describer"
    body = plain["response"]["body"]
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["choices"][0]["message"]["content"] == "yes"
    assert body["usage"] == {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    assert silent["response"]["body"]["usage"] is None
    assert other["response"]["body"]["choices"][0]["finish_reason"] == "stop"
    for one, words in zip(
        [*failed, broken],
        ("answered with a refusal: I will not.", "answered 400: no such format", "body sets n,"),
        strict=True,
    ):
        assert one["response"] is None
        assert one["error"]["code"] == "bad_request"
        assert words in one["error"]["message"]
    out = tmp_path / "out.jsonl"
    infer(*command, "-o", out, code=3)
    assert [one["custom_id"] for one in lines(out.read_bytes())] == [*kinds, "broken"]
