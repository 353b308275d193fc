"""Work in worker processes, which may crash, hang or be killed."""

import logging
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from typing import Any

from pebble import CONSTS, ProcessExpired, ProcessPool

from ppcli.engine.executors.time_limits import TimeLimits
from ppcli.engine.executors.worker import prepare
from ppcli.engine.executors.worker_log import Notes
from ppcli.engine.executors.worker_starts import StartWatch
from ppcli.engine.stopping import endings_held
from ppcli.errors import (
    ErrorCode,
    ExitCode,
    ImageError,
    PixelpruneError,
    StoppedError,
    internal_error,
    is_resource_limit,
)

logger = logging.getLogger("pixelprune")

_LOOK_UP_SECONDS = 0.1
_ATTEMPTS = 2
_LOCK_SECONDS = 2.0
_TASKS_PER_WORKER = 64
_HELD_BYTES = 256 << 20
_LITTLE_MEMORY = 1 << 30  # with more of it each, workers start


class _ResultSize:
    """About how large the results (`nbytes`) are; a large one counts for a while."""

    def __init__(self, first_guess: float) -> None:
        self.typical = first_guess

    def note(self, size: int) -> None:
        """Told of each result."""
        self.typical = max(size, 0.9 * self.typical)


@dataclass(slots=True)
class ProcessExecutor:
    """Works in spawned processes; one that dies or takes too long is replaced.

    Attributes:
        workers: how many processes.
        timeout: seconds that one task may run; it is tried twice.
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
    _limits: TimeLimits | None = field(default=None, init=False)
    _under_way: dict["Future[Any]", None] = field(default_factory=dict, init=False)
    _size: _ResultSize = field(init=False)
    _watch: StartWatch = field(init=False)
    _notes: Notes | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._size = _ResultSize(_HELD_BYTES / (4 * self.workers))
        self._watch = StartWatch(self.workers)

    @property
    def capacity(self) -> int:
        """Enough that a slow image does not leave the other workers idle at once.

        Fewer where results are large: they wait for their turn in memory.
        """
        held = int(_HELD_BYTES / max(1.0, self._size.typical))
        return min(_TASKS_PER_WORKER * self.workers, max(2 * self.workers, held))

    def expect(self, tasks: int) -> None:
        """Start no more workers than there is work for, and these at once."""
        if self._pool is not None:
            return
        self.workers = max(1, min(self.workers, tasks))
        self._watch = StartWatch(self.workers)
        with suppress(StoppedError):  # the first task will tell
            self._new_pool()

    def submit(self, work: Callable[..., Any], *args: object) -> "PooledTask":
        """Queue the work."""
        return PooledTask(self, work, args)

    def schedule(self, work: Callable[..., Any], args: tuple[object, ...]) -> "Future[Any]":
        """Hand work to the pool, a new one when the old is broken.

        Raises:
            StoppedError: when no worker can be started.
        """
        if self._pool is not None and not self._pool.active:
            self.close()
        if self._pool is None and self._watch.in_vain(self.workers):
            self._give_up_starting()
        pool = self._pool or self._new_pool()
        try:
            future: Future[Any] = pool.schedule(work, args=args)
        except RuntimeError:  # it broke this moment
            return Future()  # which is not under way, so it is lost
        assert self._limits is not None
        assert self._notes is not None
        self._notes.tell()
        self._limits.watch(future)
        self._under_way[future] = None
        future.add_done_callback(self._note)
        return future

    def _new_pool(self) -> ProcessPool:
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            raise PixelpruneError(
                "a worker process imports the program that started it, and must not start workers "
                'itself: put what begins the work below `if __name__ == "__main__":`'
            )
        while True:
            try:
                self._start_pool()
                assert self._pool is not None
                return self._pool
            except (OSError, RuntimeError, ImportError, BrokenProcessPool) as error:
                # semaphores, pipes, threads, processes: any may be at its limit
                self.close()
                if self.workers == 1 or not is_resource_limit(error.__cause__ or error):
                    raise self._cannot_start(_reason(error)) from error
                self._use_fewer_workers(self.workers // 2, _reason(error))

    def _start_pool(self) -> None:
        self._notes = Notes()
        self._pool = ProcessPool(
            max_workers=self.workers,
            initializer=prepare,
            initargs=(
                self.max_image_pixels,
                self.memory_limit,
                self.keep_stderr,
                self.setup,
                self._notes.sender,
            ),
            context=self._watch.context,
        )
        with endings_held(), _interrupts_held():
            if not self._pool.active:  # it starts when it is asked
                raise BrokenProcessPool
            self._limits = TimeLimits(self.timeout)

    def _give_up_starting(self) -> None:
        """Try one worker where several end as they start: together they may be too many.

        Raises:
            StoppedError: when it is one already.
        """
        self._watch.note_ends()
        if self.workers == 1:
            raise self._cannot_start()
        self.close()
        self._use_fewer_workers(1, "they end as they start")

    def _use_fewer_workers(self, fewer: int, reason: str) -> None:
        warning = "%d worker processes cannot be started (%s); trying with %d"
        logger.warning(warning, self.workers, reason, fewer)
        self.workers = fewer
        self._watch = StartWatch(fewer)

    def _note(self, future: "Future[Any]") -> None:
        """Called in a thread of the pool when a future is done."""
        self._under_way.pop(future, None)
        cancelled = future.cancelled()  # it took too long
        if not cancelled and isinstance(future.exception(), BrokenProcessPool):
            return
        self._watch.work_finished()
        failed = cancelled or future.exception() is not None
        self._size.note(0 if failed else getattr(future.result(), "nbytes", 0))

    def has_lost(self, future: "Future[Any]") -> bool:
        """Whether nobody works on it any more, nor will: its pool broke.

        Raises:
            StoppedError: when workers start and start, or do not get ready, and finish nothing.
        """
        if future.done():
            return not future.cancelled() and isinstance(future.exception(), BrokenProcessPool)
        if self._pool is not None:
            if self._watch.in_vain():
                self._give_up_starting()
                return True
            stands_still = self._watch.stands_still(list(self._under_way))
            if stands_still and self._watch.nothing_finished:
                raise self._cannot_start("they do not get ready, and do nothing")
            if stands_still or not self._pool.active:
                self.close()
        return future not in self._under_way and not future.done()

    def _cannot_start(self, reason: str | None = None) -> StoppedError:
        self._watch.note_ends()
        if reason is None and self._watch.exit_code is not None:
            reason = f"one {_how_it_ended(self._watch.exit_code)}"
        little = self.memory_limit is not None and self.memory_limit < _LITTLE_MEMORY
        more = "allow them more with --worker-memory; " if little else ""
        return StoppedError(
            ExitCode.UNEXPECTED,
            f"the worker processes cannot be started; {more}--workers 0 does without them, or "
            f"shows the reason{f' ({reason})' if reason else ''}",
        )

    def close(self) -> None:
        """Stop the workers, whatever they are doing."""
        if self._limits is not None:
            self._limits.close()
            self._limits = None
        if self._pool is not None:
            self._watch.note_ends()
            # a worker that was killed may hold the lock that stopping the others waits for
            CONSTS.channel_lock_timeout = _LOCK_SECONDS
            self._pool.stop()  # type: ignore[no-untyped-call]
            self._pool.join()
            self._watch.end_all()
            self._pool = None
            self._under_way.clear()
        if self._notes is not None:
            self._notes.close()
            self._notes = None


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Start threads and workers that leave signals of a terminal to the main thread.

    They do so from their first moment.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    resource_tracker.ensure_running()  # which would let SIGINT through as it starts
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class PooledTask:
    """Work in a pool. When the whole pool breaks, the work is given to the next one.

    Work that takes too long or loses its worker is done once more: what stopped it may have come
    from outside, such as another process that took all the memory.
    """

    def __init__(
        self, executor: ProcessExecutor, work: Callable[..., Any], args: tuple[object, ...]
    ) -> None:
        self._executor = executor
        self._work = work
        self._args = args
        self._attempts = 1
        self._future = executor.schedule(work, args)

    def done(self, seconds: float) -> bool:
        """Wait so long at the most; whether there is a result.

        Raises:
            StoppedError: when no worker can be started.
        """
        finished = self._future.cancelled() or self._future in wait([self._future], seconds).done
        if self._executor.has_lost(self._future):
            self._future = self._executor.schedule(self._work, self._args)
            return False
        if finished and self._attempts < _ATTEMPTS and _ended_from_outside(self._future):
            self._attempts += 1
            self._future = self._executor.schedule(self._work, self._args)
            return False
        return finished

    def result(self) -> Any:  # noqa: ANN401
        """What the work gave; waits for it.

        Raises:
            ImageError: `timeout` or `worker_died`.
            StoppedError: when no worker can be started.
        """
        while not self.done(_LOOK_UP_SECONDS):
            pass
        try:
            return self._future.result()
        except CancelledError:
            seconds = f"{self._executor.timeout:g} seconds"
            message = f"not done after {seconds}, twice (--timeout)"
            raise ImageError(ErrorCode.TIMEOUT, message) from None
        except ProcessExpired as error:
            how = f"the worker that had it {_how_it_ended(error.exitcode)}"
            message = f"{how}, twice"
            raise ImageError(ErrorCode.WORKER_DIED, message) from None
        except PixelpruneError:
            raise
        except Exception as error:  # of the way to the worker and back, or of its memory limit
            raise internal_error(error) from error


def _ended_from_outside(future: "Future[Any]") -> bool:
    """Whether done work was cancelled, or lost its worker."""
    return future.cancelled() or isinstance(future.exception(), ProcessExpired)


def _how_it_ended(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"was ended by {_signal_name(-exitcode)}"
    return f"ended with exit code {exitcode}"


def _reason(error: BaseException) -> str:
    """Why the system refused a worker, which may stand behind the error that is seen."""
    cause = error.__cause__ or error
    return getattr(cause, "strerror", None) or str(cause)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
