"""Fetches files over http and https, within limits of size, time and redirects."""

import asyncio
import ssl
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

import xxhash

from ppcli.errors import ErrorCode, ImageError, bounded
from ppcli.files import FileState
from ppcli.filesystems.background import in_background
from ppcli.inputs.sniff import SIGNATURE_BYTES, sniff
from ppcli.version import __version__

if TYPE_CHECKING:
    import httpx2

MOST_BYTES = 128 << 20
MOST_SECONDS = 50.0  # for all of it: tries, redirects and the bytes; less than --timeout
MOST_REDIRECTS = 5
_STATE_SECONDS = 20.0
_CONNECT_SECONDS, _SILENCE_SECONDS = 10.0, 20.0
_TRIES, _WAIT_SECONDS = 3, 0.5
_PASSING = frozenset({429, 500, 502, 503, 504})
_GONE = frozenset({404, 410})
_HTML = (b"<!doctype html", b"<html")
_CONNECTED = "connection.connect_tcp.complete"
# Addresses at which clouds tell a machine its secrets, besides the link-local ones.
_OF_CLOUDS = frozenset({ip_address("fd00:ec2::254"), ip_address("100.100.100.200")})
_HEADERS = {
    "Accept": "image/*, application/pdf, */*;q=0.5",
    "Accept-Encoding": "identity",
    "User-Agent": f"pixelprune/{__version__}",
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a server sent.

    Attributes:
        content: the bytes; empty if only the header was read.
        state: Content-Length, and a digest of ETag or Last-Modified; -1 for what is missing.
    """

    content: bytes
    state: FileState


class _PassingError(Exception):
    """A failure that may be over soon.

    Attributes:
        error: what to report if it is not.
    """

    def __init__(self, error: ImageError) -> None:
        super().__init__(str(error))
        self.error = error


def fetch(url: str) -> Fetched:
    """Fetch the bytes at a URL.

    Raises:
        ImageError: the server does not send them, or not within the limits.
    """
    return _in_own_loop(_patiently(url, True, MOST_SECONDS))


def start_fetching(url: str) -> "Future[Fetched]":
    """Begin to fetch the bytes at a URL in another thread."""
    return in_background(fetch, url)


def current_state(url: str) -> FileState:
    """Ask for the state of the file at a URL; its bytes are not read.

    Raises:
        ImageError: the server does not tell.
    """
    return _in_own_loop(_patiently(url, False, _STATE_SECONDS)).state


def _in_own_loop(work: Coroutine[Any, Any, Fetched]) -> Fetched:
    """Run a coroutine in a thread of its own, since this one may run an event loop already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _patiently(url: str, with_content: bool, seconds: float) -> Fetched:
    """Ask a few times, in `seconds` altogether."""
    try:
        async with asyncio.timeout(seconds):
            for tries in range(1, _TRIES + 1):
                try:
                    return await _follow(url, with_content)
                except _PassingError as fault:
                    if tries == _TRIES:
                        raise fault.error from None
                    await asyncio.sleep(_WAIT_SECONDS * tries)
    except TimeoutError:
        raise ImageError(
            ErrorCode.TIMEOUT, f"the server did not send it within {seconds:g} seconds"
        ) from None
    raise AssertionError("unreachable")


async def _follow(url: str, with_content: bool) -> Fetched:
    """Ask for a URL, and follow redirects."""
    import httpx2

    guard = _AddressGuard()
    timeout = httpx2.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS)
    try:
        async with httpx2.AsyncClient(
            headers=_HEADERS, timeout=timeout, verify=_tls_context()
        ) as client:
            for _ in range(MOST_REDIRECTS + 1):
                extensions = {"trace": guard.watch}
                async with client.stream("GET", url, extensions=extensions) as response:
                    if not response.has_redirect_location:
                        return await _taken(response, with_content)
                    url = _target(response)
                guard.is_redirected = True
    except httpx2.TimeoutException:
        raise ImageError(ErrorCode.TIMEOUT, "the server did not answer in time") from None
    except (httpx2.InvalidURL, UnicodeError):
        raise ImageError(ErrorCode.NOT_FOUND, "its URL is invalid") from None
    except (httpx2.HTTPError, httpx2.StreamError, ssl.SSLError, OSError) as error:
        reason = bounded(str(error) or type(error).__name__)
        said = f"the connection to the server failed: {reason}"
        raise _PassingError(ImageError(ErrorCode.UNREADABLE, said)) from None
    raise ImageError(ErrorCode.UNREADABLE, f"the server redirects more than {MOST_REDIRECTS} times")


def _target(response: "httpx2.Response") -> str:
    location = response.headers["location"]
    target = response.url.join(location)
    if target.scheme not in ("http", "https") or not target.host:
        raise ImageError(
            ErrorCode.UNREADABLE, f"the server redirects to {bounded(location, 80)}, not to http(s)"
        )
    return str(target)


async def _taken(response: "httpx2.Response", with_content: bool) -> Fetched:
    """Check the header of an answer, and read its bytes."""
    _check_status(response.status_code)
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise ImageError(
            ErrorCode.UNREADABLE,
            f"the server compressed it ({bounded(encoding, 80)}), though it was asked not to",
        )
    state = _state_of(response)
    if not with_content:
        return Fetched(b"", state)
    content = bytearray()
    if state.size <= MOST_BYTES:
        async for part in response.aiter_raw():
            content += part
            if len(content) > MOST_BYTES:
                break
    if max(len(content), state.size) > MOST_BYTES:
        limit = f"{MOST_BYTES >> 20} MiB" if MOST_BYTES >> 20 else f"{MOST_BYTES:,} bytes"
        raise ImageError(ErrorCode.TOO_LARGE, f"the server sends more than {limit}")
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    _check_content(bytes(content[:SIGNATURE_BYTES]), kind)
    return Fetched(bytes(content), state)


def _check_status(status: int) -> None:
    if status == 200:
        return
    answered = f"the server answered {status}"
    if status in _GONE:
        raise ImageError(ErrorCode.NOT_FOUND, answered)
    if status in (401, 403):
        answered += "; it asks for a permission"
    error = ImageError(ErrorCode.UNREADABLE, answered)
    raise _PassingError(error) if status in _PASSING else error


def _check_content(head: bytes, kind: str) -> None:
    is_html = head.lstrip().lower().startswith(_HTML)
    if is_html or (kind == "text/html" and sniff(head) is None):
        raise ImageError(ErrorCode.NOT_AN_IMAGE, "the server sent a web page, not an image")


def _state_of(response: "httpx2.Response") -> FileState:
    headers = response.headers
    length = headers.get("content-length", "")
    mark = headers.get("etag") or headers.get("last-modified")
    return FileState(
        int(length) if length.isascii() and length.isdigit() else -1,
        -1 if mark is None else xxhash.xxh3_64_intdigest(mark.encode()) >> 1,
    )


@dataclass(slots=True)
class _AddressGuard:
    """Refuses addresses by their connection, before anything is sent over it.

    Link-local addresses are refused, since clouds tell secrets there. A server on the internet must
    not redirect to one in a private network.

    Attributes:
        is_redirected: whether the next connection is that of a redirect.
    """

    is_redirected: bool = False
    _begins_in_public: bool = field(default=False, init=False)

    async def watch(self, event: str, info: dict[str, Any]) -> None:
        """Look at each new connection."""
        if event != _CONNECTED:
            return
        stream = info["return_value"]
        address = _plain(stream.get_extra_info("server_addr")[0])
        reason = self._refusal(address)
        if reason:
            await stream.aclose()
            raise ImageError(ErrorCode.UNREADABLE, reason)

    def _refusal(self, address: IPv4Address | IPv6Address) -> str:
        if address.is_link_local or address in _OF_CLOUDS:
            return f"its server has the address {address}, from which nothing is fetched"
        if not self.is_redirected:
            self._begins_in_public = address.is_global
        elif self._begins_in_public and not address.is_global:
            return f"the server redirects to a private address, {address}"
        return ""


def _plain(address: str) -> IPv4Address | IPv6Address:
    parsed = ip_address(address.partition("%")[0])
    return getattr(parsed, "ipv4_mapped", None) or parsed


@lru_cache(maxsize=1)
def _tls_context() -> ssl.SSLContext:
    """Return the certificates to trust; reading them takes a while."""
    import httpx2

    return httpx2.create_ssl_context()
