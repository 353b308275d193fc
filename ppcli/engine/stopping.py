"""Being asked to stop: the first signal is a request, the second interrupt an order."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from ppcli.errors import ExitCode

logger = logging.getLogger("pixelprune")


Stop = Callable[[], bool]  # whether to stop


class StopRequest:
    """Whether the run was asked to stop, and with which exit code it then ends."""

    def __init__(self) -> None:
        self.exit_code: ExitCode | None = None

    def __call__(self) -> bool:
        """Whether a signal has come."""
        return self.exit_code is not None

    def on_signal(self, number: int, _: FrameType | None) -> None:
        """Take note; raise KeyboardInterrupt at the second interrupt."""
        if self.exit_code is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        if number == signal.SIGINT:
            self.exit_code = ExitCode.INTERRUPTED
            logger.warning("stopping after the file in hand; interrupt again to stop at once")
        else:
            self.exit_code = ExitCode.TERMINATED
            logger.warning("terminating after the file in hand")


def ending_signals() -> list[signal.Signals]:
    """What asks a program to end; the end of its terminal is left out where `nohup` says so."""
    numbers = [signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        numbers.append(hangup)
    return numbers


@contextmanager
def endings_held() -> Iterator[None]:
    """Let signals that end the program wait for the end of the block.

    Their handlers may raise wherever the main thread is, such as between the start of a process
    and the note that it has started.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = ending_signals()
    came: list[int] = []
    before = [signal.signal(number, lambda one, _: came.append(one)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        for one in came:
            signal.raise_signal(one)


@contextmanager
def listening() -> Iterator[StopRequest]:
    """Turn SIGINT, SIGTERM and SIGHUP into a request to stop while the block runs."""
    request = StopRequest()
    numbers = [signal.SIGINT, *ending_signals()]
    before = [signal.signal(number, request.on_signal) for number in numbers]
    try:
        yield request
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
