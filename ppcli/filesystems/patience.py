"""Tries requests to stores again, within limits."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TypeVar

from ppcli.filesystems.schemes import SFTP_SCHEMES, scheme_of, shown_url
from ppcli.filesystems.store_faults import FaultKind, StoreError, as_store_error

_one_at_a_time = threading.RLock()

_Result = TypeVar("_Result")


@dataclass(slots=True)
class Patience:
    """How long a store is asked for one thing.

    Attributes:
        seconds: for all tries together, with the bytes.
        tries: how often a fault that may pass is tried.
        wait: seconds before the second try; each later one waits twice as long.
    """

    seconds: float = 60.0
    tries: int = 7
    wait: float = 0.25

    def before(self, tries: int) -> float:
        """Return how long to wait after this many tries; workers do not all wait equally long."""
        part = 0.5 + time.monotonic_ns() % 1000 / 1000
        return float(self.wait * 2 ** (tries - 1) * part)


PATIENCE = Patience()
LONGEST_READ_SECONDS = 65.0  # after which nobody waits for a file any more


async def patiently(
    ask: Callable[[], Awaitable[_Result]], url: str, more_seconds: float = 0.0
) -> _Result:
    """Ask until there is an answer, a fault that does not pass, or no time left.

    Args:
        ask: makes the request.
        url: what it is about.
        more_seconds: for bytes that are sent, in addition to those of `PATIENCE`.

    Raises:
        StoreError: there is no answer.
    """
    seconds = PATIENCE.seconds + more_seconds
    last: StoreError | None = None
    try:
        async with asyncio.timeout(seconds):
            tries = 0
            while True:
                try:
                    return await ask()
                except Exception as error:
                    tries += 1
                    last = _unless_final(error, url, tries)
                await asyncio.sleep(PATIENCE.before(tries))
    except TimeoutError:
        raise last or too_late(url, seconds) from None


def patiently_here(ask: Callable[[], _Result], url: str) -> _Result:
    """Do the same with a function that blocks; its driver limits the time of one try.

    Paramiko answers one thread at a time: others would wait for ever.

    Raises:
        StoreError: there is no answer.
    """
    with _one_at_a_time if scheme_of(url) in SFTP_SCHEMES else nullcontext():
        return _patiently_here(ask, url)


def _patiently_here(ask: Callable[[], _Result], url: str) -> _Result:
    end = time.monotonic() + PATIENCE.seconds
    tries = 0
    while True:
        try:
            return ask()
        except Exception as error:
            tries += 1
            last = _unless_final(error, url, tries)
        if time.monotonic() > end:
            raise last
        time.sleep(PATIENCE.before(tries))


def too_late(url: str, seconds: float | None = None) -> StoreError:
    """Return the error for a store that takes too long; by default longer than `PATIENCE`."""
    reason = f"the store did not answer within {seconds or PATIENCE.seconds:.0f} seconds"
    return StoreError(FaultKind.TIMEOUT, reason, shown_url(url))


def _unless_final(error: Exception, url: str, tries: int) -> StoreError:
    """Return what an exception means; raise it if no further try is due."""
    fault = as_store_error(error, url)
    if not fault.is_passing or tries >= PATIENCE.tries:
        raise fault from error
    return fault
