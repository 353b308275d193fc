"""A file of requests, one JSON object a line."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, BinaryIO

from ppcli.errors import UsageError
from ppcli.inputs.names import path_of
from ppcli.inputs.refs import ImageRef, identity

STDIN = "-"
_SETTINGS = {
    "system": str,
    "max_new_tokens": int,
    "temperature": float,
    "top_p": float,
    "seed": int,
}
_KNOWN = frozenset({"custom_id", "image", "images", "prompt", *_SETTINGS})


@dataclass(frozen=True, slots=True)
class Request:
    """One line of a file of requests.

    Attributes:
        custom_id: the name that its answer bears.
        images: in order.
        prompt: None in a broken line.
        settings: what the line sets: `system`, `max_new_tokens`, `temperature`, `top_p`, `seed`.
        fault: what is wrong with the line; None when nothing is.
    """

    custom_id: str
    images: tuple[ImageRef, ...] = ()
    prompt: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    fault: str | None = None

    @property
    def image_id(self) -> str:
        """What it is called where inputs are compared."""
        return self.custom_id

    @property
    def image_ids(self) -> str | None:
        """For the column of that name: a JSON list where there are several, null without one."""
        names = [image.image_id for image in self.images]
        return names[0] if len(names) == 1 else json.dumps(names) if names else None

    def fingerprint(self, failed: bool) -> bytes:
        """All that the line says, and its images; of one that failed the name alone."""
        if failed:
            return json.dumps([self.custom_id]).encode()
        parts = [self.custom_id, self.prompt, sorted(self.settings.items()), self.fault]
        images = [image.fingerprint(failed).decode() for image in self.images]
        return json.dumps([*parts, images]).encode()

    def as_seen(self) -> "Request":
        """The same, with the sizes and times that its images have now."""
        return replace(self, images=tuple(image.as_seen() for image in self.images))

    def difference(self, row: Any, failed: bool) -> str | None:  # noqa: ANN401
        """How the request differs from the one that gave a row, as far as that shows."""
        if row.custom_id != self.custom_id:
            return f"{self.custom_id} where {row.custom_id} was"
        if row.prompt != self.prompt and not failed:
            return f"{self.custom_id} has another prompt"
        return None


@dataclass(slots=True)
class RequestFile:
    """The requests of one run; iterating gives a `Request` for each line, lazily.

    Attributes:
        path: of the file; `-` for standard input. Images are named relative to its folder.
        limit: stop after so many.
        stdin: where `-` reads from.
        skipped: nothing is.
    """

    path: str
    limit: int | None = None
    stdin: BinaryIO | None = None
    skipped: int = 0

    def check(self) -> None:
        """Refuse what cannot be meant, before anything runs.

        Raises:
            UsageError: for a file that is not there.
        """
        if self.path != STDIN and not os.path.exists(self.path):
            raise UsageError(f"{self.path}: no such file of requests")
        if os.path.isdir(self.path):
            raise UsageError(f"{self.path} is a folder, not a file of requests")

    @property
    def repeatable(self) -> bool:
        """Whether iterating again gives the requests again."""
        return os.path.isfile(self.path)

    def __iter__(self) -> Iterator[Request]:
        """The requests.

        Raises:
            UsageError: when the file cannot be read.
        """
        return islice(self._all(), self.limit)

    def _all(self) -> Iterator[Request]:
        folder = "" if self.path == STDIN else os.path.dirname(self.path)
        try:
            with self._open() as file:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield parse_request(line, number, folder)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read: {error.strerror}") from error

    def _open(self) -> BinaryIO:
        if self.path != STDIN:
            return open(self.path, "rb")
        if self.stdin is None:
            raise UsageError("standard input is not available, and - names it")
        return open(os.dup(self.stdin.fileno()), "rb")


def parse_request(line: bytes, number: int, folder: str = "") -> Request:
    """The request of one line; a broken line gives one with a fault.

    Args:
        line: JSON, UTF-8.
        number: of the line, one-based; names a request that has no `custom_id`.
        folder: that images are named relative to.
    """
    name = f"line-{number}"
    try:
        text = json.loads(line)
        if not isinstance(text, dict):
            raise ValueError("it is not a JSON object")
        name = _name(text.get("custom_id"), name)
        return _request(text, name, folder)
    except (ValueError, OverflowError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "it is beyond measure"
        return Request(name, fault=f"line {number}: {reason}")


def _name(given: Any, otherwise: str) -> str:  # noqa: ANN401
    if given is None:
        return otherwise
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise ValueError("its custom_id is neither text nor a number")
    return _text(str(given), "custom_id")


def _text(text: str, what: str) -> str:
    """Text that can be written again: JSON can spell halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"its {what} holds half a character") from None
    return text


def _request(text: dict[str, Any], name: str, folder: str) -> Request:
    unknown = sorted(set(text) - _KNOWN)
    if unknown:
        raise ValueError(f"unknown fields: {', '.join(unknown)}")
    prompt = text.get("prompt")
    if not isinstance(prompt, str):
        raise ValueError("it has no prompt")
    if "image" in text and "images" in text:
        raise ValueError("it has both image and images")
    paths = text.get("images", [text["image"]] if "image" in text else [])
    if not isinstance(paths, list) or not all(isinstance(path, str) and path for path in paths):
        raise ValueError("its images are not a list of paths")
    settings = {key: _setting(key, text[key]) for key in _SETTINGS if text.get(key) is not None}
    paths = [path_of(path) for path in paths]
    images = tuple(ImageRef(os.path.join(folder, path), identity(path)) for path in paths)
    return Request(name, images, _text(prompt, "prompt"), settings)


def _setting(key: str, value: Any) -> Any:  # noqa: ANN401
    kind = _SETTINGS[key]
    fits = isinstance(value, kind) or (kind is float and isinstance(value, int))
    if not fits or isinstance(value, bool):
        raise ValueError(f"its {key} is {value!r}, which is not {_NAMES[kind]}")
    return _text(value, key) if kind is str else kind(value)


_NAMES = {str: "text", int: "a whole number", float: "a number"}
