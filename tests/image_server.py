"""A server of images, with faults by path.

`/NAME` is a file of `files`; `/redirect/N/NAME` leads there in N steps; see `_FAULTS` for the rest.
"""

import gzip
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from tests.local_server import LocalServer, QuietHandler, listening


class ImageServer(LocalServer):
    """The server and what it is asked.

    Attributes:
        files: by path.
        marks: ETag by path.
        with_length: whether it tells the length of a file.
        with_parts: whether it sends the part of a file that is asked for, and not all of it.
        asked: all paths that were asked for, in order.
        headers: of all requests.
    """

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.files: dict[str, bytes] = {}
        self.marks: dict[str, str] = {}
        self.with_length = True
        self.with_parts = False
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []


class _Handler(QuietHandler, BaseHTTPRequestHandler):
    server: ImageServer

    def do_GET(self) -> None:
        """Send a file, or do what the path says."""
        server, path = self.server, self.path.partition("?")[0]
        server.asked.append(self.path)
        server.headers.append(dict(self.headers))
        fault = _FAULTS.get(path)
        if fault is not None:
            fault(self)
        elif path.startswith("/redirect/"):
            steps, name = path.removeprefix("/redirect/").split("/", 1)
            self.redirect(f"/redirect/{int(steps) - 1}/{name}" if int(steps) > 1 else f"/{name}")
        elif path[1:] in server.files:
            self._send(server.files[path[1:]], server.marks.get(path[1:]))
        else:
            self.reply(404, b"nothing here")

    def _send(self, content: bytes, mark: str | None) -> None:
        headers = {} if mark is None else {"ETag": mark}
        span = self.headers["Range"]
        if span is None or not self.server.with_parts:
            self.reply(200, content, **headers)
            return
        first, last = map(int, span.removeprefix("bytes=").split("-"))
        place = f"bytes {first}-{last}/{len(content)}"
        self.reply(206, content[first : last + 1], Content_Range=place, **headers)

    def redirect(self, target: str) -> None:
        """Lead elsewhere."""
        self.reply(302, b"", Location=target)

    def reply(self, status: int, content: bytes, **headers: str) -> None:
        """Send all of an answer."""
        self.begin(status, **headers)
        if self.server.with_length:
            self.send_header("Content-Length", str(len(content)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def begin(self, status: int, **headers: str) -> None:
        """Send the status and some headers."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)


def _slow(handler: _Handler) -> None:
    """Send one byte now and then."""
    handler.begin(200, Content_Length="1000")
    handler.end_headers()
    while not handler.server.stopped.wait(0.05):
        handler.wfile.write(b"x")


def _slow_header(handler: _Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not handler.server.stopped.wait(0.05):
        handler.wfile.write(b"x")


def _endless(handler: _Handler) -> None:
    handler.begin(200, Connection="close")
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(1 << 16))


def _huge(handler: _Handler) -> None:
    handler.begin(200, Content_Length=str(1 << 40))
    handler.end_headers()


def _cut(handler: _Handler) -> None:
    handler.begin(200, Content_Length="1000")
    handler.end_headers()
    handler.wfile.write(b"\x89PNG\r\n\x1a\n")
    handler.close_connection = True


def _flaky(handler: _Handler) -> None:
    """Fail the first time."""
    server = handler.server
    if server.asked.count("/flaky") == 1:
        handler.reply(503, b"wait")
    else:
        handler.reply(200, server.files["a.png"])


def _bomb(handler: _Handler) -> None:
    handler.reply(200, gzip.compress(bytes(50 << 20)), Content_Encoding="gzip")


_FAULTS: dict[str, Callable[[_Handler], None]] = {
    "/500": lambda handler: handler.reply(500, b"oops"),
    "/403": lambda handler: handler.reply(403, b"no"),
    "/410": lambda handler: handler.reply(410, b"gone"),
    "/flaky": _flaky,
    "/slow": _slow,
    "/slow-header": _slow_header,
    "/endless": _endless,
    "/huge": _huge,
    "/cut": _cut,
    "/bomb": _bomb,
    "/loop": lambda handler: handler.redirect("/loop"),
    "/to-file": lambda handler: handler.redirect("file:///etc/hostname"),
    "/to-nowhere": lambda handler: handler.redirect("http://[/"),
    "/html": lambda handler: handler.reply(
        200, b"\n<!DOCTYPE html><title>Log in</title>", Content_Type="image/png"
    ),
    "/text": lambda handler: handler.reply(200, b"please log in", Content_Type="text/html"),
    "/json": lambda handler: handler.reply(200, b"{}", Content_Type="application/json"),
    "/empty": lambda handler: handler.reply(200, b""),
}


@contextmanager
def image_server() -> Iterator[ImageServer]:
    """Run a server in a thread of this process."""
    server = ImageServer()
    with listening(server):
        yield server
    time.sleep(0.1)  # until slow answers have ended
