"""Servers that cannot be used: what a command says at the start."""

import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ppcli.models.remote import server_check
from tests.chat_server import ChatServer, chat_server, error_reply, free_port
from tests.command import command_line, pixelprune
from tests.conftest import blocks

KEY = "sk-s3cretKey"


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as running:
        yield running


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.fromarray(blocks(320, 256, levels=2)).save(path)
    return path


def infer(*args: str | Path, **more: Any) -> subprocess.CompletedProcess[bytes]:
    return pixelprune("infer", *args, **more)


@contextmanager
def raw_server(answer: bytes) -> Iterator[str]:
    """A server that answers every connection with these bytes."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection, suppress(OSError):
                    connection.recv(65536)
                    connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def test_a_server_that_is_not_there(image: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = infer(image, "--prompt", "?", "--server", url)
    assert done.returncode == 8
    assert done.stdout == b""
    assert f"{url}/v1 cannot be reached: connection refused" in done.stderr.decode()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>hello</html>", "HTML"),
        (b"HTTP/1.1 200 OK\r\n\r\n[1, 2]", "not an object"),
        (b'HTTP/1.1 200 OK\r\n\r\n{"hello": 1}', "not a list of models"),
        (b"HTTP/1.1 301 Moved\r\nLocation: https://other.example/v1\r\n\r\n", "other.example"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answered 404"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "broke the connection"),
    ],
)
def test_a_server_that_speaks_something_else(
    image: Path, answer: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ppcli.models.remote.server_check._WAIT_SECONDS", 0.0)
    with raw_server(answer) as url:
        done = infer(image, "--prompt", "?", "--server", url)
    assert done.returncode == 8
    assert words in done.stderr.decode()


def test_a_server_that_is_busy_at_the_start_is_waited_for_in_words(
    server: ChatServer, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_check, "_LONG_SECONDS", 0.1)
    server.faults = lambda number, _: (
        error_reply(503, "loading", Retry_After="0.2") if number == 0 else None
    )
    done = infer(image, "--prompt", "?", "--server", server.url)
    assert done.returncode == 0
    assert f"{server.url}/v1 answered 503: loading; waiting 0 seconds" in done.stderr.decode()


def test_a_model_that_the_server_does_not_have(server: ChatServer, image: Path) -> None:
    line = (image, "--prompt", "?", "--server", server.url)
    done = infer(*line, "--served-model", "other")
    assert (done.returncode, done.stdout) == (8, b"")
    assert b"has no model other; it has describer" in done.stderr
    server.models = ["one", "two"]
    done = infer(*line)
    assert done.returncode == 8
    assert b"choose with --served-model: one, two" in done.stderr
    assert infer(*line, "--served-model", "two").returncode == 0


def test_a_key_is_sent_and_never_shown(server: ChatServer, image: Path, tmp_path: Path) -> None:
    server.key = KEY
    out = tmp_path / "out"
    line = (image, "--prompt", "?", "--server", server.url, "-o", out, "-v", "--log-format", "json")
    missing = infer(*line)
    assert missing.returncode == 8
    assert b"asks for a key; set OPENAI_API_KEY" in missing.stderr
    wrong = infer(*line, OPENAI_API_KEY="sk-wr0ng")
    assert wrong.returncode == 8
    assert b"refuses the key in OPENAI_API_KEY" in wrong.stderr
    assert b"wr0ng" not in wrong.stderr  # although the server repeats it
    right = infer(*line, OPENAI_API_KEY=KEY)
    assert right.returncode == 0, right.stderr.decode()
    assert server.headers[-1]["Authorization"] == f"Bearer {KEY}"
    for path in [*out.rglob("*")]:
        assert path.is_dir() or KEY.encode() not in path.read_bytes()
    assert KEY.encode() not in right.stderr + right.stdout


def test_servers_that_differ_are_refused(server: ChatServer, image: Path) -> None:
    with chat_server() as other:
        line = (image, "--prompt", "?", "--server", server.url, "--server", other.url)
        other.pruning = "none"
        done = infer(*line)
        assert done.returncode == 8
        assert b"prunes images in another way" in done.stderr
        other.pruning, other.models = "by_request", ["another"]
        done = infer(*line)
        assert done.returncode == 8
        assert b"has the model another" in done.stderr


def test_one_server_of_two_may_be_down_at_the_start(server: ChatServer, image: Path) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    done = infer(image, "--prompt", "?", "--server", gone, "--server", server.url)
    assert done.returncode == 0
    assert b"the others answer" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_command_that_waits_for_a_server(
    image: Path, number: signal.Signals
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        line = command_line(["infer", image, "--prompt", "?", "--server", url])
        with subprocess.Popen(line, stderr=subprocess.PIPE) as run:
            connection, _ = silent.accept()
            connection.recv(100)
            run.send_signal(number)
            _, log = run.communicate(timeout=25)
            connection.close()
    assert run.returncode == (130 if number == signal.SIGINT else 143), log.decode()
    assert b"Traceback" not in log
    assert b"Task was destroyed" not in log


def test_a_server_that_takes_connections_and_never_answers(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ppcli.models.remote.chat_client._LIST_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = infer(image, "--prompt", "?", "--server", url)
    assert done.returncode == 8
    assert b"did not answer within 0.5 seconds" in done.stderr
