"""Where work is done: in this process, or in worker processes that may crash, hang or be killed."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from typing import Any, Protocol

from pebble import CONSTS, ProcessExpired, ProcessPool

from ppcli.errors import ErrorCode, ImageError, PixelpruneError, internal_error
from ppcli.run.sources import close_kept_source
from ppcli.run.worker import prepare

_TRIES = 3
_LOCK_SECONDS = 2.0
_TASKS_PER_WORKER = 64
_HELD_BYTES = 256 << 20


class Task(Protocol):
    """Work that was submitted."""

    def done(self, seconds: float) -> bool:
        """Wait so long at the most; whether there is a result."""

    def result(self) -> Any:  # noqa: ANN401
        """What the work gave, once it is done.

        Raises:
            ImageError: `timeout` or `worker_died` when the work did not come to its end.
        """


class Executor(Protocol):
    """Runs work on images. Another engine has to do no more than this."""

    @property
    def capacity(self) -> int:
        """How many tasks it is worth having under way."""

    def expect(self, tasks: int) -> None:
        """Told once, before the first task, when no more than so many will come."""

    def submit(self, work: Callable[..., Any], *args: object) -> Task:
        """Begin `work(*args)`; function, arguments and result must be picklable."""

    def close(self) -> None:
        """Drop what is under way and leave nothing behind."""


@dataclass(slots=True)
class _Deferred:
    """A task of the serial executor: done when its result is asked for."""

    work: Callable[..., Any]
    args: tuple[object, ...]

    def done(self, seconds: float) -> bool:
        return True

    def result(self) -> Any:  # noqa: ANN401
        return self.work(*self.args)


class SerialExecutor:
    """Works in this process, one image after another. A crash is a crash of the run."""

    capacity = 1

    def expect(self, tasks: int) -> None:
        """Nothing to prepare."""

    def submit(self, work: Callable[..., Any], *args: object) -> Task:
        """Work when the result is asked for."""
        return _Deferred(work, args)

    def close(self) -> None:
        """Let go of the file that the last task kept open."""
        close_kept_source()


class _ResultSize:
    """About how large the results (`nbytes`) are; a large one counts for a while."""

    def __init__(self, first_guess: float) -> None:
        self.typical = first_guess

    def note(self, future: "Future[Any]") -> None:
        """Called in a thread of the pool when a future is done."""
        failed = future.cancelled() or future.exception() is not None
        size = 0 if failed else getattr(future.result(), "nbytes", 0)
        self.typical = max(size, 0.9 * self.typical)


@dataclass(slots=True)
class ProcessExecutor:
    """Works in spawned processes; one that dies or takes too long is replaced.

    Attributes:
        workers: how many processes.
        timeout: seconds that one task may take.
        max_image_pixels: limit of Pillow in the workers.
        memory_limit: bytes of data a worker may hold, None for no limit.
        keep_stderr: let decoders in workers write to standard error.
        setup: called in each worker as it starts; must be picklable.
    """

    workers: int
    timeout: float
    max_image_pixels: int
    memory_limit: int | None = None
    keep_stderr: bool = False
    setup: Callable[[], None] | None = None
    _pool: ProcessPool | None = field(default=None, init=False)
    _size: _ResultSize = field(init=False)

    def __post_init__(self) -> None:
        self._size = _ResultSize(_HELD_BYTES / (4 * self.workers))

    @property
    def capacity(self) -> int:
        """Enough that a slow image does not leave the other workers idle at once.

        Fewer where results are large: they wait for their turn in memory.
        """
        held = int(_HELD_BYTES / max(1.0, self._size.typical))
        return min(_TASKS_PER_WORKER * self.workers, max(2 * self.workers, held))

    def expect(self, tasks: int) -> None:
        """Start no more workers than there is work for."""
        self.workers = max(1, min(self.workers, tasks))

    def submit(self, work: Callable[..., Any], *args: object) -> "PooledTask":
        """Queue the work."""
        return PooledTask(self, work, args)

    def schedule(self, work: Callable[..., Any], args: tuple[object, ...]) -> "Future[Any]":
        """Hand work to the pool, a new one when the old is broken."""
        if self._pool is None or not self._pool.active:
            self.close()
            try:
                with _interrupts_held():
                    return self._schedule_in_new_pool(work, args)
            except OSError as error:  # semaphores, pipes, processes: any may be at its limit
                raise PixelpruneError(
                    f"the worker processes cannot be started ({error.strerror}); "
                    "--workers 0 does without them"
                ) from error
        return self._scheduled(self._pool, work, args)

    def _schedule_in_new_pool(
        self, work: Callable[..., Any], args: tuple[object, ...]
    ) -> "Future[Any]":
        self._pool = ProcessPool(
            max_workers=self.workers,
            initializer=prepare,
            initargs=(self.max_image_pixels, self.memory_limit, self.keep_stderr, self.setup),
            context=multiprocessing.get_context("spawn"),
        )
        return self._scheduled(self._pool, work, args)

    def _scheduled(
        self, pool: ProcessPool, work: Callable[..., Any], args: tuple[object, ...]
    ) -> "Future[Any]":
        future: Future[Any] = pool.schedule(work, args=args, timeout=self.timeout)
        future.add_done_callback(self._size.note)
        return future

    def close(self) -> None:
        """Stop the workers, whatever they are doing."""
        if self._pool is not None:
            # a worker that was killed may hold the lock that stopping the others waits for
            CONSTS.channel_lock_timeout = _LOCK_SECONDS
            self._pool.stop()  # type: ignore[no-untyped-call]
            self._pool.join()
            self._pool = None


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Start threads and workers that leave SIGINT to the main thread from their first moment."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which would let the signal through as it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class PooledTask:
    """Work in a pool. When the whole pool breaks, the work is given to the next one."""

    def __init__(
        self, executor: ProcessExecutor, work: Callable[..., Any], args: tuple[object, ...]
    ) -> None:
        self._executor = executor
        self._work = work
        self._args = args
        self._tries = 1
        self._future = executor.schedule(work, args)

    def done(self, seconds: float) -> bool:
        """Wait so long at the most; whether there is a result."""
        if not wait([self._future], seconds).done:
            return False
        if isinstance(self._future.exception(), BrokenProcessPool) and self._tries < _TRIES:
            self._tries += 1
            self._future = self._executor.schedule(self._work, self._args)
            return False
        return True

    def result(self) -> Any:  # noqa: ANN401
        """What the work gave.

        Raises:
            ImageError: `timeout` or `worker_died`.
            PixelpruneError: when workers cannot even start.
        """
        try:
            return self._future.result()
        except TimeoutError:
            raise ImageError(
                ErrorCode.TIMEOUT, f"not done after {self._executor.timeout:g} seconds (--timeout)"
            ) from None
        except ProcessExpired as error:
            raise ImageError(ErrorCode.WORKER_DIED, _how_it_died(error.exitcode)) from None
        except BrokenProcessPool as error:
            raise PixelpruneError(
                "the worker processes cannot be started; with --worker-memory, allow them more, "
                "or use --workers 0 to see the reason"
            ) from error
        except PixelpruneError:
            raise
        except Exception as error:  # of the way to the worker and back, or of its memory limit
            raise internal_error(error) from error


def _how_it_died(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = _signal_name(-exitcode)
        return f"the worker that had it was ended by {name}"
    return f"the worker that had it ended with exit code {exitcode}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def available_cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
