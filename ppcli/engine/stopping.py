"""Stopping a run: the first signal asks the run to stop, a second SIGINT stops it at once."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from ppcli.errors import ExitCode

logger = logging.getLogger("pixelprune")


Stop = Callable[[], bool]
"""Returns whether to stop. Called often."""


class StopRequest:
    """Whether a signal has asked the run to stop.

    Attributes:
        exit_code: how the program ends after the stop; None if nothing has asked for one.
    """

    def __init__(self) -> None:
        self.exit_code: ExitCode | None = None

    def __call__(self) -> bool:
        """Return whether to stop."""
        return self.exit_code is not None

    def on_signal(self, number: int, _: FrameType | None) -> None:
        """Handle a signal.

        Raises:
            KeyboardInterrupt: on a SIGINT after an earlier signal.
        """
        if self.exit_code is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        if number == signal.SIGINT:
            self.exit_code = ExitCode.INTERRUPTED
            logger.warning("stopping; finished work is kept; interrupt again to stop at once")
        else:
            self.exit_code = ExitCode.TERMINATED
            logger.warning("terminating; finished work is kept")


def termination_signals() -> list[signal.Signals]:
    """Return the signals that end a program: SIGTERM, and SIGHUP unless `nohup` ignores it."""
    numbers = [signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        numbers.append(hangup)
    return numbers


@contextmanager
def termination_deferred() -> Iterator[None]:
    """Deliver signals that end the program after the block.

    Their handlers may raise wherever the main thread is, for example between the start of a
    process and the assignment that records it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = termination_signals()
    received: list[int] = []
    before = [signal.signal(number, lambda one, _: received.append(one)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        for one in received:
            signal.raise_signal(one)


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turn SIGINT, SIGTERM and SIGHUP into a request to stop inside the block."""
    request = StopRequest()
    numbers = [signal.SIGINT, *termination_signals()]
    before = [signal.signal(number, request.on_signal) for number in numbers]
    try:
        yield request
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
