"""The standard streams, whatever became of what they lead to, and the spelling of names."""

import codecs
import io
import os
import select
import sys
from typing import Any

_PATIENCE_SECONDS = 1.0  # for a reader of messages that is slow, where writing does not wait
_BEGUN_AGAIN = "PIXELPRUNE_UTF8"


def use_utf8() -> None:
    """Begin again with UTF-8 where the locale says something else.

    Otherwise names of files that are listed in UTF-8 cannot be opened, and one image has another
    identity under each locale.
    """
    spelled = codecs.lookup(sys.getfilesystemencoding()).name
    if sys.platform == "win32" or spelled == "utf-8" or _BEGUN_AGAIN in os.environ:
        return
    os.environ |= {_BEGUN_AGAIN: "1", "PYTHONUTF8": "1"}
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606


def hold_standard_streams() -> None:
    """Make them fit to be used for as long as the program runs.

    The numbers of closed ones do not go to the next file that is opened. Messages that cannot be
    written, to a full disk or a terminal that has gone, are given up and stop nothing.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 for as long as the program runs
    elif hasattr(sys.stderr, "buffer"):
        sys.stderr = io.TextIOWrapper(
            io.BufferedWriter(_Messages(sys.stderr.fileno())),
            encoding=sys.stderr.encoding,
            errors=sys.stderr.errors,
            line_buffering=True,
        )


class _Messages(io.RawIOBase):
    """A descriptor that messages go to; once it takes no more, they go nowhere."""

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
                if not select.select([], [self._descriptor], [], _PATIENCE_SECONDS)[1]:
                    break
            except OSError:
                self._go_silent()
        return len(text)

    def _go_silent(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._descriptor)
        os.close(nowhere)
