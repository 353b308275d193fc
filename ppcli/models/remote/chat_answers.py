"""Parses what a server sends: completions, pieces of a stream, and errors."""

import json
import math
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from ppcli.errors import bounded
from ppcli.models.remote.server_faults import Failed, Refused

_LONGEST_WAIT = 600.0  # that Retry-After may ask for
STREAM_LINE = "data:"
_STREAM_END = "[DONE]"


@dataclass(frozen=True, slots=True)
class Completion:
    """The answer of a server.

    Attributes:
        text: the answer.
        thinking: the model's thinking, if the server splits it off.
        finish_reason: `stop`, `length` or another word of the server.
        prompt_tokens: tokens fed, those of images included; None if the server does not say.
        answer_tokens: tokens generated; None if the server does not say.
        seconds: from sending the request to the end of the answer.
        first_token_seconds: to the first piece of the answer; None unless it was streamed.
    """

    text: str
    thinking: str | None
    finish_reason: str | None
    prompt_tokens: int | None
    answer_tokens: int | None
    seconds: float
    first_token_seconds: float | None = None


def parse_json(content: bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        Failed: it is something else, such as a page of HTML.
    """
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError):
        kind = "HTML" if content.lstrip()[:1] == b"<" else "something that is not JSON"
        raise Failed(f"answered with {kind}; it may not be the server of a model") from None
    if not isinstance(parsed, dict):
        raise Failed("answered with JSON that is not an object")
    return parsed


def parse_completion(answer: dict[str, Any], seconds: float) -> Completion:
    """Parse the body of a chat completion.

    Raises:
        Failed: it has no answer.
        Refused: the model refuses to answer.
    """
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        text = message.get("content") or ""
        if not text and (refusal := message.get("refusal")):
            raise Refused(f"answered with a refusal: {bounded(str(refusal))}")
        thinking = message.get("reasoning_content") or message.get("reasoning")
        usage = answer.get("usage") or {}
        if not isinstance(text, str) or not isinstance(usage, dict):
            raise TypeError
        return Completion(
            text,
            thinking if isinstance(thinking, str) else None,
            _text(choice.get("finish_reason")),
            _count(usage.get("prompt_tokens")),
            _count(usage.get("completion_tokens")),
            seconds,
        )
    except (KeyError, IndexError, TypeError, AttributeError):
        raise Failed("answered with JSON that is not a chat completion") from None


@dataclass(slots=True)
class StreamedCompletion:
    """Collects the pieces of a streamed answer.

    Attributes:
        started: `time.perf_counter` when the request was sent.
    """

    started: float
    _pieces: list[str] = field(default_factory=list)
    _thoughts: list[str] = field(default_factory=list)
    _usage: dict[str, Any] = field(default_factory=dict)
    _reason: str | None = None
    _first: float | None = None

    def add(self, line: str) -> None:
        """Take one line of the stream.

        Raises:
            Failed: the line makes no sense, or reports an error.
        """
        data = line.removeprefix(STREAM_LINE).strip()
        if not line.startswith(STREAM_LINE) or data == _STREAM_END:
            return
        event = parse_json(data.encode())
        if "error" in event:
            raise Failed("reported an error in the middle of its answer")
        try:
            self._usage = dict(event.get("usage") or self._usage)
            for choice in event.get("choices") or []:
                self._take(choice.get("delta") or {}, choice.get("finish_reason"))
        except (AttributeError, TypeError, ValueError):
            raise Failed("streamed JSON that is not a chat completion") from None

    def _take(self, delta: dict[str, Any], reason: str | None) -> None:
        piece = delta.get("content") or ""
        thought = delta.get("reasoning_content") or delta.get("reasoning") or ""
        if not isinstance(piece, str) or not isinstance(thought, str):
            raise TypeError
        if (piece or thought) and self._first is None:
            self._first = time.perf_counter() - self.started
        self._pieces.append(piece)
        self._thoughts.append(thought)
        self._reason = reason or self._reason

    def completion(self) -> Completion:
        """Return the whole answer.

        Raises:
            Failed: the stream ended before the answer did.
        """
        if self._reason is None:
            raise Failed("cut its answer off")
        return Completion(
            "".join(self._pieces),
            "".join(self._thoughts) or None,
            self._reason,
            _count(self._usage.get("prompt_tokens")),
            _count(self._usage.get("completion_tokens")),
            time.perf_counter() - self.started,
            self._first,
        )


def parse_error(content: bytes) -> tuple[str, str]:
    """Return the message and the code of an error; empty where there is none."""
    try:
        parsed = parse_json(content)
    except Failed:
        return "", ""
    error = parsed.get("error", parsed)
    if not isinstance(error, dict):
        return str(error), ""
    message = error.get("message") or error.get("detail") or ""
    return str(message), str(error.get("code") or "")


def retry_seconds(header: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for: a number, or a date."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except ValueError:
            return None
    return None if math.isnan(seconds) else min(max(0.0, seconds), _LONGEST_WAIT)


def _count(value: Any) -> int | None:  # noqa: ANN401
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: Any) -> str | None:  # noqa: ANN401
    return value if isinstance(value, str) else None
