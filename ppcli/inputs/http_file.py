"""Images on servers, as input files: fetched over http or https within limits."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

import xxhash

from ppcli.errors import ImageError
from ppcli.files import FileState, InputFile, MemoryFile, OpenFile
from ppcli.filesystems.schemes import shown_url
from ppcli.inputs.ahead import taken

if TYPE_CHECKING:
    from ppcli.inputs.http_fetch import Fetched


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """Bytes that came from a server, and their state there.

    Attributes:
        name: the URL, without its query.
        content: the bytes.
        on_server: size and version as the server told them.
    """

    name: str
    content: bytes = field(compare=False, repr=False)
    on_server: FileState
    local_path: None = field(default=None, init=False)
    is_far: ClassVar[bool] = False

    def open(self) -> OpenFile:
        """Open the bytes for reading, without a copy."""
        opened = MemoryFile(self.name, self.content).open()
        opened.state = self.on_server
        return opened

    def state(self) -> FileState:
        """Return the state on the server when the bytes came."""
        return self.on_server


@dataclass(frozen=True, slots=True)
class HttpFile:
    """A file on a server. Each `open` fetches it; `fetch` keeps the bytes.

    Attributes:
        name: the URL, with a digest instead of its query, which may contain a signature.
        url: the whole URL.
    """

    name: str
    url: str = field(repr=False)
    local_path: None = field(default=None, init=False)
    is_far: ClassVar[bool] = True

    @classmethod
    def of(cls, url: str) -> "HttpFile":
        """Return the file at a URL.

        Raises:
            ValueError: it is not a URL that can be fetched, or it contains a user or a password.
        """
        try:
            parts = urlsplit(url)
            is_valid = bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_valid = False
        if not is_valid or not url.isprintable():
            raise ValueError(f"the URL of an image is invalid: {shown_url(url)}")
        if "@" in parts.netloc:
            raise ValueError(f"the URL of an image contains a user: {parts.scheme}://…")
        name = parts._replace(query="", fragment="").geturl()
        if parts.query:
            name += f"?…{xxhash.xxh3_128_hexdigest(parts.query.encode())}"
        return cls(name, parts._replace(fragment="").geturl())

    def open(self) -> OpenFile:
        """Fetch the file and open its bytes.

        Raises:
            ImageError: the server does not send an image within the limits.
        """
        return self.fetch().open()

    def fetch(self) -> FetchedFile:
        """Fetch the file.

        Raises:
            ImageError: see `open`.
        """
        from ppcli.inputs.http_fetch import fetch

        reading = taken(self)
        got = fetch(self.url) if reading is None else reading.result()
        return FetchedFile(self.name, got.content, got.state)

    def start(self) -> "Future[Fetched]":
        """Begin to fetch the file, in the background."""
        from ppcli.inputs.http_fetch import start_fetching

        return start_fetching(self.url)

    def state(self) -> FileState | None:
        """Ask the server for size and version; None if it does not answer now.

        Both come from the header of its answer, and are -1 if it has no Content-Length, and neither
        ETag nor Last-Modified.
        """
        from ppcli.inputs.http_fetch import current_state

        try:
            return current_state(self.url)
        except ImageError:
            return None


def fetched_once(file: InputFile) -> InputFile:
    """Return a handle whose bytes are on this machine, so that they travel only once.

    Raises:
        ImageError: the file is on a server that does not send it.
    """
    return file.fetch() if isinstance(file, HttpFile) else file


def is_http(scheme: str) -> bool:
    """Return whether this is the scheme of a URL that can be fetched."""
    return scheme.lower() in ("http", "https")
