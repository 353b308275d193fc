"""Servers that fail: what a run does, and what it says."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ppcli.models.remote import server_check, server_pool
from tests.chat_server import JSON, ChatServer, chat_server, error_reply, free_port
from tests.command import command_line, pixelprune
from tests.conftest import blocks

TIMES = ("select_ms", "request_ms")


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as running:
        yield running


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other quickly; their number stays."""
    monkeypatch.setattr(server_pool, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(server_pool, "_LONGEST_WAIT", 0.2)
    monkeypatch.setattr(server_check, "_WAIT_SECONDS", 0.01)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.fromarray(blocks(320, 256, levels=2)).save(path)
    return path


def written_requests(count: int, tmp_path: Path) -> Path:
    """A file of requests about 30 images."""
    for number in range(30):
        Image.fromarray(blocks(128, 96, levels=2, seed=number)).save(tmp_path / f"{number}.png")
    lines = [
        json.dumps({"custom_id": f"r{n}", "image": f"{n % 30}.png", "prompt": f"question {n}"})
        for n in range(count)
    ]
    file = tmp_path / "requests.jsonl"
    file.write_text("\n".join(lines))
    return file


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    return written_requests(100, tmp_path)


@pytest.fixture
def many_requests(tmp_path: Path) -> Path:
    return written_requests(300, tmp_path)


def rows_of(output: bytes | str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in output.splitlines()]
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def infer(*args: str | Path, **more: Any) -> subprocess.CompletedProcess[bytes]:
    return pixelprune("infer", *args, **more)


def test_a_key_that_is_revoked_ends_the_run(
    server: ChatServer, requests: Path, tmp_path: Path
) -> None:
    undisturbed = rows_of(infer("--requests", requests, "--server", server.url).stdout)
    asked = len(server.bodies)

    def faults(number: int, _: Any) -> Any:
        return error_reply(401, "key revoked") if number >= asked + 40 else None

    server.faults = faults
    out = tmp_path / "out"
    done = infer("--requests", requests, "--server", server.url, "-o", out)
    assert done.returncode == 8
    assert b"key revoked" in done.stderr
    server.faults = lambda *_: None
    again = infer("--requests", requests, "--server", server.url, "-o", out)
    assert again.returncode == 0, again.stderr.decode()
    assert dataset_rows(out) == undisturbed


def dataset_rows(folder: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = []
    for part in sorted((folder / "answers").glob("*.parquet")):
        rows += pq.read_table(part).to_pylist()
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        (error_reply(400, "this image is too weird"), "bad_request", "too weird"),
        (error_reply(413, "too large"), "bad_request", ": the server answered 413: too large"),
        (
            error_reply(400, "This model's maximum context length is 8 tokens"),
            "context_too_long",
            "maximum context length",
        ),
        (error_reply(500, "out of luck"), "server_error", "out of luck (tried 8 times)"),
        (error_reply(404, "no such thing"), "server_error", "no such thing (tried 8 times)"),
        ((200, JSON, b"<html>"), "server_error", "HTML"),
        ((200, JSON, b'{"choices": []}'), "server_error", "not a chat completion"),
        ("cut", "server_error", "broke the connection"),
    ],
)
def test_a_request_that_fails_is_one_error_row(
    server: ChatServer, requests: Path, reply: Any, code: str, words: str
) -> None:
    def faults(_: int, body: Any) -> Any:
        return reply if "question 17" in json.dumps(body) else None

    server.faults = faults
    done = infer("--requests", requests, "--server", server.url, "--limit", "30")
    assert done.returncode == 3
    rows = rows_of(done.stdout)
    failed = [row for row in rows if row["status"] == "error"]
    assert [row["custom_id"] for row in rows] == [f"r{n}" for n in range(30)]
    assert [row["custom_id"] for row in failed] == ["r17"]
    assert failed[0]["error_code"] == code
    assert words in failed[0]["error_message"]


def random_faults(seed: int, share: float) -> Callable[[int, Any], Any]:
    rng = random.Random(seed)

    def faults(*_: Any) -> Any:
        if rng.random() >= share:
            return None
        kinds = [
            error_reply(429, "slow down"),
            error_reply(500, "oops"),
            error_reply(503, "loading"),
            "cut",
        ]
        return rng.choice(kinds)

    return faults


@pytest.mark.slow
def test_random_faults_change_no_row(
    server: ChatServer, many_requests: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = infer("--requests", many_requests, "--server", server.url)
    assert undisturbed.returncode == 0
    asked = len(server.questions)
    server.faults = random_faults(1, 0.25)
    done = infer("--requests", many_requests, "--server", server.url)
    assert done.returncode == 0, done.stderr.decode()
    assert rows_of(done.stdout) == rows_of(undisturbed.stdout)
    assert len(server.questions) > 2 * asked + 20  # the faults did happen


@pytest.mark.slow
def test_a_request_without_an_answer_in_time_is_one_error_row(
    server: ChatServer, requests: Path
) -> None:
    server.faults = lambda _, body: time.sleep(20) if "question 3" in json.dumps(body) else None
    line = ("--server", server.url, "--limit", "8", "--request-timeout", "3")
    done = infer("--requests", requests, *line)
    assert done.returncode == 3
    failed = [row for row in rows_of(done.stdout) if row["status"] == "error"]
    assert [(row["custom_id"], row["error_code"]) for row in failed] == [("r3", "server_error")]
    assert "did not answer within 3 seconds (tried 3 times)" in failed[0]["error_message"]


def test_retry_after_is_obeyed(server: ChatServer, image: Path) -> None:
    times: list[float] = []

    def faults(number: int, body: Any) -> Any:
        if body["max_tokens"] == 1:
            return None
        times.append(time.monotonic())
        wait = {"Retry_After": "1.5"}
        return error_reply(429, "slow down", **wait) if len(times) == 1 else None

    server.faults = faults
    assert infer(image, "--prompt", "?", "--server", server.url).returncode == 0
    assert times[1] - times[0] >= 1.5


def test_two_servers_share_the_work_and_one_may_die(server: ChatServer, requests: Path) -> None:
    undisturbed = infer("--requests", requests, "--server", server.url)
    asked = len(server.questions)
    with chat_server() as other:
        other.seconds = server.seconds = 0.01

        def faults(number: int, _: Any) -> Any:
            if number < 20:
                return None
            other.stop_listening()
            return "cut"

        other.faults = faults
        urls = ("--server", server.url, "--server", other.url)
        done = infer("--requests", requests, *urls)
        assert done.returncode == 0, done.stderr.decode()
        assert rows_of(done.stdout) == rows_of(undisturbed.stdout)
        assert len(server.questions) - asked > 40
        assert len(other.questions) >= 10


def test_no_server_for_too_long_ends_the_run_and_keeps_what_is_done(
    requests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_pool, "PATIENCE_SECONDS", 0.5)
    out = tmp_path / "out"
    with chat_server() as server:
        undisturbed = rows_of(infer("--requests", requests, "--server", server.url).stdout)
        asked = len(server.bodies)

        def faults(number: int, _: Any) -> Any:
            if number < asked + 50:
                return None
            server.stop_listening()
            return "cut"

        server.faults = faults
        done = infer("--requests", requests, "--server", server.url, "-o", out, "--in-flight", "4")
    assert done.returncode == 8
    assert b"no server answers" in done.stderr
    assert b"Run the same command again" in done.stderr
    with chat_server() as back:
        again = infer("--requests", requests, "--server", back.url, "-o", out)
        assert again.returncode == 0, again.stderr.decode()
        assert len(back.questions) < 100
    assert dataset_rows(out) == undisturbed


def test_a_proxy_before_a_server_that_restarts_costs_nothing(
    server: ChatServer, requests: Path
) -> None:
    """It takes every connection, and breaks it while the server is away."""
    undisturbed = infer("--requests", requests, "--server", server.url)
    last, refused = len(server.bodies) + 40, []

    def is_away() -> bool:
        return len(server.bodies) > last and len(refused) < 20

    def list_faults() -> bool:
        if is_away():
            refused.append("models")
            return True
        return False

    server.faults = lambda *_: "cut" if is_away() else None
    server.list_faults = list_faults
    done = infer("--requests", requests, "--server", server.url)
    assert done.returncode == 0, done.stderr.decode()
    assert len(refused) == 20
    assert rows_of(done.stdout) == rows_of(undisturbed.stdout)


def test_a_request_that_stops_its_server_each_time_is_one_error_row(
    server: ChatServer, requests: Path
) -> None:
    """A proxy takes connections while the server starts anew."""
    has_stopped: list[bool] = []

    def faults(_: int, body: Any) -> Any:
        if "question 17" not in json.dumps(body):
            return None
        has_stopped.append(True)
        return "cut"

    server.faults = faults
    server.list_faults = lambda: bool(has_stopped) and has_stopped.pop()
    given = ("--requests", requests, "--server", server.url, "--limit", "30", "--in-flight", "1")
    done = infer(*given)
    assert done.returncode == 3, done.stderr.decode()
    rows = rows_of(done.stdout)
    assert [row["custom_id"] for row in rows] == [f"r{n}" for n in range(30)]
    [failed] = [row for row in rows if row["status"] == "error"]
    assert failed["custom_id"] == "r17"
    assert "(tried 8 times)" in failed["error_message"]


@contextmanager
def server_process(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The server in a process of its own, once it listens."""
    running = subprocess.Popen([sys.executable, "-m", "tests.chat_server", str(port)])
    try:
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert running.poll() is None
            time.sleep(0.05)
        yield running
    finally:
        running.kill()
        running.wait()


@pytest.mark.slow
def test_a_server_that_is_killed_and_started_again_costs_nothing(
    many_requests: Path, tmp_path: Path
) -> None:
    port = free_port()
    line = ["infer", "--requests", many_requests, "--server", f"http://127.0.0.1:{port}"]
    with server_process(port) as first:
        undisturbed = subprocess.run(command_line(line), capture_output=True, check=True)
        log = tmp_path / "log"
        with (
            log.open("wb") as stderr,
            subprocess.Popen(command_line(line), stdout=subprocess.PIPE, stderr=stderr) as run,
        ):
            assert run.stdout is not None
            lines = [run.stdout.readline() for _ in range(60)]
            first.kill()
            first.wait()
            time.sleep(1)
            with server_process(port):
                rest = run.stdout.read()
                run.wait()
    assert run.returncode == 0, log.read_text()
    assert "requests wait until it answers again" in log.read_text()
    assert rows_of(b"".join(lines) + rest) == rows_of(undisturbed.stdout)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_whose_server_does_not_answer(
    server: ChatServer, tmp_path: Path, number: signal.Signals
) -> None:
    pages = [Image.fromarray(blocks(96, 96, seed=n)) for n in range(4)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    out = tmp_path / "out"
    line = ["infer", tmp_path / "pages.tif", "--prompt", "?", "--server", server.url, "-o", out]

    def faults(count: int, body: Any) -> Any:
        if len(server.questions) > 2:
            time.sleep(30)
        return None

    server.faults = faults
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command_line(line), stderr=subprocess.PIPE, env=environment) as run:
        while len(server.questions) < 4:
            assert run.poll() is None
            time.sleep(0.05)
        time.sleep(0.3)
        run.send_signal(number)
        _, log = run.communicate(timeout=25)  # it ends before the server answers
    assert run.returncode == 128 + number, log.decode()
    assert b"Traceback" not in log
    assert dataset_rows(out) == []  # of four pages two had answers
    server.faults = lambda *_: None
    again = infer(*line[1:])
    assert again.returncode == 0
    assert [row["image_id"][-2:] for row in dataset_rows(out)] == ["#1", "#2", "#3", "#4"]
