"""The standard streams: encoding, closed and broken descriptors, and data on standard output."""

import codecs
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

_WRITE_SECONDS = 1.0  # to wait for a slow reader of a descriptor that does not block
_RESTARTED = "PIXELPRUNE_UTF8"


def use_utf8() -> None:
    """Restart the interpreter in UTF-8 mode if the locale has another encoding.

    Otherwise file names that are listed in UTF-8 could not be opened, and the identity of an image
    would depend on the locale.
    """
    encoding = codecs.lookup(sys.getfilesystemencoding()).name
    if sys.platform == "win32" or encoding == "utf-8" or _RESTARTED in os.environ:
        return
    os.environ |= {_RESTARTED: "1", "PYTHONUTF8": "1"}
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606


def secure_standard_streams() -> None:
    """Make the standard streams usable until the program ends.

    Closed descriptors are occupied, so that no file gets their numbers. Messages that cannot be
    written, such as to a full disk or a closed terminal, are dropped.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 as long as the program runs
    elif hasattr(sys.stderr, "buffer"):
        sys.stderr = io.TextIOWrapper(
            io.BufferedWriter(_Messages(sys.stderr.fileno())),
            encoding=sys.stderr.encoding,
            errors=sys.stderr.errors,
            line_buffering=True,
        )


def stdout_is_terminal() -> bool:
    """Return whether a person reads standard output."""
    return sys.stdout is not None and sys.stdout.isatty()


@contextmanager
def data_on_stdout() -> Iterator[BinaryIO | None]:
    """Give standard output as a binary stream that has no other writers; None if it is closed.

    In the meantime, whatever else prints to standard output appears on standard error.
    """
    if sys.stdout is None:  # closed when the program started
        yield None
        return
    sys.stdout.flush()
    original = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    stream = os.fdopen(original, "wb")
    try:
        yield stream
        stream.flush()
    finally:
        with suppress(OSError):
            sys.stdout.flush()  # to standard error still
        os.dup2(original, sys.stdout.fileno())
        with suppress(OSError):  # that a flush has raised before
            stream.close()


def discard_output() -> None:
    """Keep the interpreter from failing when it flushes closed pipes at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(nowhere, stream.fileno())


class _Messages(io.RawIOBase):
    """Writes to a descriptor, and to the null device once that fails."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:  # noqa: ANN401
        text = memoryview(data).cast("B")
        done = 0
        while done < len(text):
            try:
                done += os.write(self._descriptor, text[done:])
            except BlockingIOError:
                if not select.select([], [self._descriptor], [], _WRITE_SECONDS)[1]:
                    break
            except OSError:
                self._go_silent()
        return len(text)

    def _go_silent(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._descriptor)
        os.close(nowhere)
