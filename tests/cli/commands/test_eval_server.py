"""`eval --server`: full against pruned, from one server."""

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash
from PIL import Image

from tests.chat_server import MODEL, ChatServer, chat_server
from tests.command import pixelprune
from tests.conftest import blocks

THREE = ["full", "pred_2d τ=0", "pred_2d τ=0.0157"]
SEVERAL = ("--thresholds", "0,4/255")


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as running:
        yield running


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Questions about two pictures. The server gives the right answer to the first and third."""
    folder = tmp_path / "in"
    folder.mkdir()
    said = {}
    for number in (1, 2):
        pixels = blocks(320, 256, levels=2, seed=number)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        said[number] = f"{xxhash.xxh3_64_hexdigest(np.ascontiguousarray(pixels))} 320x256"
    questions = [
        {"image": "1.png", "question": "Total?", "answers": ["no", f"Total?: {said[1]}"]},
        {"image": "2.png", "question": "Total?", "answers": [f"Total?: {said[1]}"]},
        {"image": "2.png", "question": "Who?", "answers": [f"WHO?: {said[2]}"]},
    ]
    path = folder / "q.jsonl"
    path.write_text("\n".join(map(json.dumps, questions)))
    return path


def evaluate(*args: str | Path, code: int = 0) -> subprocess.CompletedProcess[bytes]:
    done = pixelprune("eval", *args)
    assert done.returncode == code, done.stderr.decode()
    return done


def lines(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def test_answers_are_scored_in_every_variant(server: ChatServer, data: Path) -> None:
    done = evaluate("--data", data, "--server", server.url, *SEVERAL, "-o", "-")
    rows = lines(done.stdout)
    assert [row["variant"] for row in rows] == THREE * 3
    assert [row["exact"] for row in rows] == [1.0] * 3 + [0.0] * 3 + [1.0] * 3
    assert [row["anls"] == 1 for row in rows] == [row["exact"] == 1 for row in rows]
    for row in rows:
        question_words = 1
        assert row["prompt_tokens"] == row["kept"] + question_words + 7
        assert row["request_ms"] > 0
        assert row["status"] == "ok"
        assert row["vision_ms"] is row["prefill_ms"] is row["decode_ms"] is None
    for full, exact, lossy in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
        assert full["kept"] == full["tokens"] == exact["tokens"] == 80
        assert full["kept"] > exact["kept"] >= lossy["kept"]
    shown = done.stderr.decode()
    assert "every token" in shown and "2 (67%)" in shown
    assert shown.count("controls need a local model") == 1


def test_the_server_is_told_each_variant_and_sees_one_image(server: ChatServer, data: Path) -> None:
    evaluate("--data", data, "--server", server.url, *SEVERAL, "-o", "-", "--limit", "1")
    told = [one["mm_processor_kwargs"]["pixelprune"] for one in server.questions]
    assert Counter((one["enabled"], one.get("threshold")) for one in told) == {
        (False, None): 1, (True, 0.0): 1, (True, 4 / 255): 1,
    }  # fmt: skip
    urls = {one["messages"][0]["content"][0]["image_url"]["url"] for one in server.questions}
    assert len(urls) == 1
    assert {(one["model"], one["max_tokens"]) for one in server.questions} == {(MODEL, 64)}


def test_the_server_is_told_each_method(server: ChatServer, data: Path) -> None:
    settings = ("--methods", "pred_2d_flat,left_or_above", "--metrics", "max,mae")
    command = ("--data", data, "--server", server.url, *settings, "-o", "-", "--limit", "1")
    evaluate(*command, "--thresholds", "4/255")
    told = [one["mm_processor_kwargs"]["pixelprune"] for one in server.questions]
    pruned = [(one["method"], one["metric"], one["threshold"]) for one in told if one["enabled"]]
    assert sorted(pruned) == [
        (method, metric, 4 / 255)
        for method in ("left_or_above", "pred_2d_flat")
        for metric in ("mae", "max")
    ]


def test_no_controls_is_accepted_and_needs_no_words(server: ChatServer, data: Path) -> None:
    done = evaluate("--data", data, "--server", server.url, "--no-controls", "-o", "-")
    assert len(lines(done.stdout)) == 6
    assert b"controls" not in done.stderr


def test_counts_agree_with_a_model_here(server: ChatServer, data: Path, model: Path) -> None:
    columns = ("custom_id", "image_id", "question", "answers", "variant", "tokens", "kept")
    options = ("--data", data, "--no-controls", *SEVERAL, "-o", "-")
    there = lines(evaluate(*options, "--server", server.url).stdout)
    here = lines(evaluate(*options, "--model", model, "--device", "cpu").stdout)
    assert [[row[name] for name in columns] for row in there] == [
        [row[name] for name in columns] for row in here
    ]
    assert [list(row) for row in there] == [list(row) for row in here]


def test_what_cannot_be_asked_is_an_error_row_and_never_sent(
    server: ChatServer, data: Path
) -> None:
    (data.parent / "broken.png").write_bytes((data.parent / "1.png").read_bytes()[:90])
    bad = [
        {"image": "broken.png", "question": "?", "answers": ["x"]},
        {"image": "gone.png", "question": "?", "answers": ["x"]},
        {"image": "1.png", "question": "?"},
    ]
    data.write_text("\n".join([*map(json.dumps, bad), data.read_text().splitlines()[0]]))
    done = evaluate("--data", data, "--server", server.url, "-o", "-", code=3)
    rows = lines(done.stdout)
    assert [row["error_code"] for row in rows] == [
        "truncated", "truncated", "not_found", "not_found", "bad_request", "bad_request",
        None, None,
    ]  # fmt: skip
    assert [row["exact"] for row in rows] == [None] * 6 + [1.0] * 2
    assert len(server.questions) == 2


def test_a_question_that_the_server_refuses_in_one_variant(server: ChatServer, data: Path) -> None:
    def refuse_whole(_: int, body: Any) -> Any:
        options = body.get("mm_processor_kwargs", {}).get("pixelprune", {})
        if options.get("enabled", True) or body["max_tokens"] == 1:
            return None
        text = json.dumps({"error": {"message": "longer than the maximum model length of 90"}})
        return 400, {"Content-Type": "application/json"}, text.encode()

    server.faults = refuse_whole
    done = evaluate("--data", data, "--server", server.url, "-o", "-", code=3)
    rows = lines(done.stdout)
    assert [row["error_code"] for row in rows] == ["context_too_long", None] * 3
    assert [row["exact"] for row in rows[1::2]] == [1.0, 0.0, 1.0]


def test_a_run_is_resumed_and_failures_are_retried(
    server: ChatServer, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores"
    lost = {"image": "3.png", "question": "?", "answers": ["x"]}
    data.write_text(f"{data.read_text()}\n{json.dumps(lost)}")
    evaluate("--data", data, "--server", server.url, "-o", out, code=3)
    asked = len(server.questions)
    assert asked == 6
    shutil.copy(data.parent / "1.png", data.parent / "3.png")
    with chat_server() as other:
        again = evaluate("--data", data, "--server", other.url, "-o", out, "--retry-failed")
        assert (len(server.questions), len(other.questions)) == (asked, 2)
    assert b"2 (50%)" in again.stderr
    assert pixelprune("verify", out).returncode == 0
    evaluate("--data", data, "--server", server.url, "-o", out, *SEVERAL, code=5)
    evaluate("--data", data, "-o", out, "--no-controls", code=5)  # the scores of another model


def test_a_server_that_counts_other_tokens_is_noticed_once(server: ChatServer, data: Path) -> None:
    def fewer(_: int, body: Any) -> Any:
        if body["max_tokens"] == 1 or not body["mm_processor_kwargs"]["pixelprune"]["enabled"]:
            return None
        status, headers, content = server.reply(body)
        answer = json.loads(content)
        answer["usage"]["prompt_tokens"] -= 1
        return status, headers, json.dumps(answer).encode()

    line = ("--data", data, "--server", server.url, "--no-controls", "-o", "-")
    words = "image tokens and kept ones are estimates"
    assert words not in evaluate(*line).stderr.decode()
    server.faults = fewer
    done = evaluate(*line)
    assert done.stderr.decode().count(words) == 1
    rows = lines(done.stdout)
    assert [row["exact"] for row in rows] == [1.0, 1.0, 0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("pruning", "words"),
    [
        ("none", "does not prune, so there is nothing to compare; start vLLM with the plugin"),
        ("by_server", "start vLLM with --trust-request-mm-kwargs"),
    ],
)
def test_a_server_without_the_switch_is_refused(
    server: ChatServer, data: Path, tmp_path: Path, pruning: str, words: str
) -> None:
    server.pruning = pruning
    out = tmp_path / "out"
    done = evaluate("--data", data, "--server", server.url, "-o", out, code=8)
    assert words in done.stderr.decode()
    assert server.url in done.stderr.decode()
    assert not server.questions
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--model", "m"), "leave --model"),
        (("--batch-size", "4"), "--batch-size is for a local model"),
        (("--seed", "4"), "--seed is for the random control"),
        (("--thresholds", "0.1,0.10001"), "equal in three digits"),
    ],
)
def test_options_of_a_model_here_are_refused(
    server: ChatServer, data: Path, options: tuple[str, ...], words: str
) -> None:
    done = evaluate("--data", data, "--server", server.url, *options, code=2)
    assert words in done.stderr.decode()
    assert not server.bodies


def test_options_of_servers_need_a_server(data: Path) -> None:
    done = evaluate("--data", data, "--in-flight", "3", code=2)
    assert b"need --server URL" in done.stderr
