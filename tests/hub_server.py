"""A server that speaks as much of the API of the Hugging Face hub as reading a data set takes.

It has one data set, `me/pages`, whose files are those of a folder.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.local_server import LocalServer, QuietHandler, listening

_COMMIT = "a" * 40
_REPOSITORY = "me/pages"


class HubServer(LocalServer):
    """The server.

    Attributes:
        folder: has the files of the data set.
        sent: number of bytes of files that were sent.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(_Handler)
        self.folder = folder
        self.sent = 0

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which programs find it."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(self.folder.parent / "hub-home"),
        }


class _Handler(QuietHandler, BaseHTTPRequestHandler):
    server: HubServer

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        match unquote(urlsplit(self.path).path).strip("/").split("/"):
            case ["api", "datasets", owner, name, *rest] if f"{owner}/{name}" == _REPOSITORY:
                self._describe(rest)
            case ["datasets", _, _, "resolve", _, *path]:
                self._send_file("/".join(path))
            case _:
                self._missing("RepoNotFound")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self._json([_entry(self.server.folder, path) for path in body["paths"]])

    def _describe(self, rest: list[str]) -> None:
        if rest[:1] != ["tree"]:
            self._json({"id": _REPOSITORY, "sha": _COMMIT, "siblings": []})
            return
        folder, top = self.server.folder.joinpath(*rest[2:]), self.server.folder
        if folder.is_dir():
            names = sorted(path.relative_to(top).as_posix() for path in folder.iterdir())
            self._json([_entry(top, name) for name in names])
        else:
            self._missing("EntryNotFound")

    def _send_file(self, name: str) -> None:
        path = self.server.folder / name
        if not path.is_file():
            self._missing("EntryNotFound")
            return
        content, headers = path.read_bytes(), {"X-Repo-Commit": _COMMIT, "ETag": f'"{_oid(path)}"'}
        if span := self.headers.get("range"):
            first, last = span.removeprefix("bytes=").split("-")
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            content = content[int(first) : int(last) + 1]
        self.server.sent += len(content)
        self._send(206 if span else 200, content, headers)

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _missing(self, code: str) -> None:
        self._send(404, b"{}", {"X-Error-Code": code, "Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _oid(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


def _entry(top: Path, name: str) -> dict[str, object]:
    path = top / name
    if path.is_dir():
        return {"type": "directory", "path": name, "oid": "d" * 40, "size": 0}
    return {"type": "file", "path": name, "oid": _oid(path), "size": path.stat().st_size}


@contextmanager
def hub_server(folder: Path) -> Iterator[HubServer]:
    """Run the server in a thread."""
    server = HubServer(folder)
    with listening(server):
        yield server
