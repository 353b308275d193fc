"""Tasks in worker processes, which may crash, hang or be killed without ending the run."""

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

from ppcli.engine.executors.executor import USUAL, TaskLimits, WorkerSetup
from ppcli.engine.executors.time_limits import TimeLimits
from ppcli.engine.executors.worker import prepare_worker
from ppcli.engine.executors.worker_log import WorkerLog
from ppcli.engine.executors.worker_starts import StartMonitor
from ppcli.engine.stopping import termination_deferred
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

_POLL_SECONDS = 0.1
_LOCK_SECONDS = 2.0
_TASKS_PER_WORKER = 64
_RESULT_BYTES = 256 << 20  # of finished tasks that wait for their turn
_LOW_MEMORY = 1 << 30  # bytes; with a higher limit every worker starts


class _ResultSize:
    """An estimate of the `nbytes` of results. It rises at once and falls slowly."""

    def __init__(self, first_guess: float) -> None:
        self.estimate = first_guess

    def add(self, size: int) -> None:
        self.estimate = max(size, 0.9 * self.estimate)


@dataclass(slots=True)
class ProcessExecutor:
    """Runs tasks in spawned processes, and replaces those that die or exceed the time limit.

    Attributes:
        workers: number of processes; lowered if the system refuses to start as many.
        timeout: seconds that one task may run, besides its allowance.
        memory_limit: bytes of data that a worker may hold; None for no limit.
        keep_stderr: whether decoders in workers may write to standard error.
        setup: prepares each worker before its first task; must be picklable.
    """

    workers: int
    timeout: float
    memory_limit: int | None = None
    keep_stderr: bool = False
    setup: WorkerSetup | None = None
    _pool: ProcessPool | None = field(default=None, init=False)
    _limits: TimeLimits | None = field(default=None, init=False)
    _unfinished: dict["Future[Any]", None] = field(default_factory=dict, init=False)
    _size: _ResultSize = field(init=False)
    _monitor: StartMonitor = field(init=False)
    _log: WorkerLog | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._size = _ResultSize(_RESULT_BYTES / (4 * self.workers))
        self._monitor = StartMonitor(self.workers)

    @property
    def capacity(self) -> int:
        """Enough tasks that one slow image does not leave the other workers idle.

        It is lower where results are large, because they are held until their turn comes.
        """
        held = int(_RESULT_BYTES / max(1.0, self._size.estimate))
        return min(_TASKS_PER_WORKER * self.workers, max(2 * self.workers, held))

    def prestart(self, tasks: int) -> None:
        """Start the workers now, but no more than there are tasks."""
        if self._pool is not None:
            return
        self.workers = max(1, min(self.workers, tasks))
        self._monitor = StartMonitor(self.workers)
        with suppress(StoppedError):  # raised again with the first task
            self._new_pool()

    def submit(
        self, function: Callable[..., Any], *args: object, limits: TaskLimits = USUAL
    ) -> "ProcessTask":
        """Queue the call; start the workers if there are none."""
        return ProcessTask(self, function, args, limits)

    def schedule(
        self, function: Callable[..., Any], args: tuple[object, ...], allowance: float
    ) -> "Future[Any]":
        """Pass a call to the pool, or to a new pool if the current one is broken.

        Raises:
            StoppedError: if no worker can be started.
        """
        if self._pool is not None and not self._pool.active:
            self.close()
        if self._pool is None and self._monitor.is_futile(self.workers):
            self._give_up_starting()
        pool = self._pool or self._new_pool()
        try:
            future: Future[Any] = pool.schedule(function, args=args)
        except RuntimeError:  # it broke just now
            return Future()  # is_lost is true for a future that the pool does not know
        assert self._limits is not None
        assert self._log is not None
        self._log.start()
        self._limits.watch(future, allowance)
        self._unfinished[future] = None
        future.add_done_callback(self._on_done)
        return future

    def _new_pool(self) -> ProcessPool:
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            raise PixelpruneError(
                "a worker process imports the program that started it, and must not start workers "
                'itself: put the code that starts the run below `if __name__ == "__main__":`'
            )
        while True:
            try:
                self._start_pool()
                assert self._pool is not None
                return self._pool
            except (OSError, RuntimeError, ImportError, BrokenProcessPool) as error:
                # the system may refuse semaphores, pipes, threads or processes
                self.close()
                if self.workers == 1 or not is_resource_limit(error.__cause__ or error):
                    raise self._start_error(_system_message(error)) from error
                self._reduce_workers(self.workers // 2, _system_message(error))

    def _start_pool(self) -> None:
        self._log = WorkerLog()
        self._pool = ProcessPool(
            max_workers=self.workers,
            initializer=prepare_worker,
            initargs=(self.memory_limit, self.keep_stderr, self.setup, self._log.sender),
            context=self._monitor.context,
        )
        with termination_deferred(), _terminal_signals_blocked():
            if not self._pool.active:  # reading this property starts the pool
                raise BrokenProcessPool
            self._limits = TimeLimits(self.timeout)

    def _give_up_starting(self) -> None:
        """Fall back to one worker: several may exceed a limit that one does not.

        Raises:
            StoppedError: if there is only one already.
        """
        self._monitor.record_exit_code()
        if self.workers == 1:
            raise self._start_error()
        self.close()
        self._reduce_workers(1, "they end during start-up")

    def _reduce_workers(self, fewer: int, reason: str) -> None:
        warning = "cannot start %d worker processes (%s); trying %d"
        logger.warning(warning, self.workers, reason, fewer)
        self.workers = fewer
        self._monitor = StartMonitor(fewer)

    def _on_done(self, future: "Future[Any]") -> None:
        """Handle a finished future; called in a thread of the pool."""
        self._unfinished.pop(future, None)
        timed_out = future.cancelled()
        if not timed_out and isinstance(future.exception(), BrokenProcessPool):
            return
        self._monitor.task_finished()
        failed = timed_out or future.exception() is not None
        self._size.add(0 if failed else getattr(future.result(), "nbytes", 0))

    def is_lost(self, future: "Future[Any]") -> bool:
        """Return whether the pool broke before the task finished, so that it must be rescheduled.

        Raises:
            StoppedError: if workers end during start-up, or never become ready.
        """
        if future.done():
            return not future.cancelled() and isinstance(future.exception(), BrokenProcessPool)
        if self._pool is not None:
            if self._monitor.is_futile():
                self._give_up_starting()
                return True
            stalled = self._monitor.is_stalled(list(self._unfinished))
            if stalled and self._monitor.none_finished:
                raise self._start_error("they do not become ready, and are idle")
            if stalled or not self._pool.active:
                self.close()
        return future not in self._unfinished and not future.done()

    def _start_error(self, reason: str | None = None) -> StoppedError:
        self._monitor.record_exit_code()
        if reason is None and self._monitor.exit_code is not None:
            reason = f"one {_describe_exit(self._monitor.exit_code)}"
        low = self.memory_limit is not None and self.memory_limit < _LOW_MEMORY
        advice = "raise --worker-memory, or " if low else ""
        return StoppedError(
            ExitCode.UNEXPECTED,
            f"cannot start the worker processes{f' ({reason})' if reason else ''}; "
            f"{advice}use --workers 0 to run without them",
        )

    def close(self) -> None:
        """Stop the workers, whatever they are doing. A later task starts new ones."""
        if self._limits is not None:
            self._limits.close()
            self._limits = None
        if self._pool is not None:
            self._monitor.record_exit_code()
            # a worker that was killed may hold the lock that stopping the others waits for
            CONSTS.channel_lock_timeout = _LOCK_SECONDS
            self._pool.stop()  # type: ignore[no-untyped-call]
            self._pool.join()
            self._monitor.kill_all()
            self._pool = None
            self._unfinished.clear()
        if self._log is not None:
            self._log.close()
            self._log = None


@contextmanager
def _terminal_signals_blocked() -> Iterator[None]:
    """Start threads and processes inside the block that never receive SIGINT or SIGHUP."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    resource_tracker.ensure_running()  # unblocks SIGINT when it starts
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class ProcessTask:
    """A call in a worker process. It is rescheduled if the whole pool breaks.

    A call that exceeds the time limit or loses its worker has a second attempt, since the cause
    may be elsewhere, such as another process that used up the memory.
    """

    def __init__(
        self,
        executor: ProcessExecutor,
        function: Callable[..., Any],
        args: tuple[object, ...],
        limits: TaskLimits,
    ) -> None:
        self._executor = executor
        self._function = function
        self._args = args
        self._limits = limits
        self._attempts = 1
        self._future = self._schedule()

    def _schedule(self) -> "Future[Any]":
        return self._executor.schedule(self._function, self._args, self._limits.allowance)

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds`; return whether the task has finished.

        Raises:
            StoppedError: if no worker can be started.
        """
        finished = self._future.cancelled() or self._future in wait([self._future], seconds).done
        if self._executor.is_lost(self._future):
            self._future = self._schedule()
            return False
        if finished and self._attempts < self._limits.attempts and _lost_its_worker(self._future):
            self._attempts += 1
            self._future = self._schedule()
            return False
        return finished

    def result(self) -> Any:  # noqa: ANN401
        """Wait for the task and return its result.

        Raises:
            ImageError: `timeout`, `worker_died`, or whatever the function raised.
            StoppedError: if no worker can be started.
        """
        while not self.wait(_POLL_SECONDS):
            pass
        try:
            return self._future.result()
        except CancelledError:
            limit = f"{self._executor.timeout:g} seconds"
            message = f"not finished within {limit}, in two attempts (--timeout)"
            raise ImageError(ErrorCode.TIMEOUT, message) from None
        except ProcessExpired as error:
            message = f"the worker process {_describe_exit(error.exitcode)}, in two attempts"
            raise ImageError(ErrorCode.WORKER_DIED, message) from None
        except PixelpruneError:
            raise
        except Exception as error:  # in transit, or from the memory limit of the worker
            raise internal_error(error) from error


def _lost_its_worker(future: "Future[Any]") -> bool:
    """Return whether a finished future timed out, or its worker ended."""
    return future.cancelled() or isinstance(future.exception(), ProcessExpired)


def _describe_exit(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"was ended by {_signal_name(-exitcode)}"
    return f"ended with exit code {exitcode}"


def _system_message(error: BaseException) -> str:
    """Return the reason that the system gave, which may be the cause of the error."""
    cause = error.__cause__ or error
    return getattr(cause, "strerror", None) or str(cause)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
