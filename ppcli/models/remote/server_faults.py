"""What can go wrong between a request and its answer, and what is done about each kind."""

from ppcli.errors import ErrorCode, ImageError


class ServerFault(Exception):  # noqa: N818  # not all are errors: a busy server is none
    """A request has no answer. The message is a clause about the server, without its URL."""


class Unreachable(ServerFault):
    """No connection: the request was not received. It waits until a server is back."""


class Busy(ServerFault):
    """The server takes no request now. The request waits, and tries again.

    Attributes:
        seconds: how long the server asks to wait; None if it does not say.
    """

    def __init__(self, message: str, seconds: float | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds


class Failed(ServerFault):
    """The server failed, or its answer makes no sense. The request is tried a few times more."""


class Broken(Failed):
    """The connection ended before the answer did. The server may have stopped."""


class TimedOut(Failed):
    """The answer took too long."""


class Refused(ServerFault):
    """The server does not answer this request, however often it is asked.

    Attributes:
        code: of the error row.
    """

    def __init__(self, message: str, code: ErrorCode = ErrorCode.BAD_REQUEST) -> None:
        super().__init__(message)
        self.code = code

    def as_error(self) -> ImageError:
        """Return the error of the row."""
        return ImageError(self.code, f"the server {self}")


class Unusable(ServerFault):
    """The server answers no request at all: an unknown model, another API, a wrong path."""


class Denied(Unusable):
    """The server does not take the key, or its owner has no credit left."""
