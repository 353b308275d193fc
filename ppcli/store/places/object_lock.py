"""The lock of a dataset in a store: numbered objects, each made only if it is new.

Stores have no locks that end with a process. The object with the highest number is the lock, and
its owner writes it again and again. A lock that was not written for a while is stale, and so is one
of a process of this machine that is gone. Whoever makes the next number holds the lock from then
on; the old owner, if it still runs, finds that out before it changes anything.
"""

import logging
import re
import threading
import time
from contextlib import suppress

from ppcli.errors import OutputError, bounded
from ppcli.filesystems.changes import put, remove, timed_entries
from ppcli.filesystems.objects import start_reading, wait_for
from ppcli.filesystems.schemes import without_secrets
from ppcli.filesystems.store_faults import FaultKind, StoreError
from ppcli.store.places.far_faults import as_far_output
from ppcli.store.places.lock_owner import Owner

logger = logging.getLogger("pixelprune")

REFRESH_SECONDS = 15.0
STALE_SECONDS = 90.0
_TRIES = 5
_END_SECONDS = 10.0
_NAME = re.compile(r"([0-9]{6,12})\.json")
_held_here: set[str] = set()  # tokens of the locks that this process holds


class ObjectLock:
    """A lock that is held as long as the context.

    Args of the constructor:
        folder: URL of the folder of the lock's objects.
        root: URL of the dataset.

    Raises:
        OutputError: entering: another run holds the lock, or the store does not take it.
    """

    def __init__(self, folder: str, root: str) -> None:
        self._folder = folder
        self._root = root
        self._owner = Owner.of_this_process()
        self._number = 0
        self._is_conditional = True
        self._is_lost = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True, name="pixelprune-lock")

    @property
    def is_conditional(self) -> bool:
        """Whether the store refuses to make an object that exists."""
        return self._is_conditional

    def check(self) -> None:
        """Check that no other run has taken the lock over.

        Raises:
            OutputError: one has.
            StoreError: the store does not tell.
        """
        if self._is_lost or not self._is_ours():
            self._is_lost = True
            raise OutputError(
                f"another run has taken {self._shown} over, since this one gave no sign of life "
                f"for {STALE_SECONDS:g} seconds; this run has written nothing since"
            )

    def __enter__(self) -> "ObjectLock":
        with as_far_output(self._root):
            self._acquire()
        _held_here.add(self._owner.token)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(_END_SECONDS)
        _held_here.discard(self._owner.token)
        with suppress(StoreError):
            if not self._is_lost and self._is_ours():
                remove([self._url(self._number)])

    @property
    def _shown(self) -> str:
        return without_secrets(self._root)

    def _url(self, number: int) -> str:
        return f"{self._folder}/{number:06d}.json"

    def _acquire(self) -> None:
        for _ in range(_TRIES):
            old = [one.name for one in timed_entries(self._folder)]
            before = max(_numbers(old), default=0)
            if before:
                self._require_stale(before)
            if self._make(before + 1):
                self._number = before + 1
                remove(f"{self._folder}/{name}" for name in old)
                return
        raise OutputError(f"other runs are writing to {self._shown}; wait until they end")

    def _make(self, number: int) -> bool:
        """Make the object of a number; return False if another run has made it."""
        url, content = self._url(number), self._owner.content()
        try:
            put(url, content, only_new=True)
        except StoreError as error:
            if error.kind is FaultKind.EXISTS:
                return self._holder(number) == self._owner  # by a try whose answer was lost
            if error.kind is not FaultKind.OTHER:
                raise
            put(url, content)  # the store knows no conditions
        self._is_conditional = _refuses(url, content)
        if not self._is_conditional:
            logger.warning(
                "the store of %s has no conditional writes, so that two runs that start at the "
                "same time may both write there; make sure that only one does",
                self._shown,
            )
        return True

    def _holder(self, number: int) -> Owner | None:
        """Return the owner of a lock; None if it is unknown, or gone."""
        url = self._url(number)
        try:
            return Owner.parse(wait_for(start_reading(url, None), url).content or b"")
        except StoreError as error:
            if error.kind is not FaultKind.MISSING:
                raise
            return None

    def _require_stale(self, number: int) -> None:
        """Check that the lock of a number can be taken over.

        Raises:
            OutputError: its owner lives, as far as one can tell.
        """
        owner = self._holder(number)
        if owner is not None and _is_gone(owner):
            return
        age = self._age(number)
        if age > STALE_SECONDS:
            return
        who = "unknown"
        if owner is not None:
            who = f"process {owner.pid} on {bounded(owner.host, 80)}"
        raise OutputError(
            f"another run is writing to {self._shown} ({who}, last seen {max(0, age):.0f} seconds "
            f"ago); wait until it ends, or, if it is dead, for {STALE_SECONDS:g} seconds"
        )

    def _age(self, number: int) -> float:
        """Return the seconds since a lock was written, by the clock of the store."""
        now = f"{self._folder}/now-{self._owner.token}"
        put(now, b"")
        try:
            times = {f"{self._folder}/{name}": time for name, time in timed_entries(self._folder)}
        finally:
            remove([now])
        written, asked = times.get(self._url(number)), times.get(now)
        return float("inf") if written is None or asked is None else asked - written

    def _is_ours(self) -> bool:
        numbers = _numbers([one.name for one in timed_entries(self._folder)])
        if self._number not in numbers or max(numbers) > self._number:
            return False
        return self._is_conditional or self._holder(self._number) == self._owner

    def _keep(self) -> None:
        """Give signs of life until the end; a thread runs this."""
        while not self._is_lost and not self._ended.wait(REFRESH_SECONDS):
            asked = time.time()  # which goes on while the computer sleeps
            with suppress(StoreError):
                if self._is_ours():
                    put(self._url(self._number), self._owner.content())
                else:
                    self._is_lost = True
            if time.time() - asked > STALE_SECONDS:  # another run may have come and gone
                self._is_lost = True


def _is_gone(owner: Owner) -> bool:
    """Return whether a process has ended, or a run of this process that could not release it."""
    return owner.is_gone or (owner.is_this_process and owner.token not in _held_here)


def _numbers(names: list[str]) -> list[int]:
    return [int(match[1]) for name in names if (match := _NAME.fullmatch(name))]


def _refuses(url: str, content: bytes) -> bool:
    """Return whether the store refuses to make an object that exists."""
    try:
        put(url, content, only_new=True)
    except StoreError as error:
        if error.kind is FaultKind.EXISTS:
            return True
        if error.kind is not FaultKind.OTHER:
            raise
    return False
