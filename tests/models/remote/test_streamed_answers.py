"""Streams of answers: what ends a line, and what makes no sense."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ppcli.models.remote import chat_client
from ppcli.models.remote.chat_answers import Completion, StreamedCompletion
from ppcli.models.remote.chat_client import ChatClient
from ppcli.models.remote.server_faults import Failed

END = {"choices": [{"delta": {}, "finish_reason": "stop"}]}


@contextmanager
def streaming(content: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(content: bytes) -> Completion:
    async def ask(url: str) -> Completion:
        client = ChatClient(url, 10.0)
        try:
            return await client.stream(b"{}")
        finally:
            await client.close()

    with streaming(content) as url:
        return asyncio.run(ask(url))


def events(*parts: Any, line_break: str = "\n") -> bytes:
    lines = [f"data: {json.dumps(one, ensure_ascii=False)}{line_break * 2}" for one in parts]
    return "".join(lines).encode()


@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
def test_line_breaks_of_unicode_are_text_of_the_answer(line_break: str) -> None:
    said = "a\u2028b\u0085c\u2029d\U0001f600"
    parts = [{"choices": [{"delta": {"content": piece}}]} for piece in said]
    assert answer(events(*parts, END, line_break=line_break)).text == said


def test_a_stream_without_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_client, "_MAX_ANSWER_BYTES", 1 << 20)
    with pytest.raises(Failed, match="sent more than 1 MiB"):
        answer(b"data: " + bytes(2 << 20))


@pytest.mark.parametrize(
    "event",
    [
        {"choices": [1]},
        {"choices": 1},
        {"choices": [{"delta": [1]}]},
        {"choices": [{"delta": {"content": ["a"]}}]},
        {"usage": [1]},
        {"usage": 1},
    ],
)
def test_a_piece_that_makes_no_sense(event: Any) -> None:
    with pytest.raises(Failed, match="not a chat completion"):
        StreamedCompletion(0.0).add(f"data: {json.dumps(event)}")
