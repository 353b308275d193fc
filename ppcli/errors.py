"""The error tree, the exit codes of the command line, and the codes of error rows."""

from enum import IntEnum, StrEnum


class ExitCode(IntEnum):
    """Exit codes of the command line; part of the stable interface."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    INPUTS_FAILED = 3
    NOTHING_TO_DO = 4
    OUTPUT = 5
    DAMAGED = 6
    MISSING_PART = 7
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


class PixelpruneError(Exception):
    """Base of all errors that pixelprune raises on purpose; the text is meant for people."""

    exit_code = ExitCode.UNEXPECTED


class UsageError(PixelpruneError, ValueError):
    """The request itself makes no sense: an unknown name, a number out of range, a wrong shape."""

    exit_code = ExitCode.USAGE


class ModelError(PixelpruneError):
    """A checkpoint or a model directory cannot be used: not one, not supported, or not whole."""

    exit_code = ExitCode.USAGE


class MissingPartError(PixelpruneError):
    """Something that is asked for is not installed; the message says how to install it."""

    exit_code = ExitCode.MISSING_PART


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
        self.message = message

    def __reduce__(self) -> tuple[type["ImageError"], tuple[ErrorCode, str]]:
        return type(self), (self.code, self.message)


def explained(error: Exception) -> ImageError:
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
        f"a fault in pixelprune, please report it: {type(error).__name__}: {error}",
    )
