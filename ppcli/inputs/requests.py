"""Reads a file of requests, one JSON object per line."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, BinaryIO

from ppcli.errors import UsageError, bounded
from ppcli.files import FileState, PathKind, kind_of, open_stream
from ppcli.inputs.chat import chat_of, is_batch_line
from ppcli.inputs.fields import SETTINGS, Object, name, parse_object, read, settings_of, text
from ppcli.inputs.image_fields import ImageFolder, check_root, page_of
from ppcli.inputs.lines import TOO_LONG, numbered_lines
from ppcli.inputs.refs import ImageRef
from ppcli.inputs.unique import UniqueNames

STDIN = "-"
_KNOWN = frozenset({"custom_id", "image", "images", "page", "prompt", *SETTINGS})


@dataclass(frozen=True, slots=True)
class Request:
    """One line of a file of requests.

    Attributes:
        custom_id: the name that its answer bears.
        images: in order.
        prompt: None in a broken line; of a conversation the last turn of the user.
        settings: what the line sets, by the names of `SETTINGS`.
        messages: of a conversation, as chat templates take them; None of a plain request.
        fault: what is wrong with the line; None when nothing is.
    """

    custom_id: str
    images: tuple[ImageRef, ...] = ()
    prompt: str | None = None
    settings: Object = field(default_factory=dict)
    messages: list[Object] | None = None
    fault: str | None = None

    @property
    def image_id(self) -> str:
        """What it is called where inputs are compared."""
        return self.custom_id

    @property
    def image_ids(self) -> str | None:
        """For the column of that name: a JSON list where there are several, null without one."""
        names = [image.shown_id for image in self.images]
        return names[0] if len(names) == 1 else json.dumps(names) if names else None

    @property
    def page(self) -> int:
        """For the column of that name: of its one image, where one page of it is asked for."""
        return (self.images[0].page or 1) if len(self.images) == 1 else 1

    def fingerprint(self, failed: bool, with_path: bool = False) -> bytes:
        """All that the line says, and its images; of one that failed the name alone."""
        if failed:
            return json.dumps([self.custom_id]).encode()
        parts = [self.custom_id, self.prompt, sorted(self.settings.items()), self.fault]
        images = [image.fingerprint(failed, with_path).decode() for image in self.images]
        said = [*parts, images] if self.messages is None else [*parts, images, self.messages]
        return json.dumps(said).encode()

    def with_states(self, states: Sequence[FileState | None]) -> "Request":
        """The same request, with the states that its image files had when they were opened."""
        pairs = zip(self.images, states, strict=True)
        return replace(self, images=tuple(image.with_state(state) for image, state in pairs))

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
        root: a folder that all images must lie in; None where any may be read.
        skipped: nothing is.
        repeated: the first name that came before, as it was changed; empty when there is none.

    A `custom_id` that came before, given or made, gets `~2` and so on behind it.
    """

    path: str
    limit: int | None = None
    stdin: BinaryIO | None = None
    root: str | None = None
    skipped: int = 0
    repeated: str = field(default="", init=False)

    def check(self) -> None:
        """Refuse what cannot be meant, before anything runs.

        Raises:
            UsageError: for a file that is not there.
        """
        kind = kind_of(self.path)
        if self.path != STDIN and kind in (PathKind.MISSING, PathKind.BROKEN_LINK):
            raise UsageError(f"{self.path}: no such file of requests")
        if kind is PathKind.FOLDER:
            raise UsageError(f"{self.path} is a folder, not a file of requests")
        if self.root is not None:
            check_root(self.root)

    @property
    def repeatable(self) -> bool:
        """Whether iterating again gives the requests again."""
        return kind_of(self.path) is PathKind.FILE

    def __iter__(self) -> Iterator[Request]:
        """The requests.

        Raises:
            UsageError: when the file cannot be read.
        """
        return islice(self._all(), self.limit)

    def _all(self) -> Iterator[Request]:
        folder = ImageFolder("" if self.path == STDIN else os.path.dirname(self.path), self.root)
        unique, self.repeated = UniqueNames(), ""
        try:
            with self._open() as file:
                for number, line in numbered_lines(file):
                    request = parse_request(line, number, folder)
                    custom_id = unique(request.custom_id)
                    self.repeated = unique.first
                    yield replace(request, custom_id=custom_id)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read: {error.strerror}") from error

    def _open(self) -> BinaryIO:
        if self.path != STDIN:
            return open_stream(self.path)
        if self.stdin is None:
            raise UsageError("standard input is not available, and - names it")
        return open(os.dup(self.stdin.fileno()), "rb")


def parse_request(line: bytes | None, number: int, folder: ImageFolder) -> Request:
    """The request of one line; a broken line gives one with a fault.

    Args:
        line: JSON, UTF-8; None for one that is too long.
        number: of the line, one-based; names a request that has no `custom_id`.
        folder: that images are named relative to.
    """
    custom_id = f"line-{number}"
    try:
        if line is None:
            raise ValueError(TOO_LONG)
        fields = parse_object(line)
        if "custom_id" in fields:
            custom_id = read("custom_id", fields["custom_id"], name)
        make = _conversation if is_batch_line(fields) else _request
        return make(fields, custom_id, folder)
    except ValueError as error:
        return Request(custom_id, fault=f"line {number}: {error}")


def _request(fields: Object, custom_id: str, folder: ImageFolder) -> Request:
    if unknown := sorted(set(fields) - _KNOWN):
        raise ValueError(f"unknown fields: {bounded(', '.join(unknown))}")
    if "prompt" not in fields:
        raise ValueError("it has no prompt")
    prompt = read("prompt", fields["prompt"], text)
    settings = settings_of(fields)
    return Request(custom_id, tuple(_images(fields, folder)), prompt, settings)


def _images(fields: Object, folder: ImageFolder) -> list[ImageRef]:
    page = page_of(fields)
    if "images" not in fields:
        if "image" in fields:
            one = {"image": fields["image"], "page": page}
            return [folder.image(fields["image"] if page is None else one)]
        if page is not None:
            raise ValueError("it has a page, and no image")
        return []
    if "image" in fields:
        raise ValueError("it has both image and images")
    if page is not None:
        raise ValueError('its page is of no image; write {"image": …, "page": …} within images')
    if not isinstance(fields["images"], list):
        raise ValueError("its images are not a list")
    return [folder.image(one) for one in fields["images"]]


def _conversation(fields: Object, custom_id: str, folder: ImageFolder) -> Request:
    chat = chat_of(fields)
    images = tuple(folder.named(url) for url in chat.images)
    return Request(custom_id, images, chat.asked, chat.settings, chat.messages)
