"""`bench --server` as a user runs it."""

import json
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ppcli import api
from ppcli.jobs.server_bench_measures import ServerBenchResult
from tests.chat_server import MODEL, ChatServer, chat_server, free_port
from tests.command import command_line, pixelprune
from tests.conftest import blocks

QUICK = ("--repeats", "2", "--in-flight", "3", "--new-tokens", "5", "--prompt", "what?")
WORDS = 8  # of the prompt and the template, as the server counts


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    root.mkdir()
    Image.fromarray(blocks(320, 256, levels=2)).save(root / "a.png")
    Image.fromarray(blocks(320, 288, levels=2, seed=1)).save(root / "b.jpg", quality=90)
    return root


def bench(*args: str | Path, code: int = 0) -> subprocess.CompletedProcess[bytes]:
    done = pixelprune("bench", *args)
    assert done.returncode == code, done.stderr.decode()
    return done


def figures(*args: str | Path, code: int = 0) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(bench(*args, "-o", "-", code=code).stdout)
    return made


def is_pruned(body: Any) -> bool:
    return bool(body["mm_processor_kwargs"]["pixelprune"]["enabled"])


def image_of(body: Any) -> dict[str, Any]:
    part: dict[str, Any] = body["messages"][0]["content"][0]
    return part


def test_figures_are_those_of_what_the_server_was_asked(server: ChatServer, folder: Path) -> None:
    made = figures(folder, "--server", server.url, *QUICK)
    asked = server.questions
    load = made["load"]
    assert (load["in_flight"], load["requests"], len(load["seconds"])) == (3, 12, 2)
    rounds = 1 + 2 + 2 * 6  # of each page: to warm up, alone, at once
    assert [is_pruned(body) for body in asked].count(True) == 2 * rounds
    assert [is_pruned(body) for body in asked].count(False) == 2 * rounds
    assert len({image_of(body)["image_url"]["url"] for body in asked}) == 2
    for one in made["images"]:
        assert one["keep_ratio"] == one["tokens"]["pruned"] / one["tokens"]["full"]
        for side in ("full", "pruned"):
            assert one["prompt_tokens"][side] == one["tokens"][side] + WORDS
            assert 0 < one[side]["first_token_ms"] <= one[side]["total_ms"]
    together = made["together"]
    for name in ("tokens", "prompt_tokens", "answer_tokens"):
        for side in ("full", "pruned"):
            assert together[name][side] == sum(one[name][side] for one in made["images"])
    for name in ("first_token_ms", "total_ms"):
        each = [one["full"][name] for one in made["images"]]
        assert together["full"][name] == pytest.approx(statistics.median(each))
        factor = together["full"][name] / together["pruned"][name]
        assert together["faster"][name] == pytest.approx(factor)
    for side in ("full", "pruned"):
        seconds = statistics.median(one[side] for one in load["seconds"])
        assert load["requests_a_minute"][side] == pytest.approx(60 * 12 / seconds)
    assert together["tokens"]["full"] == 80 + 90 > together["tokens"]["pruned"]
    assert made["cost_of_1000_pages"] is None
    assert made["failures"] == []
    assert made["setting"]["model"] == MODEL


def test_both_sides_take_turns(server: ChatServer, folder: Path) -> None:
    figures(folder / "a.png", "--server", server.url, *QUICK, "--in-flight", "1")
    sides = [is_pruned(body) for body in server.questions]
    warm, alone, together = sides[:2], sides[2:6], sides[6:]
    assert warm == [False, True]
    assert alone == [False, True, True, False]
    assert together == [False] * 4 + [True] * 8 + [False] * 4


def test_no_cache_can_answer(server: ChatServer, folder: Path) -> None:
    figures(folder, "--server", server.url, *QUICK)
    salts = {body["cache_salt"] for body in server.questions}
    names = {image_of(body)["uuid"] for body in server.questions}
    assert len(salts) == len(names) == len(server.questions)


def test_all_answers_have_the_same_length_and_are_streamed(
    server: ChatServer, folder: Path
) -> None:
    figures(folder, "--server", server.url, *QUICK, "--threshold", "4/255")
    expected = {"stream": True, "stream_options": {"include_usage": True}, "ignore_eos": True,
                "skip_special_tokens": False, "max_tokens": 5, "temperature": 0.0}  # fmt: skip
    for body in server.questions:
        assert {name: body[name] for name in expected} == expected
    told = [one["mm_processor_kwargs"]["pixelprune"] for one in server.questions]
    assert {one["threshold"] for one in told if one["enabled"]} == {4 / 255}


def test_tables(server: ChatServer, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    done = bench(folder, "--server", server.url, *QUICK, "-o", out, "--price-per-hour", "2.5")
    text = done.stderr.decode()
    for words in (
        "a.png", "b.jpg", "first token, ms", "answer, ms", "image tokens", "prompt tokens",
        "requests a minute, 3 at once", "cost of 1,000 pages", "0 of 2 differ",
        "0 of 24 answers differ", f"{MODEL} at {server.url}/v1, pred_2d, threshold 0, 5 tokens",
    ):  # fmt: skip
        assert words in text
    made = json.loads(out.read_text())
    for side in ("full", "pruned"):
        pages_an_hour = 60 * made["load"]["requests_a_minute"][side]
        assert made["cost_of_1000_pages"][side] == pytest.approx(2500 / pages_an_hour)
    assert bench(folder, "--server", server.url, *QUICK, "-q").stderr == b""
    logged = bench(folder, "--server", server.url, *QUICK, "--log-format", "json")
    last = json.loads(logged.stderr.splitlines()[-1])
    assert (last["message"], len(last["images"])) == ("finished", 2)


def other_answer(body: Any) -> Any:
    text = {"role": "user", "content": [image_of(body), {"type": "text", "text": "other"}]}
    return body | {"messages": [text]}


def test_answers_that_differ_are_counted(server: ChatServer, folder: Path) -> None:
    jpeg: list[str] = []

    def fault(_: int, body: Any) -> Any:
        if body["max_tokens"] == 1 or not image_of(body)["image_url"]["url"].startswith(
            "data:image/jpeg"
        ):
            return None
        jpeg.append(body["cache_salt"])
        return server.reply(other_answer(body)) if is_pruned(body) else None

    server.faults = fault
    made = figures(folder, "--server", server.url, *QUICK)
    assert len(jpeg) == len(server.questions) / 2
    assert [one["same_answer"] for one in made["images"]] == [True, False]
    assert made["together"]["answers_that_differ"] == 1
    answers = made["images"][1]["answers"]
    assert answers["full"].startswith("what?: ") and answers["pruned"].startswith("other: ")
    assert made["load"]["answers_unlike_alone"] == {"full": 0, "pruned": 0}


def test_answers_under_load_that_differ_from_those_alone(server: ChatServer, folder: Path) -> None:
    def fault(_: int, body: Any) -> Any:
        is_last = len(server.questions) > 2 * 2 * (1 + 2 + 2 * 6) - 3
        return server.reply(other_answer(body)) if is_last else None

    server.faults = fault
    made = figures(folder, "--server", server.url, *QUICK)
    assert made["together"]["answers_that_differ"] == 0
    assert made["load"]["answers_unlike_alone"] == {"full": 3, "pruned": 0}


def test_what_comes_after_the_end_of_an_answer_does_not_count(
    server: ChatServer, folder: Path
) -> None:
    def fault(number: int, body: Any) -> Any:
        if body["max_tokens"] == 1:
            return None
        texts = [image_of(body), {"type": "text", "text": f"4.50<|im_end|>{number}"}]
        return server.reply(body | {"messages": [{"role": "user", "content": texts}]})

    server.faults = fault
    made = figures(folder, "--server", server.url, *QUICK)
    assert made["images"][0]["answers"] == {"full": "4.50", "pruned": "4.50"}
    assert made["load"]["answers_unlike_alone"] == {"full": 0, "pruned": 0}


def test_thinking_that_differs_counts(server: ChatServer, folder: Path) -> None:
    def fault(_: int, body: Any) -> Any:
        if body["max_tokens"] == 1:
            return None
        deltas = [{"reasoning_content": "few" if is_pruned(body) else "many"}, {"content": "4"}]
        choices: list[Any] = [[{"delta": one}] for one in deltas]
        choices.append([{"delta": {}, "finish_reason": "length"}])
        events = [{"choices": one} for one in choices]
        lines = b"".join(b"data: %s\n\n" % json.dumps(one).encode() for one in events)
        return 200, {"Content-Type": "text/event-stream"}, lines

    server.faults = fault
    made = figures(folder, "--server", server.url, *QUICK)
    assert made["images"][0]["answers"] == {"full": "many4", "pruned": "few4"}
    assert made["together"]["answers_that_differ"] == 2
    assert made["together"]["prompt_tokens"] == {"full": None, "pruned": None}
    assert "–" in bench(folder, "--server", server.url, *QUICK).stderr.decode()


def test_images_that_fail_are_left_out(server: ChatServer, folder: Path) -> None:
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:200])

    def fault(_: int, body: Any) -> Any:
        if body["max_tokens"] == 1 or is_pruned(body) or "png" not in str(image_of(body))[:60]:
            return None
        text = json.dumps({"error": {"message": "longer than the maximum model length of 9"}})
        return 400, {"Content-Type": "application/json"}, text.encode()

    server.faults = fault
    made = figures(folder, "--server", server.url, *QUICK, code=3)
    assert [one["image_id"] for one in made["images"]] == ["b.jpg"]
    assert [(one["name"], one["error_code"]) for one in made["failures"]] == [
        ("broken.png", "truncated"),
        ("a.png", "context_too_long"),
    ]
    assert made["load"]["requests"] == 12


def test_files_that_fail_alone(server: ChatServer, folder: Path) -> None:
    broken = folder / "broken.png"
    broken.write_bytes((folder / "a.png").read_bytes()[:200])
    done = bench(broken, "--server", server.url, *QUICK, code=3)
    assert done.stderr.startswith(b"truncated: ")
    assert not server.questions


@pytest.mark.slow
def test_requests_at_once_rise_while_that_helps(server: ChatServer, folder: Path) -> None:
    places = threading.Semaphore(8)

    def wait_for_a_place(*_: Any) -> None:
        with places:
            time.sleep(0.25)

    server.faults = wait_for_a_place
    line = ("--server", server.url, "--repeats", "1", "--new-tokens", "5")
    load = figures(folder / "a.png", *line)["load"]
    assert load["in_flight"] >= 8  # where it settles is tried without a clock, in test_in_flight.py
    assert load["requests"] == 4 * load["in_flight"]


def test_several_servers_share_the_load_and_one_that_is_down_does_not_count(
    server: ChatServer, folder: Path
) -> None:
    with chat_server() as other:
        dead = f"http://127.0.0.1:{free_port()}"
        urls = ("--server", server.url, "--server", dead, "--server", other.url)
        load = figures(folder, *urls, *QUICK)["load"]
        assert (load["in_flight"], load["requests"]) == (3, 4 * 3 * 2)
        assert len(other.questions) > 24


def test_a_program_gets_the_same_figures(server: ChatServer, folder: Path) -> None:
    result = api.bench(
        [str(folder)],
        server=api.ServerOptions(server=(server.url,), in_flight=1),
        measure=api.MeasureOptions(repeats=1, new_tokens=5, price_per_hour=3.0),
    )
    assert isinstance(result, ServerBenchResult)
    assert result.load is not None and result.cost is not None
    assert result.cost.full == pytest.approx(3000 / (60 * result.load.a_minute.full))
    assert result.differing == 0


@pytest.mark.parametrize(
    ("pruning", "words"),
    [("none", "nothing to compare"), ("by_server", "--trust-request-mm-kwargs")],
)
def test_a_server_without_the_switch_is_refused(
    server: ChatServer, folder: Path, pruning: str, words: str
) -> None:
    server.pruning = pruning
    done = bench(folder, "--server", server.url, *QUICK, code=8)
    assert words in done.stderr.decode()
    assert not server.questions


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--model", "m"), "leave --model"),
        (("--threads", "2"), "leave --model"),
        (("--random-weights", "qwen3-vl-2b"), "--random-weights is for a local model"),
        (("--batch-sizes", "1,2"), "--batch-sizes is for a local model"),
        (("--method", "random"), "random"),
        (("--seed", "1"), "--seed is for the method random"),
        (("-o", "figures.txt"), "name a .json file"),
        (("--new-tokens", "1"), "--new-tokens"),
    ],
)
def test_options_of_a_model_here_are_refused(
    server: ChatServer, folder: Path, options: tuple[str, ...], words: str
) -> None:
    done = bench(folder, "--server", server.url, *options, code=2)
    assert words in done.stderr.decode()
    assert not server.bodies


def test_a_price_needs_a_server(folder: Path) -> None:
    assert b"needs --server URL" in bench(folder, "--price-per-hour", "2", code=2).stderr


def test_nothing_to_measure(server: ChatServer, tmp_path: Path) -> None:
    done = bench(tmp_path, "--server", server.url, code=4)
    assert b"no image among the inputs" in done.stderr
    assert server.questions == []


def test_a_server_that_goes_away(server: ChatServer, folder: Path) -> None:
    def fault(number: int, _: Any) -> Any:
        if number < 12:
            return None
        text = json.dumps({"error": {"message": "Incorrect API key provided"}})
        return 401, {"Content-Type": "application/json"}, text.encode()

    server.faults = fault
    done = bench(folder, "--server", server.url, *QUICK, code=8)
    assert b"asks for a key" in done.stderr


@pytest.mark.parametrize("tokens", [0, 1])
def test_a_server_that_counts_other_tokens_is_noticed(
    server: ChatServer, folder: Path, tokens: int
) -> None:
    def fewer(_: int, body: Any) -> Any:
        if body["max_tokens"] == 1 or not is_pruned(body):
            return None
        status, headers, content = server.reply(body)
        events = [json.loads(one[6:]) for one in content.decode().split("\n\n")[:-2]]
        events[-1]["usage"]["prompt_tokens"] -= tokens
        return (
            status,
            headers,
            b"".join(b"data: %s\n\n" % json.dumps(one).encode() for one in events),
        )

    server.faults = fewer
    done = bench(folder, "--server", server.url, *QUICK)
    assert done.stderr.decode().count("image tokens and kept ones are estimates") == tokens


def test_an_interrupt_ends_it_while_the_server_does_not_answer(
    server: ChatServer, folder: Path
) -> None:
    def faults(*_: Any) -> None:
        if len(server.questions) > 6:
            time.sleep(30)

    server.faults = faults
    line = command_line(["bench", folder, "--server", server.url, *QUICK])
    with subprocess.Popen(line, stderr=subprocess.PIPE) as run:
        while len(server.questions) < 7:
            assert run.poll() is None
            time.sleep(0.05)
        time.sleep(0.3)
        run.send_signal(signal.SIGINT)
        _, log = run.communicate(timeout=25)
    assert run.returncode == 130, log.decode()
    assert b"Traceback" not in log
