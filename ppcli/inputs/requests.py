"""Reads a file of requests, one JSON object per line."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, BinaryIO, ClassVar

from ppcli.errors import UsageError, bounded
from ppcli.files import FileState, InputFile, PathKind, kind_of, open_stream
from ppcli.inputs.chat import chat_of, is_batch_line
from ppcli.inputs.fields import SETTINGS, Object, name, parse_object, read, settings_of, text
from ppcli.inputs.image_fields import ImageFolder, check_root, page_of
from ppcli.inputs.lines import TOO_LONG, numbered_lines
from ppcli.inputs.refs import ImageRef
from ppcli.inputs.server_fields import fields_of_request
from ppcli.inputs.unique import UniqueNames

STDIN = "-"
_KNOWN = frozenset({"custom_id", "image", "images", "page", "prompt", *SETTINGS})


@dataclass(frozen=True, slots=True)
class Request:
    """One line of a file of requests.

    Attributes:
        custom_id: its name, which its answer gets too; `line-N` if it has none.
        images: its images in order.
        prompt: the prompt, or the last user message of a conversation; None in an invalid line.
        settings: the settings in the line, by their names in `SETTINGS`.
        messages: a conversation, in the form for chat templates; None if there is a prompt.
        fault: the error in the line; None if it is valid.
        server_fields: fields of its body that are sent to a server unchanged.
        model: the model that its body names; None if it names none. It is not used.
    """

    custom_id: str
    images: tuple[ImageRef, ...] = ()
    prompt: str | None = None
    settings: Object = field(default_factory=dict)
    messages: list[Object] | None = None
    fault: str | None = None
    server_fields: Object = field(default_factory=dict)
    model: str | None = None
    columns: ClassVar = None  # the inputs of files of requests have none

    @property
    def image_id(self) -> str:
        """Its name, which identifies inputs when a run is resumed."""
        return self.custom_id

    @property
    def name(self) -> str:
        """Its name."""
        return self.custom_id

    @property
    def image_ids(self) -> str | None:
        """The column `image_id`: a JSON list for several images, None without an image."""
        names = [image.shown_id for image in self.images]
        return names[0] if len(names) == 1 else json.dumps(names) if names else None

    @property
    def page(self) -> int:
        """The column `page`: the page of its only image, if it selects one; else 1."""
        return (self.images[0].page or 1) if len(self.images) == 1 else 1

    @property
    def far_files(self) -> tuple[InputFile, ...]:
        """Those of its image files that are on other machines, in order."""
        return tuple(file for image in self.images for file in image.far_files)

    def fingerprint(self, failed: bool, with_path: bool = False) -> bytes:
        """Return all its content and its images as JSON; only its name if it failed."""
        if failed:
            return json.dumps([self.custom_id]).encode()
        parts = [self.custom_id, self.prompt, sorted(self.settings.items()), self.fault]
        images = [image.fingerprint(failed, with_path).decode() for image in self.images]
        said: list[Any] = (
            [*parts, images] if self.messages is None else [*parts, images, self.messages]
        )
        if more := fields_of_request(self.server_fields):
            said.append(more)
        return json.dumps(said).encode()

    def with_states(self, states: Sequence[FileState | None]) -> "Request":
        """Return the same request with the states of its image files when those were opened."""
        pairs = zip(self.images, states, strict=True)
        return replace(self, images=tuple(image.with_state(state) for image, state in pairs))

    def difference(self, row: Any, failed: bool) -> str | None:  # noqa: ANN401
        """Return how it differs from the request of a row; None if no difference shows."""
        if row.custom_id != self.custom_id:
            return f"expected {row.custom_id}, found {self.custom_id}"
        if row.prompt != self.prompt and not failed:
            return f"the prompt of {self.custom_id} has changed"
        for image in () if failed else self.images:
            if image.file.state() is None:
                return f"{image.image_id} cannot be read now"
        return None


@dataclass(slots=True)
class RequestFile:
    """The requests of one run. Iterating reads the file lazily and yields a `Request` per line.

    A repeated `custom_id` gets the suffix `~2`, `~3` and so on.

    Attributes:
        path: the file; `-` for standard input. Paths of images are relative to its folder.
        limit: stop after this many requests.
        stdin: what `-` reads.
        root: a folder that must contain all images; None for no limit.
        for_server: whether a server answers; see `chat_of`.
        allow_http: whether images may be on servers.
        skipped: always 0.
        repeated: the first `custom_id` with a suffix; empty if none needed one.
    """

    path: str
    limit: int | None = None
    stdin: BinaryIO | None = None
    root: str | None = None
    for_server: bool = False
    allow_http: bool = False
    skipped: int = 0
    repeated: str = field(default="", init=False)

    def check(self) -> None:
        """Refuse an unusable file before anything runs.

        Raises:
            UsageError: the file or the root does not exist.
        """
        kind = kind_of(self.path)
        if self.path != STDIN and kind in (PathKind.MISSING, PathKind.BROKEN_LINK):
            raise UsageError(f"{self.path}: no such file of requests")
        if kind is PathKind.FOLDER:
            raise UsageError(f"{self.path} is a folder, not a file of requests")
        if self.root is not None:
            check_root(self.root)

    @property
    def incomplete(self) -> str:
        """Why some may be missing that still exist; empty if all are there."""
        return "" if self.limit is None else "--limit leaves inputs out"

    @property
    def repeatable(self) -> bool:
        """Whether iterating again yields the requests again; a pipe can be read only once."""
        return kind_of(self.path) is PathKind.FILE

    def __iter__(self) -> Iterator[Request]:
        """Yield the requests.

        Raises:
            UsageError: the file cannot be read.
        """
        return islice(self._all(), self.limit)

    def _all(self) -> Iterator[Request]:
        folder = ImageFolder(
            "" if self.path == STDIN else os.path.dirname(self.path),
            self.root,
            self.allow_http if self.root is None else None,
        )
        unique, self.repeated = UniqueNames(), ""
        try:
            with self._open() as file:
                for number, line in numbered_lines(file):
                    request = parse_request(line, number, folder, self.for_server)
                    custom_id = unique(request.custom_id)
                    self.repeated = unique.first
                    yield replace(request, custom_id=custom_id)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read: {error.strerror}") from error

    def _open(self) -> BinaryIO:
        if self.path != STDIN:
            return open_stream(self.path)
        if self.stdin is None:
            raise UsageError("- is standard input, which is not available")
        return open(os.dup(self.stdin.fileno()), "rb")


def parse_request(
    line: bytes | None, number: int, folder: ImageFolder, for_server: bool = False
) -> Request:
    """Parse a line; an invalid one becomes a request with a fault.

    Args:
        line: JSON in UTF-8; None if it is too long.
        number: number of the line (one-based), for the name of a request without `custom_id`.
        folder: resolves the images.
        for_server: whether a server answers; see `chat_of`.
    """
    custom_id = f"line-{number}"
    try:
        if line is None:
            raise ValueError(TOO_LONG)
        fields = parse_object(line)
        if "custom_id" in fields:
            custom_id = read("custom_id", fields["custom_id"], name)
        if is_batch_line(fields):
            return _conversation(fields, custom_id, folder, for_server)
        return _request(fields, custom_id, folder)
    except ValueError as error:
        return Request(custom_id, fault=f"line {number}: {error}")


def _request(fields: Object, custom_id: str, folder: ImageFolder) -> Request:
    if unknown := sorted(set(fields) - _KNOWN):
        raise ValueError(f"unknown fields: {bounded(', '.join(unknown))}")
    if "prompt" not in fields:
        raise ValueError("prompt is missing")
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
            raise ValueError("page is set, but there is no image")
        return []
    if "image" in fields:
        raise ValueError("image and images are both set")
    if page is not None:
        raise ValueError('page does not say which image; write {"image": …, "page": …} in images')
    if not isinstance(fields["images"], list):
        raise ValueError("images is not a list")
    return [folder.image(one) for one in fields["images"]]


def _conversation(fields: Object, custom_id: str, folder: ImageFolder, for_server: bool) -> Request:
    chat = chat_of(fields, for_server)
    return Request(
        custom_id,
        tuple(folder.named(url) for url in chat.images),
        chat.asked,
        chat.settings,
        chat.messages,
        server_fields=chat.server_fields,
        model=chat.model,
    )
