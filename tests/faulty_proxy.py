"""A proxy before a server of S3 that fails on purpose: now and then, or always in one way."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler
from itertools import cycle
from urllib.parse import urlsplit

from tests.local_server import LocalServer, QuietHandler, listening

_XML = '<?xml version="1.0"?><Error><Code>{}</Code><Message>on purpose</Message></Error>'


class FaultyProxy(LocalServer):
    """The proxy.

    Attributes:
        upstream: URL of the server.
        every: each so many requests one fails; 0 for none.
        faults: names of `FAULTS`, which take turns.
        latency: seconds before each answer.
        asked: methods and paths of all requests, without their queries.
    """

    def __init__(self, upstream: str, every: int, faults: tuple[str, ...], latency: float) -> None:
        super().__init__(_Handler)
        self.upstream = upstream
        self.every, self.faults, self.latency = every, cycle(faults), latency
        self.asked: list[str] = []
        self.failed = 0
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        """Where it listens, as drivers of S3 call it."""
        return self.url

    def next_fault(self, request: str) -> str | None:
        """Count a request; return how it fails, if it does."""
        with self._lock:
            self.asked.append(request)
            if not self.every or len(self.asked) % self.every:
                return None
            self.failed += 1
            return next(self.faults)


class _Handler(QuietHandler, BaseHTTPRequestHandler):
    server: FaultyProxy

    def _forward(self) -> None:
        server = self.server
        length = int(self.headers.get("Content-Length") or 0)
        sent = self.rfile.read(length)
        if server.latency:
            time.sleep(server.latency)
        fault = server.next_fault(f"{self.command} {self.path.partition('?')[0]}")
        if fault is not None:
            FAULTS[fault](self, sent)
            return
        self.answer(*self.upstream_answer(sent))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward  # noqa: N815

    def upstream_answer(self, sent: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """Ask the server."""
        host = urlsplit(self.server.upstream).netloc
        skipped = ("host", "connection")
        headers = {name: one for name, one in self.headers.items() if name.lower() not in skipped}
        with closing(http.client.HTTPConnection(host, timeout=30)) as connection:
            connection.request(self.command, self.path, sent or None, headers)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()

    def answer(
        self, status: int, headers: list[tuple[str, str]], content: bytes, most: int | None = None
    ) -> None:
        """Send an answer, or only its first bytes."""
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("connection", "content-length", "transfer-encoding"):
                self.send_header(name, value)
        length = dict(headers).get("Content-Length", "0") if self.command == "HEAD" else ""
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[:most])

    def refuse(self, status: int, code: str) -> None:
        """Send an error of S3."""
        self.answer(status, [("Content-Type", "application/xml")], _XML.format(code).encode())


def _cut(handler: _Handler, sent: bytes) -> None:
    """Send half of the body."""
    status, headers, content = handler.upstream_answer(sent)
    handler.answer(status, headers, content, len(content) // 2)
    handler.close_connection = True


def _close(handler: _Handler, sent: bytes) -> None:
    handler.close_connection = True


def _silent(handler: _Handler, sent: bytes) -> None:
    handler.server.stopped.wait()
    handler.close_connection = True


def _stalled(handler: _Handler, sent: bytes) -> None:
    """Send half of the body, and then nothing."""
    status, headers, content = handler.upstream_answer(sent)
    handler.answer(status, headers, content, len(content) // 2)
    handler.server.stopped.wait()
    handler.close_connection = True


FAULTS: dict[str, Callable[[_Handler, bytes], None]] = {
    "cut": _cut,
    "close": _close,
    "silent": _silent,
    "stalled": _stalled,
    "slow down": lambda handler, _: handler.refuse(503, "SlowDown"),
    "internal": lambda handler, _: handler.refuse(500, "InternalError"),
    "denied": lambda handler, _: handler.refuse(403, "AccessDenied"),
}
PASSING = ("cut", "slow down", "close", "internal")


@contextmanager
def faulty_proxy(
    upstream: str, every: int = 0, faults: tuple[str, ...] = PASSING, latency: float = 0.0
) -> Iterator[FaultyProxy]:
    """Run a proxy in threads of this process."""
    proxy = FaultyProxy(upstream, every, faults, latency)
    with listening(proxy):
        yield proxy
