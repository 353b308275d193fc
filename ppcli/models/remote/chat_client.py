"""Talks to one server: the OpenAI API for chat completions, as far as it is needed."""

import os
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ppcli.errors import ErrorCode, UsageError, bounded
from ppcli.models.remote.chat_answers import (
    Completion,
    StreamedCompletion,
    parse_completion,
    parse_error,
    parse_json,
    retry_seconds,
)
from ppcli.models.remote.server_faults import (
    Broken,
    Busy,
    Denied,
    Failed,
    Refused,
    ServerFault,
    TimedOut,
    Unreachable,
    Unusable,
)

if TYPE_CHECKING:
    import httpx2

KEY_VARIABLE = "OPENAI_API_KEY"
_CONNECT_SECONDS = 10.0
_LIST_SECONDS = 30.0  # for the list of models, which takes no model
_MAX_ANSWER_BYTES = 64 << 20
_UNKNOWN_MODEL = "model_not_found"
_NO_CREDIT = "insufficient_quota"
_TOO_LONG = ("context_length_exceeded", "maximum context length", "maximum model length")
_BUSY_STATUSES = frozenset({429, 502, 503, 504, 529})
_MODELS, _CHAT = "/models", "/chat/completions"


class ChatClient:
    """A client of one server. Its methods belong to one event loop.

    Args of the constructor:
        base_url: below which the paths of the API lie.
        timeout: seconds that an answer may take.

    Raises:
        UsageError: the key in the environment cannot be sent.
    """

    def __init__(self, base_url: str, timeout: float) -> None:
        import httpx2

        self.base_url = base_url
        self._timeout = timeout
        self._key = _key()
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        self._http = httpx2.AsyncClient(
            headers=headers,
            timeout=httpx2.Timeout(timeout, connect=_CONNECT_SECONDS, pool=None),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def model_names(self) -> list[str]:
        """Return the names of the models that the server has.

        Raises:
            ServerFault: it does not answer, or does not speak this API.
        """
        seconds = min(self._timeout, _LIST_SECONDS)
        async with self._responding("GET", _MODELS, seconds) as response:
            answer = parse_json(await _content(response))
        try:
            return [str(one["id"]) for one in answer["data"]]
        except (KeyError, TypeError):
            raise Failed("answered with JSON that is not a list of models") from None

    async def complete(self, body: bytes) -> Completion:
        """Send a chat completion, JSON, and return the answer.

        Raises:
            ServerFault: there is no answer.
        """
        started = time.perf_counter()
        async with self._responding("POST", _CHAT, self._timeout, body) as response:
            answer = parse_json(await _content(response))
        return parse_completion(answer, time.perf_counter() - started)

    async def stream(self, body: bytes) -> Completion:
        """Send a chat completion that asks for a stream, and measure the time of its first token.

        Raises:
            ServerFault: there is no answer, or the stream is cut.
        """
        collected = StreamedCompletion(time.perf_counter())
        async with self._responding("POST", _CHAT, self._timeout, body) as response:
            async for line in _lines(response):
                collected.add(line)
        return collected.completion()

    @asynccontextmanager
    async def _responding(
        self, method: str, path: str, seconds: float, body: bytes | None = None
    ) -> AsyncIterator["httpx2.Response"]:
        """Send a request, and yield a response of status 200 whose body has not been read."""
        import asyncio

        import httpx2

        url = self.base_url + path
        try:
            async with (
                asyncio.timeout(seconds),
                self._http.stream(method, url, content=body) as response,
            ):
                if response.status_code != 200:
                    raise self._refusal(response, await _content(response))
                yield response
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            reason = self._shown(_reason(error))
            raise Unreachable(f"cannot be reached: {reason}") from error
        except (httpx2.TimeoutException, TimeoutError) as error:
            raise TimedOut(f"did not answer within {seconds:g} seconds") from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            reason = self._shown(str(error) or type(error).__name__)
            raise Broken(f"broke the connection: {reason}") from error

    def _refusal(self, response: "httpx2.Response", content: bytes) -> ServerFault:
        """Return what a response of another status means."""
        status = response.status_code
        said, code = parse_error(content)
        answered = f"answered {status}" + (f": {self._shown(said)}" if said else "")
        if 300 <= status < 400:
            target = self._shown(response.headers.get("location", "elsewhere"))
            return Unusable(f"redirects to {target}; name that server instead")
        if status in (401, 403) or code == _NO_CREDIT:
            return Denied(answered if code == _NO_CREDIT else self._refused_key(answered))
        if status == 404 or code == _UNKNOWN_MODEL:
            return Unusable(answered)
        if status in _BUSY_STATUSES:
            return Busy(answered, retry_seconds(response.headers.get("retry-after")))
        if status >= 500 or status == 408:
            return Failed(answered)
        too_long = code in _TOO_LONG or any(words in said for words in _TOO_LONG)
        return Refused(answered, ErrorCode.CONTEXT_TOO_LONG if too_long else ErrorCode.BAD_REQUEST)

    def _refused_key(self, answered: str) -> str:
        if self._key:
            return f"refuses the key in {KEY_VARIABLE}: it {answered}"
        return f"asks for a key; set {KEY_VARIABLE} (it {answered})"

    def _shown(self, text: str) -> str:
        """Return text of the server, bounded, without the key."""
        return bounded(text.replace(self._key, "[key]") if self._key else text)


async def _parts(response: "httpx2.Response") -> AsyncIterator[bytes]:
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > _MAX_ANSWER_BYTES:
            raise Failed(f"sent more than {_MAX_ANSWER_BYTES >> 20} MiB")
        yield part


async def _content(response: "httpx2.Response") -> bytes:
    return b"".join([part async for part in _parts(response)])


async def _lines(response: "httpx2.Response") -> AsyncIterator[str]:
    """Yield the lines of a stream. Other line breaks than a line feed may be text of an answer."""
    begun: list[bytes] = []
    async for part in _parts(response):
        *ends, rest = part.split(b"\n")
        for end in ends:
            yield b"".join([*begun, end]).decode(errors="replace")
            begun = []
        begun.append(rest)
    yield b"".join(begun).decode(errors="replace")


def _reason(error: BaseException) -> str:
    """Return why there is no connection, as the operating system says it if it does."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return cause.strerror or str(cause)
        if isinstance(cause, OSError) and cause.errno and not isinstance(cause, ssl.SSLError):
            return os.strerror(cause.errno).lower()
        group = cause.exceptions if isinstance(cause, BaseExceptionGroup) else ()
        cause = group[0] if group else cause.__cause__ or cause.__context__
    return str(error) or "no connection in time"


def _key() -> str:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise UsageError(f"{KEY_VARIABLE} contains characters that a key cannot have")
    return key
