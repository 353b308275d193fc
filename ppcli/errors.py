"""Error classes, exit codes of the command line, and codes of error rows."""

import errno
import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from enum import IntEnum, StrEnum
from typing import Any

_RESOURCE_LIMITS = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM})
MAX_MESSAGE_LENGTH = 1_000
_MAX_SUBJECT_LENGTH = 400
_JOINERS = "\u200c\u200d"  # Persian and emoji need them
_VISIBLE_FORMAT_CHARACTERS = re.compile(
    r"[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]"
)


class ExitCode(IntEnum):
    """Exit codes of the command line. They are part of the stable interface."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    INPUTS_FAILED = 3
    NOTHING_TO_DO = 4
    OUTPUT = 5
    DAMAGED = 6
    MISSING_DEPENDENCY = 7
    SERVER = 8
    INTERRUPTED = 130
    TERMINATED = 143


class ErrorCode(StrEnum):
    """Why an input failed; the column `error_code` of its row."""

    NOT_FOUND = "not_found"
    UNREADABLE = "unreadable"
    EMPTY = "empty"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_FORMAT = "unsupported_format"
    UNSUPPORTED_MODE = "unsupported_mode"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    ENCRYPTED = "encrypted"
    NO_SUCH_PAGE = "no_such_page"
    TOO_LARGE = "too_large"
    ASPECT_RATIO = "aspect_ratio"
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    WORKER_DIED = "worker_died"
    CONTEXT_TOO_LONG = "context_too_long"
    BAD_REQUEST = "bad_request"
    SERVER_ERROR = "server_error"
    INTERNAL = "internal"


def printable(text: str) -> str:
    r"""Escape everything that a terminal would not show literally, so that the text is one line.

    Escaped are control characters, invisible and bidirectional formatting characters, line
    separators and surrogates. A surrogate that `os.fsdecode` made of a byte becomes `\xNN`.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    if unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    if character in _JOINERS or _VISIBLE_FORMAT_CHARACTERS.match(character):
        return character
    return character.encode("unicode_escape", "surrogatepass").decode()


def bounded(text: str, limit: int = 200) -> str:
    """Make untrusted text printable, and shorten it to a limit.

    Of longer text both ends remain, with the number of omitted characters between them.

    Args:
        text: any text.
        limit: the maximum number of characters returned, at least 80.
    """
    if len(text) <= limit and len(shown := printable(text)) <= limit:
        return shown
    room = (limit - len(_gap(len(text)))) // 2
    head = _printable_prefix(text[:room], room)
    tail = _printable_prefix(text[: -room - 1 : -1], room)
    return "".join([*head, _gap(len(text) - len(head) - len(tail)), *reversed(tail)])


def _gap(characters: int) -> str:
    return f" … ({characters:,} characters left out) … "


def _printable_prefix(text: str, room: int) -> list[str]:
    """Escape the first characters, one item each, until `room` is used up."""
    escaped: list[str] = []
    for character in text:
        shown = printable(character)
        room -= len(shown)
        if room < 0:
            break
        escaped.append(shown)
    return escaped


class PixelpruneError(Exception):
    """Base of all errors that pixelprune raises on purpose.

    The message is meant for people. It is made printable and bounded in length, since it may
    contain names and values from outside.
    """

    exit_code = ExitCode.UNEXPECTED

    def __init__(self, message: str) -> None:
        super().__init__(bounded(message, MAX_MESSAGE_LENGTH))


class UsageError(PixelpruneError, ValueError):
    """The request is invalid: an unknown name, a number out of range, a wrong shape."""

    exit_code = ExitCode.USAGE


class ModelError(PixelpruneError):
    """A checkpoint or model directory is invalid, unsupported or incomplete."""

    exit_code = ExitCode.USAGE


class MissingDependencyError(PixelpruneError):
    """An optional dependency is not installed; the message says how to install it."""

    exit_code = ExitCode.MISSING_DEPENDENCY


class ServerError(PixelpruneError):
    """No server answers, or those that do cannot be used."""

    exit_code = ExitCode.SERVER


class NothingToDoError(PixelpruneError):
    """The inputs contain nothing to process."""

    exit_code = ExitCode.NOTHING_TO_DO


class OutputError(PixelpruneError):
    """The output cannot be written, exists already, or belongs to another configuration."""

    exit_code = ExitCode.OUTPUT


class StoppedError(PixelpruneError):
    """The run was asked to stop. Finished work is kept, and the run can be resumed.

    Attributes:
        exit_code: why it stopped.
        result: of the run so far, as the function that was called returns it; None if unknown.
    """

    def __init__(self, exit_code: ExitCode, message: str, result: Any = None) -> None:  # noqa: ANN401
        super().__init__(message)
        self.exit_code = exit_code
        self.result = result

    def __reduce__(self) -> tuple[type["StoppedError"], tuple[ExitCode, str, Any]]:
        return type(self), (self.exit_code, str(self), self.result)


class DamagedError(PixelpruneError):
    """A file that pixelprune wrote has changed or is corrupt."""

    exit_code = ExitCode.DAMAGED


class ImageError(PixelpruneError):
    """An input cannot be used. It produces an error row and never stops a run."""

    exit_code = ExitCode.INPUTS_FAILED

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = str(self)

    def __reduce__(self) -> tuple[type["ImageError"], tuple[ErrorCode, str]]:
        return type(self), (self.code, self.message)


def with_subject(name: str, message: str) -> str:
    """Prefix a message with the name of the input it is about, unless it has that prefix."""
    prefix = f"{bounded(name, _MAX_SUBJECT_LENGTH)}: "
    return prefix + bounded(message.removeprefix(prefix), MAX_MESSAGE_LENGTH)


def as_image_error(error: Exception) -> ImageError:
    """Convert any exception that an input caused to an `ImageError`."""
    if isinstance(error, ImageError):
        return error
    if isinstance(error, MemoryError):
        return ImageError(ErrorCode.OUT_OF_MEMORY, "not enough memory for this image")
    return internal_error(error)


def internal_error(error: BaseException) -> ImageError:
    """Convert an unexpected exception to an `ImageError` that asks for a bug report."""
    return ImageError(
        ErrorCode.INTERNAL,
        f"a bug in pixelprune, please report it: {type(error).__name__}: {bounded(str(error))}",
    )


def is_resource_limit(error: BaseException) -> bool:
    """Return whether the system is out of file handles, memory, processes or threads."""
    no_thread = isinstance(error, RuntimeError) and "start new thread" in str(error)
    return no_thread or getattr(error, "errno", None) in _RESOURCE_LIMITS


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `. Did you mean 'x'?` if a known word is similar, else an empty string."""
    near = get_close_matches(word, list(known), 1)
    return f". Did you mean '{near[0]}'?" if near else ""


def pluralize(number: int, noun: str) -> str:
    """Return a number and its noun, whose plural ends in s: `1 image`, `1,200 images`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
