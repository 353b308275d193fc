"""A server that speaks the OpenAI chat API, with a model that describes what it was shown.

Usage: python -m tests.chat_server PORT

The answer names the digest of the pixels of each image and the texts, so it changes with anything
that changes on the way. Tokens of images are counted with the coder itself, as the plugin for vLLM
prunes them. Faults can be injected: see `ChatServer.faults`.
"""

import base64
import io
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import xxhash
from PIL import Image

from ppcli import keep_mask, prune
from ppcli.imaging.fit import fit_image
from ppcli.imaging.fit_options import FitOptions
from ppcli.models.families.family_registry import DEFAULT_PRESET, get_preset

MODEL = "describer"
Reply = tuple[int, dict[str, str], bytes]
JSON = {"Content-Type": "application/json"}


def error_reply(status: int, message: str, code: str | None = None, **headers: str) -> Reply:
    """A refusal as vLLM and OpenAI write it."""
    body = {"error": {"message": message, "type": "error", "code": code}}
    return status, JSON | headers, json.dumps(body).encode()


class ChatServer(ThreadingHTTPServer):
    """The server and what it is asked.

    Attributes:
        models: names that it lists.
        pruning: `by_request`, `by_server` or `none`.
        key: that requests must bear; None for none.
        seconds: that each answer takes.
        min_pixels: smaller images are enlarged.
        faults: called with the number of each chat request and its body; returns None, a reply
            that is sent instead of an answer, or `cut` to break the connection.
        list_faults: called with each question for the models; True breaks the connection.
        bodies: of all chat requests, in order of arrival.
        most_in_flight: the most requests that were answered at once.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.models = [MODEL]
        self.pruning = "by_request"
        self.key: str | None = None
        self.seconds = 0.0
        self.min_pixels = get_preset(DEFAULT_PRESET).min_pixels
        self.faults: Callable[[int, Any], Reply | str | None] = lambda number, body: None
        self.list_faults: Callable[[], bool] = lambda: False
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def questions(self) -> list[Any]:
        """The bodies without those of the check at the start."""
        return [one for one in self.bodies if one["max_tokens"] > 1]

    def stop_listening(self) -> None:
        """Refuse connections from now on; may be called while a request is answered.

        To close the socket alone would leave connections without an answer.
        """
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up."""

    def reply(self, body: Any) -> Reply:
        """The answer to a chat request."""
        if body["model"] not in self.models:
            return error_reply(404, f"The model `{body['model']}` does not exist.")
        texts, images = [], []
        for message in body["messages"]:
            content = message["content"]
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
            for part in parts:
                if part["type"] == "text":
                    texts.append(part["text"])
                else:
                    images.append(part["image_url"]["url"])
        options = (body.get("mm_processor_kwargs") or {}).get("pixelprune")
        if options is not None and self.pruning == "by_server":
            return error_reply(400, "mm_processor_kwargs are not allowed in a request")
        if options is None or self.pruning == "none":
            options = {"enabled": self.pruning != "none"}
        try:
            seen = _seen(images, options, self.min_pixels)
        except OSError as error:
            return error_reply(400, f"cannot identify image: {error}")
        words = " ".join(f"{digest} {size}" for digest, size, _ in seen)
        answer = f"{' | '.join(texts)}: {words}"
        usage = {
            "prompt_tokens": sum(kept for _, _, kept in seen) + len(" ".join(texts).split()) + 7,
            "completion_tokens": len(answer.split()),
        }
        message = {"role": "assistant", "content": answer}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        if body.get("stream"):
            return 200, {"Content-Type": "text/event-stream"}, _stream(answer, usage)
        return 200, JSON, json.dumps({"choices": [choice], "usage": usage}).encode()


def _stream(answer: str, usage: dict[str, int]) -> bytes:
    events: list[Any] = [
        {"choices": [{"delta": {"content": word + " "}}]} for word in answer.split()
    ]
    events.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    events.append({"choices": [], "usage": usage})
    lines = [f"data: {json.dumps(event)}\n\n" for event in events] + ["data: [DONE]\n\n"]
    return "".join(lines).encode()


def _seen(urls: list[str], options: dict[str, Any], min_pixels: int) -> list[tuple[str, str, int]]:
    """Digest and size of each image, and how many tokens it has."""
    images = [base64.b64decode(url.split(",", 1)[1]) for url in urls]
    pixels = [np.array(Image.open(io.BytesIO(one)).convert("RGB")) for one in images]
    fit = replace(FitOptions.of_preset(get_preset(DEFAULT_PRESET)), min_pixels=min_pixels)
    rasters = [fit_image(one, fit).raster for one in pixels]
    sizes = [f"{one.shape[1]}x{one.shape[0]}" for one in pixels]
    digests = [xxhash.xxh3_64_hexdigest(one.tobytes()) for one in pixels]
    return list(zip(digests, sizes, _kept(rasters, fit.tile, options), strict=True))


def _kept(rasters: list[Any], tile: int, options: dict[str, Any]) -> list[int]:
    chosen = {name: options[name] for name in options if name not in ("enabled", "sequence")}
    if not options["enabled"]:
        return [raster[::tile, ::tile, 0].size for raster in rasters]
    sequence = options.get("sequence")
    if sequence is None:
        return [int(keep_mask(raster, tile, **chosen).sum()) for raster in rasters]
    kept, before = [], None
    for raster in rasters if sequence == "forward" else rasters[::-1]:
        before = None if before is None or before.shape != raster.shape else before
        coded = prune(raster, tile, **chosen, before=before)
        before = coded.reconstruct(before)
        kept.append(coded.kept)
    return kept if sequence == "forward" else kept[::-1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ChatServer

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """List the models."""
        if self._is_refused():
            return
        if self.server.list_faults():
            self.close_connection = True
            return
        models = [{"id": name} for name in self.server.models]
        self._send((200, JSON, json.dumps({"object": "list", "data": models}).encode()))

    def do_POST(self) -> None:
        """Answer a chat request."""
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._is_refused():
            return
        with server.lock:
            number = len(server.bodies)
            server.bodies.append(body)
            server.headers.append(dict(self.headers))
            server.in_flight += 1
            server.most_in_flight = max(server.most_in_flight, server.in_flight)
        try:
            reply = server.faults(number, body) or server.reply(body)
            time.sleep(server.seconds)
        finally:
            with server.lock:
                server.in_flight -= 1
        if isinstance(reply, str):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"choices": [{"mess')
            self.close_connection = True
            return
        self._send(reply)

    def _is_refused(self) -> bool:
        key = self.server.key
        if key is None or self.headers.get("Authorization") == f"Bearer {key}":
            return False
        given = self.headers.get("Authorization", "")
        self._send(error_reply(401, f"Incorrect API key provided: {given}"))
        return True

    def _send(self, reply: Reply) -> None:
        status, headers, content = reply
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """Run a server in a thread of this process."""
    server = ChatServer()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop_listening()
        thread.join()


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


if __name__ == "__main__":
    started = ChatServer(int(sys.argv[1]))
    started.seconds = 0.02
    started.serve_forever()
