"""The error tree, the exit codes of the command line, and the codes of error rows."""

import errno
import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from enum import IntEnum, StrEnum

_AT_A_LIMIT = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM})
MAX_MESSAGE_LENGTH = 1_000
_LONGEST_SUBJECT = 400
_JOINERS = "\u200c\u200d"  # of words in Persian, of faces in emoji
_SIGNS = re.compile(r"[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]")


class ExitCode(IntEnum):
    """Exit codes of the command line; part of the stable interface."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    INPUTS_FAILED = 3
    NOTHING_TO_DO = 4
    OUTPUT = 5
    DAMAGED = 6
    MISSING_DEPENDENCY = 7
    INTERRUPTED = 130
    TERMINATED = 143


class ErrorCode(StrEnum):
    """What went wrong with one input; the `error_code` of its row."""

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
    INTERNAL = "internal"


def printable(text: str) -> str:
    r"""The text on one line, with escapes for all that a terminal would not show as it stands.

    These are control characters, marks that turn the direction of writing or are invisible, and
    halves of characters. A byte that is no text, as `os.fsdecode` has it, becomes `\xNN`.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(one) for one in text)


def _shown(one: str) -> str:
    if "\udc80" <= one <= "\udcff":
        return f"\\x{ord(one) - 0xDC00:02x}"
    kind = unicodedata.category(one)
    if kind not in ("Cc", "Cf", "Cs", "Zl", "Zp") or one in _JOINERS or _SIGNS.match(one):
        return one
    return one.encode("unicode_escape", "surrogatepass").decode()


def bounded(text: str, limit: int = 200) -> str:
    """Text from outside, fit to be shown: printable, and short.

    Of a longer one both ends are left, and between them how many characters are not shown.

    Args:
        text: whoever wrote it.
        limit: the most characters that come back; at least 80.
    """
    if len(text) <= limit and len(shown := printable(text)) <= limit:
        return shown
    room = (limit - len(_gap(len(text)))) // 2
    begin, first = _as_fits(text[:room], room)
    end, last = _as_fits(text[: -room - 1 : -1], room)
    return "".join([*begin, _gap(len(text) - first - last), *reversed(end)])


def _gap(characters: int) -> str:
    return f" … ({characters:,} characters left out) … "


def _as_fits(text: str, room: int) -> tuple[list[str], int]:
    """The first characters, as they are shown, and how many there are."""
    pieces: list[str] = []
    for one in text:
        shown = printable(one)
        room -= len(shown)
        if room < 0:
            break
        pieces.append(shown)
    return pieces, len(pieces)


class PixelpruneError(Exception):
    """Base of all errors that pixelprune raises on purpose; the text is meant for people.

    It is bounded, since names and values from outside are in it.
    """

    exit_code = ExitCode.UNEXPECTED

    def __init__(self, message: str) -> None:
        super().__init__(bounded(message, MAX_MESSAGE_LENGTH))


class UsageError(PixelpruneError, ValueError):
    """The request itself makes no sense: an unknown name, a number out of range, a wrong shape."""

    exit_code = ExitCode.USAGE


class ModelError(PixelpruneError):
    """A checkpoint or a model directory cannot be used: not one, not supported, or not whole."""

    exit_code = ExitCode.USAGE


class MissingDependencyError(PixelpruneError):
    """Something that is asked for is not installed; the message says how to install it."""

    exit_code = ExitCode.MISSING_DEPENDENCY


class NothingToDoError(PixelpruneError):
    """The inputs hold nothing that could be tried."""

    exit_code = ExitCode.NOTHING_TO_DO


class OutputError(PixelpruneError):
    """The output cannot be written, exists already, or belongs to another configuration."""

    exit_code = ExitCode.OUTPUT


class StoppedError(PixelpruneError):
    """The run was asked to stop; what is finished stays, and can be resumed."""

    def __init__(self, exit_code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class DamagedError(PixelpruneError):
    """A file that pixelprune wrote does not hold what it held."""

    exit_code = ExitCode.DAMAGED


class ImageError(PixelpruneError):
    """One input cannot be used. It costs that input an error row and never stops a run."""

    exit_code = ExitCode.INPUTS_FAILED

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = str(self)

    def __reduce__(self) -> tuple[type["ImageError"], tuple[ErrorCode, str]]:
        return type(self), (self.code, self.message)


def with_subject(name: str, message: str) -> str:
    """A message that begins with the name of what it is about, as rows of errors have it."""
    begin = f"{bounded(name, _LONGEST_SUBJECT)}: "
    return begin + bounded(message.removeprefix(begin), MAX_MESSAGE_LENGTH)


def as_image_error(error: Exception) -> ImageError:
    """Whatever went wrong with one input, as its error."""
    if isinstance(error, ImageError):
        return error
    if isinstance(error, MemoryError):
        return ImageError(ErrorCode.OUT_OF_MEMORY, "there is not enough memory for this image")
    return internal_error(error)


def internal_error(error: BaseException) -> ImageError:
    """What nobody foresaw, as the error of the one input it happened to."""
    return ImageError(
        ErrorCode.INTERNAL,
        f"a fault in pixelprune, please report it: {type(error).__name__}: {bounded(str(error))}",
    )


def is_resource_limit(error: BaseException) -> bool:
    """Whether the system has no more files, memory, processes or threads for this program."""
    no_thread = isinstance(error, RuntimeError) and "start new thread" in str(error)
    return no_thread or getattr(error, "errno", None) in _AT_A_LIMIT


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`. Did you mean 'x'?` where a word is nearly one of the known ones; otherwise nothing."""
    near = get_close_matches(word, list(known), 1)
    return f". Did you mean '{near[0]}'?" if near else ""


def pluralize(number: int, noun: str) -> str:
    """A number of things whose plural ends in s: `1 image`, `1,200 images`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
